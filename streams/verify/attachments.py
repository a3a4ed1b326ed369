"""Replays each endpoint's commands and their answers: when it was attached, and which numbers that owes it.

An attachment owes from `attached_from_seq` to the inbox's head at its end (a detach, the next attach), or to
the head of all when it lasts; a window owes no more than window beyond what was acknowledged. What
replay.updates sent for an attach or an ack is kept per attachment; answers to MissingUpdates are extra and
not counted. Tested in tests/verify/test_judge.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from streams.errors import RecordError
from streams.verify.runs import Runs

if TYPE_CHECKING:
    from streams.codec import Codec
    from streams.ports import Record

_OK = "OK"
_EXTRA = "lockstep.MissingUpdates"


class Command(NamedTuple):
    """What is kept of a command until its answer is read."""

    command_id: str
    name: str
    route: str
    window: int
    acked: int


@dataclass(slots=True)
class Attachment:
    """The time between an attach and its end. Numbers are those of `epoch`."""

    epoch: int
    first: int
    head: int
    window: int
    acked: int
    end: int | None = None
    """The inbox's head at its end; None while it lasts."""
    replayed: Runs = field(default_factory=Runs)
    replayed_twice: int = 0

    def owed(self, head: int) -> tuple[int, int]:
        """Return the first and the last number owed, given the inbox's head at the end of all.

        A window counts from what was acknowledged and holds back only what comes after the attach.
        """
        last = head if self.end is None else self.end
        if self.window:
            last = max(self.head, min(last, self.acked + self.window))
        return self.first, last

    @property
    def excused_to(self) -> int:
        """Up to here nothing is missing: an endpoint with a window may fetch, acknowledge, and so skip."""
        return self.acked if self.window else 0

    def allowed_last(self, head: int) -> int:
        """Return the last number that may have been sent."""
        return head if self.end is None else self.end


class Endpoint:
    """One endpoint's commands that wait for their answers, and its attachments."""

    __slots__ = ("_acked", "_commands", "_extra", "_window", "attachments", "routes")

    def __init__(self) -> None:
        self._commands: deque[Command] = deque()
        self._extra: set[str] = set()
        self._acked = 0
        self._window = 0
        self.attachments: list[Attachment] = []
        self.routes: set[str] = set()
        """Every route it ever registered for; "" is the default."""

    @property
    def current(self) -> Attachment | None:
        """The attachment that lasts."""
        last = self.attachments[-1] if self.attachments else None
        return last if last is not None and last.end is None else None

    def ask(self, command: Command) -> None:
        """A command stands on its topic."""
        self._commands.append(command)
        if command.name == _EXTRA:
            self._extra.add(command.command_id)

    def answer(self, fields: dict[str, Any]) -> None:
        """A CommandResult: answers stand in the order of their commands."""
        command = self._matching(fields["command_id"])
        first, head = fields["attached_from_seq"], fields["head"] or 0
        is_ok = fields["code"] == _OK
        is_attach = is_ok and command is not None and command.name == "lockstep.Attach"
        if command is not None and is_ok:
            self._apply(command)
        if (current := self.current) is not None and (first is None or is_attach):
            current.end = head
        if is_attach and first is not None:
            self.attachments.append(Attachment(fields["epoch"] or 0, first, head, self._window, self._acked))

    def _apply(self, command: Command) -> None:
        current = self.current
        match command.name:
            case "lockstep.Register":
                self.routes.add(command.route)
                self._window = command.window
                if current is not None:  # the narrower one says what is owed for certain
                    current.window = min(current.window, command.window) or max(
                        current.window, command.window
                    )
            case "lockstep.Ack":
                self._acked = max(self._acked, command.acked)
                if current is not None:
                    current.acked = self._acked
            case "lockstep.Unregister":
                self._acked = 0

    def replay(self, fields: dict[str, Any], seqs: Iterable[tuple[int, int]]) -> bool:
        """Take an UpdateBatch; return whether it counts (answers to MissingUpdates are extra)."""
        if fields["command_id"] in self._extra or (current := self.current) is None:
            return False
        for first, last in seqs:
            current.replayed_twice += current.replayed.add(first, last)
        return True

    def _matching(self, command_id: str) -> Command | None:
        while self._commands:  # a command that became a dead letter has no answer
            command = self._commands.popleft()
            if command.command_id == command_id:
                return command
        return None


class AttachmentBook:
    """All endpoints by delivery key (account, NUL, endpoint)."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self.endpoints: dict[bytes, Endpoint] = {}
        self.replayed = 0

    def take_commands(self, records: Iterable[Record]) -> None:
        """From the command topic, all of it before the first answer."""
        for record in records:
            command = self._command(record)
            if command is not None:
                key, asked = command
                self._endpoint(key).ask(asked)

    def take_answers(self, records: Iterable[Record]) -> None:
        """From replay.updates, in log order per partition."""
        for record in records:
            name, fields = self._codec.decode(record.value)
            endpoint = self._endpoint(record.key or b"")
            if name == "CommandResult":
                endpoint.answer(fields)
            elif name == "UpdateBatch" and endpoint.replay(fields, _ranges(fields)):
                self.replayed += len(fields["updates"])

    def _command(self, record: Record) -> tuple[bytes, Command] | None:
        try:
            fields = self._codec.decode_as("EndpointCommand", record.value)
        except RecordError:
            return None  # a dead letter
        name, body = fields["command"]
        key = f"{fields['account_id']}\0{fields['endpoint_id']}".encode()
        acked = body["seq"] if name == "lockstep.Ack" else 0
        return key, Command(fields["command_id"], name, body.get("route", ""), body.get("window", 0), acked)

    def _endpoint(self, key: bytes) -> Endpoint:
        endpoint = self.endpoints.get(key)
        if endpoint is None:
            endpoint = self.endpoints[key] = Endpoint()
        return endpoint


def _ranges(fields: dict[str, Any]) -> Iterator[tuple[int, int]]:
    return ((update["seq_first"], update["seq"]) for update in fields["updates"])
