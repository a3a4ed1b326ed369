"""What each command of an endpoint does to it, and what is to be sent because of it (Q6, Q8, Q16).

Pure: endpoint, inbox and command in, decision out. Guarantees: a refused command changes nothing (except that
a parked endpoint whose next update is gone loses its attachment); `acked` moves up only, by an
acknowledgement only, never beyond the head; nothing is promised that the queue does not hold. Codes are
answers, not exceptions. Tested in tests/replay/test_commands.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from streams.ids import id_problem
from streams.limits import CAPABILITIES_MAX, ENDPOINTS_MAX, MISSING_UPDATES_MAX, WINDOW_MAX
from streams.records import CommandCode
from streams.tables.endpoints import Endpoint, Parameters

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

_ENCODING = "avro"


class Queue(Protocol):
    """An inbox as far as the rules ask."""

    @property
    def epoch(self) -> int: ...
    @property
    def head(self) -> int: ...

    def is_kept(self, seq: int) -> bool:
        """Whether the queue holds an update, now and not just by its numbers."""
        ...


@dataclass(frozen=True, slots=True)
class Run:
    """A run of updates for replay.updates."""

    start: int
    end: int
    has_more: bool = False
    """Whether the endpoint asked for more than this run holds."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a command."""

    code: CommandCode
    after: Endpoint | None = None
    """The endpoint from now on; None leaves it as it is."""
    forgets: bool = False
    """Whether the endpoint is unknown from now on."""
    run: Run | None = None
    """What to send on replay.updates."""
    resumes: bool = False
    """Whether sending on the route goes on from sent + 1, as far as the window lets it."""


def register(
    fields: Mapping[str, Any],
    endpoint_id: str,
    endpoint: Endpoint | None,
    *,
    others: int,
    queue: Queue,
    routes: Container[str],
) -> Decision:
    """Make an endpoint known, or replace its parameters; its pointers and its attachment stay.

    `others`: how many other endpoints the account has.
    """
    if _is_malformed(fields):
        return Decision(CommandCode.REJECTED)
    if fields["route"] and fields["route"] not in routes:
        return Decision(CommandCode.UNKNOWN_ROUTE)
    if endpoint is None and others >= ENDPOINTS_MAX:
        return Decision(CommandCode.TOO_MANY_ENDPOINTS)
    parameters = Parameters(
        **{**fields, "capabilities": tuple(fields["capabilities"]), "encoding": _ENCODING}
    )
    if endpoint is None:
        return Decision(CommandCode.OK, after=Endpoint(endpoint_id, parameters, queue.epoch))
    after = endpoint._replace(parameters=parameters, sent=endpoint.sent_until(queue.head))
    return _going_on(after, queue)


def unregister() -> Decision:
    """Forget an endpoint."""
    return Decision(CommandCode.OK, forgets=True)


def attach(position: Mapping[str, int] | None, endpoint: Endpoint, queue: Queue) -> Decision:
    """Begin an attachment: what lies between the floor and the head is replayed, what comes then is live.

    The floor is what was acknowledged, or the position that the endpoint names if that is further. The head
    is that of this moment: later updates go to the route.
    """
    seq = 0
    if position is not None:
        if position["epoch"] != queue.epoch:
            return Decision(CommandCode.EPOCH_CHANGED)
        if (seq := position["seq"]) < 0:
            return Decision(CommandCode.REJECTED)
        if seq > queue.head:
            return Decision(CommandCode.BEYOND_HEAD)
    if endpoint.epoch != queue.epoch:
        if position is None:
            return Decision(CommandCode.EPOCH_CHANGED)
        endpoint = endpoint._replace(epoch=queue.epoch, acked=0)
    start, head = max(endpoint.acked, seq) + 1, queue.head
    if start <= head and not queue.is_kept(start):
        return Decision(CommandCode.BELOW_KEPT)
    after = endpoint._replace(is_attached=True, is_parked=False, attached_from=start, sent=head)
    run = Run(start, head) if start <= head else None
    return Decision(CommandCode.OK, after=after, run=run)


def detach(endpoint: Endpoint, queue: Queue) -> Decision:
    """End the attachment; the pointers stay."""
    if not endpoint.is_attached:
        return Decision(CommandCode.NOT_ATTACHED)
    return Decision(CommandCode.OK, after=_detached(endpoint, queue))


def acknowledge(fields: Mapping[str, int], endpoint: Endpoint, queue: Queue) -> Decision:
    """Move the floor up; a parked endpoint goes on from sent + 1.

    An endpoint may acknowledge what it fetched itself by MissingUpdates, so the head is the bound, and
    sending goes on behind whatever was acknowledged.
    """
    seq = fields["seq"]
    if queue.epoch != fields["epoch"]:
        return Decision(CommandCode.EPOCH_CHANGED)
    if seq < 0:
        return Decision(CommandCode.REJECTED)
    if seq > queue.head:
        return Decision(CommandCode.BEYOND_HEAD)
    if endpoint.epoch != queue.epoch:
        endpoint = endpoint._replace(epoch=queue.epoch, acked=0, sent=0)
    acked = max(endpoint.acked, seq)
    after = endpoint._replace(acked=acked, sent=max(endpoint.sent, acked))
    return _going_on(after, queue)


def missing(fields: Mapping[str, int], queue: Queue) -> Decision:
    """Send a range again; asking from head + 1 on is no error, there is just nothing yet."""
    start, limit = fields["from_seq"], fields["limit"]
    if queue.epoch != fields["epoch"]:
        return Decision(CommandCode.EPOCH_CHANGED)
    if start < 1 or limit < 1:
        return Decision(CommandCode.REJECTED)
    if start > queue.head + 1:
        return Decision(CommandCode.BEYOND_HEAD)
    if start > queue.head:
        return Decision(CommandCode.OK)
    if not queue.is_kept(start):
        return Decision(CommandCode.BELOW_KEPT)
    wanted = min(queue.head, start + limit - 1)
    end = min(wanted, start + MISSING_UPDATES_MAX - 1)
    return Decision(CommandCode.OK, run=Run(start, end, has_more=end < wanted))


def resumed(endpoint: Endpoint, sent: int, head: int) -> Endpoint:
    """Return a parked endpoint after more was sent: live again once nothing lies between it and the head."""
    return endpoint._replace(sent=sent, is_parked=sent < head)


def _going_on(after: Endpoint, queue: Queue) -> Decision:
    """Let a parked endpoint go on; one whose next update is gone loses its attachment, and is told so."""
    if not (after.is_attached and after.is_parked):
        return Decision(CommandCode.OK, after=after)
    if after.sent < queue.head and not queue.is_kept(after.sent + 1):
        return Decision(CommandCode.BELOW_KEPT, after=_detached(after, queue))
    return Decision(CommandCode.OK, after=after, resumes=True)


def _detached(endpoint: Endpoint, queue: Queue) -> Endpoint:
    sent = endpoint.sent_until(queue.head)
    return endpoint._replace(is_attached=False, is_parked=False, attached_from=0, sent=sent)


def _is_malformed(fields: Mapping[str, Any]) -> bool:
    """Whether parameters are out of bounds; values that are merely unknown have safe defaults (Q17)."""
    texts = (fields["locale"], fields["app_version"], fields["encoding"], fields["route"])
    return (
        any(text and id_problem(text) for text in texts)
        or len(fields["capabilities"]) > CAPABILITIES_MAX
        or any(id_problem(capability) for capability in fields["capabilities"])
        or fields["media_width_max"] < 0
        or not 0 <= fields["window"] <= WINDOW_MAX
    )
