"""What each command of an endpoint does to it (streams/replay/commands.py)."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from streams.limits import CAPABILITIES_MAX, ENDPOINTS_MAX, MISSING_UPDATES_MAX, WINDOW_MAX
from streams.records import CommandCode
from streams.replay import commands
from streams.replay.commands import Decision, Run
from streams.tables.endpoints import Endpoint, Parameters


class Inbox(NamedTuple):
    """A queue that holds what lies between two numbers."""

    head: int = 10
    kept_from: int = 1
    epoch: int = 1

    def is_kept(self, seq: int) -> bool:
        return seq >= self.kept_from


ALL = Inbox()
GIVEN: dict[str, Any] = {
    "locale": "fr",
    "app_version": "1.2",
    "capabilities": ["read_receipts"],
    "media_width_max": 800,
    "encoding": "",
    "route": "web",
    "window": 5,
}
DETACHED = Endpoint("phone", Parameters(), 1, acked=4, sent=6)
LIVE = DETACHED._replace(is_attached=True, attached_from=5)
PARKED = LIVE._replace(is_parked=True, parameters=Parameters(window=2))


def register(endpoint: Endpoint | None = None, others: int = 0, queue: Inbox = ALL, **given: Any) -> Decision:
    fields = {**GIVEN, **given}
    return commands.register(fields, "phone", endpoint, others=others, queue=queue, routes=("mobile", "web"))


def test_a_new_endpoint_begins_detached_with_nothing_acknowledged() -> None:
    """Registering does not attach; the encoding falls back to the only one there is (Q17)."""
    decision = register(encoding="morse", route="")
    parameters = Parameters("fr", "1.2", ("read_receipts",), 800, "avro", "", 5)
    assert decision == Decision(CommandCode.OK, after=Endpoint("phone", parameters, 1))


def test_registering_again_replaces_parameters_and_keeps_pointers_and_attachment() -> None:
    """What the endpoint has come to is not forgotten; an implied sent pointer is written down."""
    after = register(LIVE).after
    assert after is not None
    assert after.parameters.window == 5
    assert (after.acked, after.sent, after.is_attached, after.attached_from) == (4, 10, True, 5)


def test_a_parked_endpoint_with_a_larger_window_goes_on() -> None:
    """New parameters open a window as an acknowledgement does."""
    assert register(PARKED, window=0).resumes
    assert not register(LIVE).resumes


@pytest.mark.parametrize(
    "given",
    [
        {"window": -1},
        {"window": WINDOW_MAX + 1},
        {"media_width_max": -1},
        {"locale": "x" * 129},
        {"locale": "f\0r"},
        {"capabilities": ["a\nb"]},
        {"capabilities": [""]},
        {"capabilities": ["c"] * (CAPABILITIES_MAX + 1)},
    ],
)
def test_parameters_out_of_bounds_are_rejected(given: dict[str, Any]) -> None:
    """Q17: what is unknown falls back, what is malformed is refused and changes nothing."""
    assert register(LIVE, **given) == Decision(CommandCode.REJECTED)


def test_an_unknown_route_is_refused() -> None:
    """A device that nobody would serve must hear of it."""
    assert register(route="pigeon") == Decision(CommandCode.UNKNOWN_ROUTE)


def test_an_account_has_a_bounded_number_of_endpoints() -> None:
    """One more is refused; those that exist can still change."""
    assert register(others=ENDPOINTS_MAX) == Decision(CommandCode.TOO_MANY_ENDPOINTS)
    assert register(others=ENDPOINTS_MAX - 1).code is CommandCode.OK
    assert register(LIVE, others=ENDPOINTS_MAX - 1).code is CommandCode.OK


@pytest.mark.parametrize(
    ("position", "start"), [(None, 5), ({"epoch": 1, "seq": 2}, 5), ({"epoch": 1, "seq": 8}, 9)]
)
def test_an_attach_replays_from_the_floor_to_the_head(position: dict[str, int] | None, start: int) -> None:
    """Q16, Q8: the floor is what was acknowledged or the position named, whichever is further."""
    decision = commands.attach(position, DETACHED, Inbox())
    after = DETACHED._replace(is_attached=True, attached_from=start, sent=10)
    assert decision == Decision(CommandCode.OK, after=after, run=Run(start, 10))


def test_an_attach_at_the_head_replays_nothing() -> None:
    """The next update goes to the route."""
    decision = commands.attach({"epoch": 1, "seq": 10}, DETACHED, Inbox(kept_from=11))
    assert decision.code is CommandCode.OK
    assert decision.run is None
    assert decision.after is not None
    assert decision.after.attached_from == 11


def test_attaching_again_begins_a_new_attachment() -> None:
    """Q8: what was sent and not acknowledged is sent again, and a parked endpoint starts afresh."""
    decision = commands.attach(None, PARKED, Inbox())
    assert decision.run == Run(5, 10)
    assert decision.after == PARKED._replace(is_parked=False, sent=10)


@pytest.mark.parametrize(
    ("position", "queue", "code"),
    [
        (None, Inbox(kept_from=6), CommandCode.BELOW_KEPT),
        ({"epoch": 2, "seq": 1}, Inbox(), CommandCode.EPOCH_CHANGED),
        ({"epoch": 1, "seq": 11}, Inbox(), CommandCode.BEYOND_HEAD),
        ({"epoch": 1, "seq": -1}, Inbox(), CommandCode.REJECTED),
        (None, Inbox(epoch=2), CommandCode.EPOCH_CHANGED),
    ],
)
def test_a_refused_attach_changes_nothing(
    position: dict[str, int] | None, queue: Inbox, code: CommandCode
) -> None:
    """Below the kept range, beyond the head, of another epoch: a code that says what to do, no attachment."""
    assert commands.attach(position, DETACHED, queue) == Decision(code)


def test_a_position_of_a_new_epoch_drops_the_old_pointers() -> None:
    """An old seq is never paired with a new epoch."""
    decision = commands.attach({"epoch": 2, "seq": 3}, DETACHED, Inbox(epoch=2))
    assert decision.run == Run(4, 10)
    assert decision.after is not None
    assert (decision.after.epoch, decision.after.acked) == (2, 0)


def test_a_detached_endpoint_keeps_its_pointers() -> None:
    """Q6: detaching writes down how far it was sent; doing it twice is refused and harmless."""
    after = DETACHED._replace(sent=10)
    assert commands.detach(LIVE, Inbox()) == Decision(CommandCode.OK, after=after)
    assert commands.detach(after, Inbox()) == Decision(CommandCode.NOT_ATTACHED)


@pytest.mark.parametrize(("seq", "acked"), [(0, 4), (3, 4), (4, 4), (7, 7), (10, 10)])
def test_an_acknowledgement_moves_the_floor_up_only(seq: int, acked: int) -> None:
    """Late and repeated acknowledgements are harmless; none is needed to be attached."""
    for endpoint in (DETACHED, LIVE):
        decision = commands.acknowledge({"epoch": 1, "seq": seq}, endpoint, Inbox())
        assert decision.after is not None
        assert decision.after.acked == acked
        assert not decision.resumes


@pytest.mark.parametrize(
    ("epoch", "seq", "code"),
    [
        (1, 11, CommandCode.BEYOND_HEAD),
        (2, 5, CommandCode.EPOCH_CHANGED),
        (0, 5, CommandCode.EPOCH_CHANGED),
        (1, -1, CommandCode.REJECTED),
    ],
)
def test_an_acknowledgement_of_what_was_never_numbered_is_refused(
    epoch: int, seq: int, code: CommandCode
) -> None:
    """The floor never passes the head, nor takes a number of another epoch."""
    assert commands.acknowledge({"epoch": epoch, "seq": seq}, LIVE, Inbox()) == Decision(code)


def test_an_acknowledgement_lets_a_parked_endpoint_go_on() -> None:
    """Q16: from sent + 1, or behind what it fetched itself and acknowledged."""
    decision = commands.acknowledge({"epoch": 1, "seq": 5}, PARKED, Inbox())
    assert decision.resumes
    assert decision.after == PARKED._replace(acked=5)
    decision = commands.acknowledge({"epoch": 1, "seq": 9}, PARKED, Inbox())
    assert decision.after == PARKED._replace(acked=9, sent=9)


def test_a_parked_endpoint_whose_next_update_is_gone_loses_its_attachment() -> None:
    """It is told to take a snapshot instead of being sent a hole; what it acknowledged counts."""
    decision = commands.acknowledge({"epoch": 1, "seq": 5}, PARKED, Inbox(kept_from=8))
    after = PARKED._replace(acked=5, is_attached=False, is_parked=False, attached_from=0)
    assert decision == Decision(CommandCode.BELOW_KEPT, after=after)


def test_a_parked_endpoint_is_live_again_once_nothing_is_left() -> None:
    """Q16: and not before."""
    assert commands.resumed(PARKED, 9, 10) == PARKED._replace(sent=9)
    assert commands.resumed(PARKED, 10, 10) == PARKED._replace(sent=10, is_parked=False)


def missing(from_seq: int, limit: int, epoch: int = 1, queue: Inbox = ALL) -> Decision:
    return commands.missing({"epoch": epoch, "from_seq": from_seq, "limit": limit}, queue)


def test_missing_updates_are_cut_to_what_was_asked_and_to_what_there_is() -> None:
    """Q6: from the number asked for, so many at most, to the head at most; at the head nothing is missing."""
    assert missing(3, 4).run == Run(3, 6)
    assert missing(3, 2**31 - 1).run == Run(3, 10)
    assert missing(11, 5) == Decision(CommandCode.OK)


def test_a_wish_above_the_limit_is_cut_and_says_so() -> None:
    """Q6: has_more tells that the answer is not all that was asked for."""
    queue = Inbox(head=MISSING_UPDATES_MAX + 50)
    assert missing(1, MISSING_UPDATES_MAX + 1, queue=queue).run == Run(1, MISSING_UPDATES_MAX, has_more=True)
    assert missing(1, MISSING_UPDATES_MAX, queue=queue).run == Run(1, MISSING_UPDATES_MAX)


@pytest.mark.parametrize(
    ("decision", "code"),
    [
        (missing(12, 1), CommandCode.BEYOND_HEAD),
        (missing(0, 1), CommandCode.REJECTED),
        (missing(1, 0), CommandCode.REJECTED),
        (missing(1, 1, epoch=2), CommandCode.EPOCH_CHANGED),
        (missing(3, 1, queue=Inbox(kept_from=4)), CommandCode.BELOW_KEPT),
    ],
)
def test_what_cannot_be_sent_again_is_refused_with_a_code(decision: Decision, code: CommandCode) -> None:
    """Beyond the head, before the kept range, of another epoch, or no range at all."""
    assert decision == Decision(code)
