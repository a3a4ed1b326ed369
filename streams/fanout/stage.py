"""The fanout stage: thread.operations in; thread.messages, inbox.appends and ingest.refusals out.

Order of effects for an admitted operation, all inside units of work:
1. decide whether the thread takes it;
2. the thread's new position, and its members as they are from this operation on;
3. the operation on thread.messages;
4. an append on inbox.appends to each member that it removed;
5. an append to each of its members, EXPANSION_STEP a step.

A crash inside a step leaves nothing of it. After a step the progress holds a cursor (position, next member):
1 to 4 are done then, and 5 goes on at that member, in the list that 2 left, because the thread's later
operations wait. So each member gets exactly one append, and all members get a thread's operations in one
order (Q14, Q15). A refused operation has one effect, the refusal on its way to the sender's shard (Q21).
Tested in tests/fanout/ and tests/properties/test_threads.py.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from streams.errors import MissingKey, Oversize, Undecodable, WrongPartition
from streams.fanout.admission import Admitted, Asked, Refused, decide
from streams.limits import EXPANSION_STEP, RECIPIENTS_MAX
from streams.ports import DONE
from streams.records import Kind
from streams.tables.tails import Tails, kind_of_operation, tail_of_operation
from streams.tables.threads import Thread, ThreadsTable
from streams.tables.wire import NO_TOKEN, long, optional_token, text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.codec import Codec
    from streams.ports import Record, Shard

OPERATIONS = "thread.operations"
MESSAGES = "thread.messages"
APPENDS = "inbox.appends"
REFUSALS = "ingest.refusals"

NO_MEMBERS = b"\x00"
"""created_with of an operation that creates nothing: branch 0 of the union, which is null."""

_CURSOR = struct.Struct(">BQI")
_CURSOR_VERSION = 1
_TARGET = slice(1, 17)
"""Where an encoded edit or delete names its message: after the branch number, 16 bytes (Avro fixed)."""

assert RECIPIENTS_MAX <= EXPANSION_STEP, "the members that one operation removes fit its first step"


class FanoutStage:
    """Admits and expands the operations of a shard's threads."""

    name = "fanout"
    topics: tuple[str, ...] = (OPERATIONS,)

    def __init__(self, shard: Shard, codec: Codec) -> None:
        self._shard = shard
        self._threads = ThreadsTable(shard.state)
        self._tails = Tails(codec)
        self._operation = codec["ThreadOperation"].split("operation")
        self._message = codec["ThreadMessage"].split("message_id")
        self._append_frame = codec["InboxAppend"].frame
        self._refusal = codec["Refusal"]

    def process(self, record: Record, cursor: bytes) -> bytes:
        """Implements ports.Stage."""
        head, operation = self._read(record)
        if cursor != DONE:
            _, position, start = _CURSOR.unpack(cursor)
            thread = self._threads.get(head["thread_id"])
            assert thread is not None, "a thread with an operation under way exists"
            return self._expand(
                head, tail_of_operation(head, position, operation), thread, start, EXPANSION_STEP
            )
        asked = self._asked(head, operation)
        thread = self._threads.get(asked_thread := head["thread_id"])
        members = None if thread is None else self._threads.members(asked_thread, thread)
        verdict = decide(asked, members)
        if isinstance(verdict, Refused):
            self._refuse(head, verdict)
            return DONE
        return self._admit(head, operation, thread or Thread(0, 0), verdict)

    def _read(self, record: Record) -> tuple[dict[str, Any], bytes]:
        if record.value is None:
            raise Undecodable("the record has no value")
        head, operation = self._operation.read(record.value)
        thread_id = head["thread_id"]
        if record.key != thread_id.encode():
            raise MissingKey("the key of a thread's operation is its thread_id")
        if self._shard.shard_of(thread_id) != self._shard.number:
            raise WrongPartition(f"the thread belongs to shard {self._shard.shard_of(thread_id)}")
        return head, operation

    def _asked(self, head: dict[str, Any], operation: bytes) -> Asked:
        kind = kind_of_operation(operation)
        if kind is Kind.CHANGE_MEMBERS:
            change = self._operation.decode_tail(operation)["operation"][1]
            return Asked(kind, head["account_id"], head["recipients"], b"", change["add"], change["remove"])
        return Asked(kind, head["account_id"], head["recipients"], operation[_TARGET])

    def _admit(self, head: dict[str, Any], operation: bytes, before: Thread, verdict: Admitted) -> bytes:
        thread_id = head["thread_id"]
        position = before.position + 1
        members = self._threads.members(thread_id, before)
        members.remove(verdict.removed)
        members.add(verdict.added, position)
        thread = Thread(position, len(members))
        self._threads.put(thread_id, thread)
        tail = tail_of_operation(head, position, operation)
        created_with = list(verdict.added) if verdict.creates else None
        value = self._message_head(head, created_with) + tail
        self._shard.emit(MESSAGES, thread_id.encode(), value, self._shard.number)
        self._shard.count("fanout.admitted")
        if verdict.removed:
            self._send(verdict.removed, head, tail)
        return self._expand(head, tail, thread, 0, EXPANSION_STEP - len(verdict.removed))

    def _message_head(self, head: dict[str, Any], created_with: list[str] | None) -> bytes:
        """A ThreadMessage up to its tail; only the first of a thread is worth the general writer."""
        if created_with is not None:
            first = {"endpoint_id": head["endpoint_id"], "token": head["token"], "created_with": created_with}
            return self._message.write(first, b"")
        token = head["token"]
        times = long(token["timestamp_ms"]) + long(token["nonce"])
        return self._message.frame + text(head["endpoint_id"]) + times + NO_MEMBERS

    def _expand(self, head: dict[str, Any], tail: bytes, thread: Thread, start: int, step: int) -> bytes:
        accounts = self._threads.members(head["thread_id"], thread).run(start, step)
        self._send(accounts, head, tail)
        reached = min(start + step, thread.members)
        return DONE if reached == thread.members else _CURSOR.pack(_CURSOR_VERSION, thread.position, reached)

    def _send(self, accounts: Iterable[str], head: dict[str, Any], tail: bytes) -> None:
        """Send one append to each account; the sender's own carries the token."""
        emit, shard_of = self._shard.emit, self._shard.shard_of
        frame, sender = self._append_frame, head["account_id"]
        without_token = NO_TOKEN + tail
        sent = 0
        for account in accounts:
            rest = without_token if account != sender else optional_token(head["token"]) + tail
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

    def _refuse(self, head: dict[str, Any], verdict: Refused) -> None:
        account = head["account_id"]
        value = self._refusal.encode({**head, "code": verdict.code.value})
        self._shard.count("fanout.refused")
        self._shard.emit(REFUSALS, account.encode(), value, self._shard.shard_of(account))
