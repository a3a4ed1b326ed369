"""The fanout stage: thread.operations in; thread.messages, inbox.appends and ingest.refusals out.

Order of effects for an admitted operation, all inside units of work:
1. decide whether the thread takes it;
2. the thread's new position, and its members as they are from this operation on;
3. the operation on thread.messages;
4. an append on inbox.appends to each member that it removed;
5. an append to each of its members, EXPANSION_STEP a step, or as many as EXPANSION_STEP_BYTES hold.

A crash inside a step leaves nothing of it. After a step the progress holds a cursor (position, next member):
1 to 4 are done then, and 5 goes on at that member, in the list that 2 left, because the thread's later
operations wait. So each member gets exactly one append, and all members get a thread's operations in one
order (Q14, Q15). A refused operation has one effect, the refusal on its way to the sender's shard (Q21).
Tested in tests/fanout/ and tests/properties/test_threads.py.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from streams.codec.primitives import NO_TOKEN, NULL, PRESENT, long, text
from streams.errors import MissingKey, Oversize, Undecodable, WrongPartition
from streams.fanout.admission import Admitted, Asked, Refused, decide
from streams.fanout.operation import Operation, OperationReader
from streams.ids import MESSAGE_ID_BYTES
from streams.limits import EXPANSION_STEP, EXPANSION_STEP_BYTES, RECIPIENTS_MAX
from streams.ports import DONE
from streams.records import Kind
from streams.tables.tails import Tails, kind_of_operation, tail_of_operation
from streams.tables.threads import Members, Thread, ThreadsTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from streams.codec import Codec
    from streams.ports import Record, Shard

OPERATIONS = "thread.operations"
MESSAGES = "thread.messages"
APPENDS = "inbox.appends"
REFUSALS = "ingest.refusals"

_CURSOR = struct.Struct(">BQI")
_CURSOR_VERSION = 1
_TARGET = slice(1, 1 + MESSAGE_ID_BYTES)
"""Where an encoded edit or delete names its message: after the branch number (Avro fixed)."""

assert RECIPIENTS_MAX <= EXPANSION_STEP, "the members that one operation removes fit its first step"


class FanoutStage:
    """Admits and expands the operations of a shard's threads."""

    name = "fanout"
    topics: tuple[str, ...] = (OPERATIONS,)

    def __init__(self, shard: Shard, codec: Codec) -> None:
        self._shard = shard
        self._threads = ThreadsTable(shard.state)
        self._tails = Tails(codec)
        self._reader = OperationReader(codec)
        self._message_frame = codec["ThreadMessage"].frame
        self._append_frame = codec["InboxAppend"].frame
        self._refusal = codec["Refusal"]

    def process(self, record: Record, cursor: bytes) -> bytes:
        """Implements ports.Stage."""
        if record.value is None:
            raise Undecodable("the record has no value")
        operation = self._reader.read(record.value)
        thread_id = operation.thread_id
        self._check_place(record, thread_id)
        thread = self._threads.get(thread_id)
        members = self._threads.members(thread_id, thread or _NOBODY)
        if cursor != DONE:
            _, position, start = _CURSOR.unpack(cursor)
            assert thread is not None, "a thread with an operation under way exists"
            tail = tail_of_operation(operation, position, operation.content)
            return self._expand(operation, tail, position, members, (start, EXPANSION_STEP))
        verdict = decide(self._asked(operation), None if thread is None else members)
        if isinstance(verdict, Refused):
            self._refuse(record.value, operation.account_id, verdict)
            return DONE
        return self._admit(operation, (thread or _NOBODY).position + 1, members, verdict)

    def _check_place(self, record: Record, thread_id: str) -> None:
        if record.key != thread_id.encode():
            raise MissingKey("the key of a thread's operation is its thread_id")
        home = self._shard.shard_of(thread_id)
        if home != self._shard.number:
            raise WrongPartition(f"the thread belongs to shard {home}")

    def _asked(self, operation: Operation) -> Asked:
        content = operation.content
        kind = kind_of_operation(content)
        if kind is Kind.CHANGE_MEMBERS:
            change = self._reader.decode(content)
            add, remove = change["add"], change["remove"]
            return Asked(kind, operation.account_id, operation.recipients, b"", add, remove)
        return Asked(kind, operation.account_id, operation.recipients, content[_TARGET])

    def _admit(self, operation: Operation, position: int, members: Members, verdict: Admitted) -> bytes:
        thread_id = operation.thread_id
        if verdict.removed:
            members.remove(verdict.removed)
        if verdict.added:
            members.add(verdict.added, position)
        self._threads.put(thread_id, Thread(position, len(members)))
        tail = tail_of_operation(operation, position, operation.content)
        created_with = _created_with(verdict.added) if verdict.creates else NULL
        before = (self._message_frame, operation.endpoint_bytes, operation.token_bytes, created_with, tail)
        self._shard.emit(MESSAGES, thread_id.encode(), b"".join(before), self._shard.number)
        self._shard.count("fanout.admitted")
        if verdict.removed:
            self._send(verdict.removed, operation, tail)
        step = EXPANSION_STEP - len(verdict.removed)
        return self._expand(operation, tail, position, members, (0, step))

    def _expand(
        self, operation: Operation, tail: bytes, position: int, members: Members, run: tuple[int, int]
    ) -> bytes:
        """Send to a run of members, given as (first, how many); return where to go on, or DONE."""
        start, step = run
        step = min(step, max(1, EXPANSION_STEP_BYTES // len(tail)))
        self._send(members.run(start, step), operation, tail)
        reached = min(start + step, len(members))
        return DONE if reached == len(members) else _CURSOR.pack(_CURSOR_VERSION, position, reached)

    def _send(self, accounts: Iterable[str], operation: Operation, tail: bytes) -> None:
        """Send one append to each account; the sender's own carries the token."""
        emit, shard_of = self._shard.emit, self._shard.shard_of
        frame, sender = self._append_frame, operation.account_id
        without_token = NO_TOKEN + tail
        sent = 0
        for account in accounts:
            rest = without_token if account != sender else PRESENT + operation.token_bytes + tail
            try:
                emit(APPENDS, account.encode(), frame + text(account) + rest, shard_of(account))
            except Oversize:
                self._send_tombstone(account, rest[: len(rest) - len(tail)], tail)
            sent += 1
        self._shard.count("fanout.appends", sent)

    def _send_tombstone(self, account: str, token: bytes, tail: bytes) -> None:
        """Keep the member's entry where the operation does not fit; what ingest bounds makes it rare."""
        self._shard.count("fanout.oversize")
        value = self._append_frame + text(account) + token + self._tails.tombstone(tail, Oversize.code)
        self._shard.emit(APPENDS, account.encode(), value, self._shard.shard_of(account))

    def _refuse(self, value: bytes, account: str, verdict: Refused) -> None:
        refusal = self._refusal.encode({**self._reader.fields(value), "code": verdict.code.value})
        self._shard.count("fanout.refused")
        self._shard.emit(REFUSALS, account.encode(), refusal, self._shard.shard_of(account))


_NOBODY = Thread(0, 0)


def _created_with(accounts: Sequence[str]) -> bytes:
    """Return the first members of a thread: the second branch of a union, an array in one block."""
    return b"".join((PRESENT, long(len(accounts)), *map(text, accounts), NULL))
