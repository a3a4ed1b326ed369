"""What an endpoint asks for: register, attach, detach, ack, missing updates; and the answers.

A command keeps its id over every retry. Commands are idempotent for the endpoint's state; a repeated
MissingUpdates is answered again. Tested in tests/client/test_kafka.py, on Kafka.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from streams.client.outlet import codec_of
from streams.client.sender import NoAnswer
from streams.client.wire import OnWire, Wire
from streams.errors import RecordError

if TYPE_CHECKING:
    from streams.ids import Position
    from streams.ports import Record
    from streams.topology import Topology

_ATTEMPT_SECONDS = 3.0
_BATCH_SECONDS = 5.0  # between two batches of one answer

Fields = dict[str, Any]


@dataclass
class CommandAnswer:
    """How a command ended. `batches`: the UpdateBatches that answer it, decoded, in order."""

    code: str
    epoch: int | None
    attached_from_seq: int | None
    head: int | None
    batches: list[Fields] = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        """Whether it was done."""
        return self.code == "OK"

    @property
    def updates(self) -> list[Fields]:
        """All updates of all batches."""
        return [update for batch in self.batches for update in batch["updates"]]


class EndpointCommands(OnWire):
    """Commands of any endpoint; use as `async with`. Every call raises NoAnswer when time is up."""

    def __init__(
        self, client_arguments: Mapping[str, Any], topology: Topology, *, retry_seconds: float = 30.0
    ) -> None:
        self._codec = codec_of(topology)
        self._retry_seconds = retry_seconds
        self._waiting: dict[str, asyncio.Queue[tuple[str, Fields]]] = {}
        said, heard = topology.topic_of("EndpointCommand"), topology.topic_of("CommandResult")
        super().__init__(Wire(client_arguments, said=said, heard=heard, on_record=self._hear))

    async def register(
        self,
        account_id: str,
        endpoint_id: str,
        *,
        locale: str = "",
        app_version: str = "",
        capabilities: Sequence[str] = (),
        media_width_max: int = 0,
        route: str = "",
        window: int = 0,
    ) -> CommandAnswer:
        """Make an endpoint known, or replace its parameters. window: updates, 0 is unlimited."""
        fields = {
            "locale": locale,
            "app_version": app_version,
            "capabilities": list(capabilities),
            "media_width_max": media_width_max,
            "encoding": "avro",
            "route": route,
            "window": window,
        }
        return await self.ask(account_id, endpoint_id, "Register", fields)

    async def unregister(self, account_id: str, endpoint_id: str) -> CommandAnswer:
        """Forget an endpoint."""
        return await self.ask(account_id, endpoint_id, "Unregister", {})

    async def attach(
        self, account_id: str, endpoint_id: str, position: Position | None = None
    ) -> CommandAnswer:
        """Begin to send. position: what the endpoint has; None: what it last acknowledged."""
        at = None if position is None else {"epoch": position.epoch, "seq": position.seq}
        return await self.ask(account_id, endpoint_id, "Attach", {"position": at})

    async def detach(self, account_id: str, endpoint_id: str) -> CommandAnswer:
        """Stop sending; what is missed is owed at the next attach."""
        return await self.ask(account_id, endpoint_id, "Detach", {})

    async def ack(self, account_id: str, endpoint_id: str, position: Position) -> CommandAnswer:
        """Say that everything up to a position is kept."""
        fields = {"epoch": position.epoch, "seq": position.seq}
        return await self.ask(account_id, endpoint_id, "Ack", fields)

    async def missing(
        self, account_id: str, endpoint_id: str, position: Position, limit: int
    ) -> CommandAnswer:
        """Ask for `limit` updates from a position on; the answer holds them."""
        fields = {"epoch": position.epoch, "from_seq": position.seq, "limit": limit}
        return await self.ask(account_id, endpoint_id, "MissingUpdates", fields, has_batches=True)

    async def ask(
        self, account_id: str, endpoint_id: str, name: str, fields: Fields, *, has_batches: bool = False
    ) -> CommandAnswer:
        """Write a command until it is answered."""
        command_id = secrets.token_hex(8)
        command = {
            "command_id": command_id,
            "account_id": account_id,
            "endpoint_id": endpoint_id,
            "command": (f"lockstep.{name}", fields),
        }
        value = self._codec["EndpointCommand"].encode(command)
        heard = self._waiting[command_id] = asyncio.Queue()
        deadline = time.monotonic() + self._retry_seconds
        try:
            while (left := deadline - time.monotonic()) > 0:
                await self._wire.say(account_id, value)
                try:
                    first = await asyncio.wait_for(heard.get(), min(_ATTEMPT_SECONDS, left))
                except TimeoutError:
                    continue
                return await _gathered(heard, first, has_batches=has_batches)
        finally:
            del self._waiting[command_id]
        raise NoAnswer(
            f"No answer to {name} within {self._retry_seconds:g} s; are workers running? "
            "See `lockstep status`."
        )

    def _hear(self, record: Record) -> None:
        try:
            name, fields = self._codec.decode(record.value)
        except RecordError:
            return  # not an answer; nobody waits for it
        queue = self._waiting.get(fields.get("command_id", ""))
        if queue is not None:
            queue.put_nowait((name, fields))


async def _gathered(
    heard: asyncio.Queue[tuple[str, Fields]], first: tuple[str, Fields], *, has_batches: bool
) -> CommandAnswer:
    """Return the answer that begins with `first`; batches may stand before or after their CommandResult."""
    answer: CommandAnswer | None = None
    batches: list[Fields] = []
    name, fields = first
    while True:
        if name == "CommandResult":
            names = ("code", "epoch", "attached_from_seq", "head")
            answer = CommandAnswer(**{one: fields[one] for one in names}, batches=batches)
        elif name == "UpdateBatch":
            batches.append(fields)
        if answer is not None and not (
            has_batches and answer.is_ok and (not batches or batches[-1]["has_more"])
        ):
            return answer
        try:
            name, fields = await asyncio.wait_for(heard.get(), _BATCH_SECONDS)
        except TimeoutError:
            if answer is None:
                raise NoAnswer("The answer began and did not end; ask again.") from None
            return answer  # there was nothing to send
