"""The replay stage: endpoint.commands in; replay.updates out, and what a window held back on a route.

Order of effects for a command, all inside units of work:
1. decide, and write the endpoint's row;
2. one CommandResult on replay.updates, for every command of a known sender;
3. what the command asks to send, in steps: UpdateBatches on replay.updates (attach, missing updates), or
   updates on delivery.<route> with the sent pointer (an acknowledgement, or new parameters, while parked).

A crash inside a step leaves nothing of it. After a step the progress holds a cursor: 1 and 2 are done then,
and 3 goes on at the next number. Between steps the shard's other stages go on: what they deliver meanwhile is
beyond the head of the attach and goes to the route, or waits while the endpoint is parked. An update that
should be in the queue but is not is sent as a tombstone, never left out.
Tested in tests/replay/ and tests/properties/test_attachments.py.
"""

from __future__ import annotations

import struct
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from streams.codec.primitives import NO_TOKEN, place_bytes
from streams.errors import MissingKey, Oversize, WrongPartition
from streams.ids import delivery_key, id_problem
from streams.limits import EXPANSION_STEP, ID_BYTES_MAX, REPLAY_BATCH_BYTES, REPLAY_BATCH_UPDATES
from streams.ports import DONE, CanonicalUpdate
from streams.records import CommandCode
from streams.replay import commands
from streams.replay.batches import Batch, BatchWriter, cut
from streams.replay.commands import Decision, Run
from streams.tables.endpoints import EndpointsTable
from streams.tables.inboxes import InboxesTable
from streams.tables.tails import Tails

if TYPE_CHECKING:
    from collections.abc import Container

    from streams.codec import Codec
    from streams.ports import Record, Shard
    from streams.tables.endpoints import Endpoint
    from streams.tables.inboxes import Inbox

COMMANDS = "endpoint.commands"
REPLAY = "replay.updates"

_CURSOR = struct.Struct(">BBQQ")
"""Version, what goes on, next number, last number."""
_CURSOR_VERSION = 1
_REPLAYS, _REPLAYS_WITH_MORE, _RESUMES = 1, 2, 3

STEP_BATCHES = EXPANSION_STEP // REPLAY_BATCH_UPDATES
"""UpdateBatches that one step sends: bounds it in updates and in bytes."""
STEP_BYTES = STEP_BATCHES * REPLAY_BATCH_BYTES


class Sender(Protocol):
    """What sends to one endpoint: made by delivery, injected at the wiring."""

    def customised(self, endpoint: Endpoint, update: CanonicalUpdate) -> bytes:
        """Return the framed EndpointUpdate."""
        ...

    def replaced(self, endpoint: Endpoint, update: CanonicalUpdate, reason: str) -> bytes:
        """Return the framed tombstone that takes an update's place."""
        ...

    def send(self, endpoint: Endpoint, update: CanonicalUpdate) -> None:
        """Send an update on the endpoint's route."""
        ...

    def send_tombstone(self, endpoint: Endpoint, update: CanonicalUpdate, reason: str) -> None:
        """Send a tombstone in an update's place on the endpoint's route."""
        ...

    def wake(self, endpoint: Endpoint, account_id: str) -> None:
        """Tell an endpoint that its window is full."""
        ...


class _Queue(NamedTuple):
    """Implements commands.Queue."""

    account_id: str
    inbox: Inbox
    table: InboxesTable

    @property
    def epoch(self) -> int:
        return self.inbox.epoch

    @property
    def head(self) -> int:
        return self.inbox.head

    def is_kept(self, seq: int) -> bool:
        is_kept = seq >= self.inbox.seq_first_kept
        return is_kept and self.table.update(self.account_id, self.inbox.epoch, seq) is not None


class ReplayStage:
    """Answers the commands of a shard's endpoints."""

    name = "replay"
    topics: tuple[str, ...] = (COMMANDS,)

    def __init__(self, shard: Shard, codec: Codec, sender: Sender, routes: Container[str]) -> None:
        """`routes`: names that an endpoint may ask for."""
        self._shard = shard
        self._codec = codec
        self._sender = sender
        self._routes = routes
        self._inboxes = InboxesTable(shard.state)
        self._endpoints = EndpointsTable(shard.state)
        self._tails = Tails(codec)
        self._batches = BatchWriter(codec)
        self._result = codec["CommandResult"]

    def process(self, record: Record, cursor: bytes) -> bytes:
        """Implements ports.Stage."""
        command = self._read(record)
        if problem := id_problem(command["account_id"]) or id_problem(command["endpoint_id"]):
            self._shard.dead_letter(record, problem, "the account's or the endpoint's id")
            return DONE
        account, endpoint_id = command["account_id"], command["endpoint_id"]
        queue = _Queue(account, self._inboxes.get(account), self._inboxes)
        endpoints = {one.endpoint_id: one for one in self._endpoints.get(account)}
        endpoint = endpoints.get(endpoint_id)
        if cursor != DONE:
            assert endpoint is not None, "an endpoint with a command under way exists"
            return self._go_on(command, endpoint, queue, cursor)
        others = len(endpoints) - (endpoint is not None)
        decision = self._decide(command, endpoint, queue, others)
        endpoint = None if decision.forgets else decision.after or endpoint
        self._apply(command, decision)
        self._answer(command, decision.code, endpoint, queue)
        if decision.run and endpoint:
            return self._replay(command, endpoint, queue, decision.run)
        return self._resume(account, endpoint, queue) if decision.resumes and endpoint else DONE

    def _read(self, record: Record) -> dict[str, Any]:
        command = self._codec.decode_as("EndpointCommand", record.value)
        account = command["account_id"]
        if record.key != account.encode():
            raise MissingKey("the key of a command is its account_id")
        if self._shard.shard_of(account) != self._shard.number:
            raise WrongPartition(f"the account belongs to shard {self._shard.shard_of(account)}")
        return command

    def _decide(
        self, command: dict[str, Any], endpoint: Endpoint | None, queue: _Queue, others: int
    ) -> Decision:
        name, fields = command["command"]
        if id_problem(command["command_id"]):
            return Decision(CommandCode.REJECTED)
        if name == "lockstep.Register":
            return commands.register(
                fields, command["endpoint_id"], endpoint, others=others, queue=queue, routes=self._routes
            )
        if endpoint is None:
            return Decision(CommandCode.UNKNOWN_ENDPOINT)
        match name:
            case "lockstep.Unregister":
                return commands.unregister()
            case "lockstep.Attach":
                return commands.attach(fields["position"], endpoint, queue)
            case "lockstep.Detach":
                return commands.detach(endpoint, queue)
            case "lockstep.Ack":
                return commands.acknowledge(fields, endpoint, queue)
            case "lockstep.MissingUpdates":
                self._shard.count("replay.gaps_asked")
                return commands.missing(fields, queue)
        return Decision(CommandCode.UNSUPPORTED)

    def _apply(self, command: dict[str, Any], decision: Decision) -> None:
        account = command["account_id"]
        if decision.after is not None:
            self._endpoints.replace(account, decision.after)
        elif decision.forgets:
            left = [one for one in self._endpoints.get(account) if one.endpoint_id != command["endpoint_id"]]
            self._endpoints.put(account, left)

    def _answer(
        self, command: dict[str, Any], code: CommandCode, endpoint: Endpoint | None, queue: _Queue
    ) -> None:
        attached_from = endpoint.attached_from if endpoint and endpoint.is_attached else None
        fields = {
            # Enough to recognise an id that was refused for its length.
            "command_id": command["command_id"][:ID_BYTES_MAX],
            "code": code.value,
            "attached_from_seq": attached_from,
            "head": queue.head,
            "account_id": command["account_id"],
            "endpoint_id": command["endpoint_id"],
            "epoch": queue.epoch,
        }
        self._shard.count("replay.done" if code is CommandCode.OK else "replay.refused")
        key = delivery_key(command["account_id"], command["endpoint_id"])
        self._shard.emit(REPLAY, key, self._result.encode(fields), self._shard.number)

    def _go_on(self, command: dict[str, Any], endpoint: Endpoint, queue: _Queue, cursor: bytes) -> bytes:
        _, what, start, end = _CURSOR.unpack(cursor)
        if what == _RESUMES:
            return self._resume(command["account_id"], endpoint, queue)
        return self._replay(command, endpoint, queue, Run(start, end, has_more=what == _REPLAYS_WITH_MORE))

    def _replay(self, command: dict[str, Any], endpoint: Endpoint, queue: _Queue, run: Run) -> bytes:
        """Send the next batches of a run."""
        updates = (self._customised(endpoint, queue, seq) for seq in range(run.start, run.end + 1))
        reached = run.start
        for batch in islice(cut(run.start, updates), STEP_BATCHES):
            self._send(command, endpoint, queue, batch, run)
            reached = batch.seq + 1
        if reached > run.end:
            return DONE
        what = _REPLAYS_WITH_MORE if run.has_more else _REPLAYS
        return _CURSOR.pack(_CURSOR_VERSION, what, reached, run.end)

    def _send(
        self, command: dict[str, Any], endpoint: Endpoint, queue: _Queue, batch: Batch, run: Run
    ) -> None:
        """Send a batch: in halves where it does not fit the topic, an update that does not as a tombstone."""
        try:
            self._emit(command, batch, queue, run)
        except Oversize as error:
            if len(batch.updates) > 1:
                for half in batch.halves():
                    self._send(command, endpoint, queue, half, run)
            else:
                update = self._update(queue, batch.seq)
                tombstone = self._sender.replaced(endpoint, update, error.code)
                self._emit(command, Batch(batch.seq, [tombstone]), queue, run)

    def _emit(self, command: dict[str, Any], batch: Batch, queue: _Queue, run: Run) -> None:
        value = self._batches.encode(
            batch,
            has_more=run.has_more or batch.seq < run.end,
            account_id=command["account_id"],
            endpoint_id=command["endpoint_id"],
            epoch=queue.epoch,
            command_id=command["command_id"],
        )
        key = delivery_key(command["account_id"], command["endpoint_id"])
        self._shard.emit(REPLAY, key, value, self._shard.number)

    def _resume(self, account: str, endpoint: Endpoint, queue: _Queue) -> bytes:
        """Send on the route what the window lets through; wake the endpoint when that filled it again."""
        before, head = endpoint.sent, queue.head
        until = endpoint.sendable_until(head)
        last, size = before, 0
        while last < until and last - before < EXPANSION_STEP and size < STEP_BYTES:
            last += 1
            size += self._send_one(endpoint, self._update(queue, last))
        after = commands.resumed(endpoint, last, head)
        if last >= until and after.is_parked and last > before:
            self._sender.wake(after, account)
        self._endpoints.replace(account, after)
        return DONE if last >= until else _CURSOR.pack(_CURSOR_VERSION, _RESUMES, 0, 0)

    def _send_one(self, endpoint: Endpoint, update: CanonicalUpdate) -> int:
        if update.tail:
            self._sender.send(endpoint, update)
        else:
            self._sender.send_tombstone(endpoint, update, CommandCode.BELOW_KEPT)
        return len(update.tail)

    def _customised(self, endpoint: Endpoint, queue: _Queue, seq: int) -> bytes:
        update = self._update(queue, seq)
        if update.tail:
            return self._sender.customised(endpoint, update)
        return self._sender.replaced(endpoint, update, CommandCode.BELOW_KEPT)

    def _update(self, queue: _Queue, seq: int) -> CanonicalUpdate:
        """Return an update of the queue; with an empty tail when it is not there."""
        row = self._inboxes.update(queue.account_id, queue.epoch, seq)
        token, tail = (NO_TOKEN, b"") if row is None else self._tails.part(row)
        account, epoch = queue.account_id, queue.epoch
        return CanonicalUpdate(account, epoch, seq, place_bytes(account, epoch, seq), token, tail)
