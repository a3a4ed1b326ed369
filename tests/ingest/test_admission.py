"""Whether a request is new, and how much had to be looked up to know."""

from __future__ import annotations

import pytest

from streams.ids import Token
from streams.ingest.admission import Admission, Verdict
from streams.records import Status
from streams.tables.ledger import Ledger, client_of, ledger_key
from tests.ingest.scenes import HOUR_MS, NOW_MS, TIMES, CountingState

ANN = client_of("ann", "phone")
RULE = Admission(TIMES.threshold_ms, TIMES.clock_ahead_ms)
DIGEST = b"digest01"


class World:
    """A ledger of its own, and the rule."""

    def __init__(self, *known: int) -> None:
        self.state = CountingState()
        self.ledger = Ledger(self.state, HOUR_MS)
        for timestamp_ms in known:
            self.ledger.record(ANN, Token(timestamp_ms, 1), DIGEST, is_newest=False)
        self.state.accesses = 0

    def decide(self, timestamp_ms: int, nonce: int = 1, digest: bytes = DIGEST) -> Verdict:
        return RULE.decide(self.ledger, ANN, Token(timestamp_ms, nonce), digest, NOW_MS)


OLDEST_MS, LATEST_MS = NOW_MS - TIMES.threshold_ms, NOW_MS + TIMES.clock_ahead_ms


@pytest.mark.parametrize(
    ("timestamp_ms", "status"),
    [
        (0, Status.TOO_OLD),
        (OLDEST_MS - 1, Status.TOO_OLD),
        (OLDEST_MS, Status.ACCEPTED),
        (LATEST_MS, Status.ACCEPTED),
        (LATEST_MS + 1, Status.CLOCK_AHEAD),
        (2**63 - 1, Status.CLOCK_AHEAD),
    ],
)
def test_age_is_looked_at_first(timestamp_ms: int, status: Status) -> None:
    """D4, D5, D15: both limits belong to what is taken; beyond them the state is not touched."""
    world = World()
    verdict = world.decide(timestamp_ms)
    assert verdict.status is status
    assert (world.state.accesses == 0) == (status is not Status.ACCEPTED)


@pytest.mark.parametrize("timestamp_ms", [OLDEST_MS, NOW_MS - HOUR_MS, NOW_MS, LATEST_MS])
def test_a_first_token_is_certainly_new(timestamp_ms: int) -> None:
    """D6: of a client that nothing is known of, any token is new without a look-up."""
    assert World().decide(timestamp_ms) == Verdict(Status.ACCEPTED, is_newest=True)


def test_newer_than_the_most_recent_is_certainly_new() -> None:
    """D6: newer by one millisecond needs no look-up, also when the most recent lies a day back."""
    for known_ms in (NOW_MS, OLDEST_MS):
        world = World(known_ms)
        assert world.decide(known_ms + 1) == Verdict(Status.ACCEPTED, is_newest=True)
        assert world.decide(LATEST_MS) == Verdict(Status.ACCEPTED, is_newest=True)


@pytest.mark.parametrize("hours", [0, 1, 12, 24])
def test_what_the_filter_does_not_hold_is_new(hours: int) -> None:
    """D7, D8: not newer, and definitely absent: accepted after one look at the filter."""
    world = World(NOW_MS)
    assert world.decide(NOW_MS - hours * HOUR_MS, nonce=2) == Verdict(Status.ACCEPTED, filter_lookups=1)


def test_a_false_positive_of_the_filter_is_confirmed_exactly() -> None:
    """D10: the filter says "perhaps" of a token never used: the exact look-up says no, it is accepted."""
    world = World(NOW_MS)
    world.state.false_positives.add(ledger_key(ANN, Token(NOW_MS - 1, 1)))
    assert world.decide(NOW_MS - 1) == Verdict(Status.ACCEPTED, filter_lookups=1, exact_lookups=1)


def test_a_known_token_is_a_duplicate_or_reused_or_refused() -> None:
    """D1, D17: a known token with its payload is DUPLICATE, with another TOKEN_REUSED; one exact look-up."""
    world = World(NOW_MS)
    assert world.decide(NOW_MS) == Verdict(Status.DUPLICATE, filter_lookups=1, exact_lookups=1)
    reused = Verdict(Status.TOKEN_REUSED, filter_lookups=1, exact_lookups=1)
    assert world.decide(NOW_MS, digest=b"digest02") == reused
    world.ledger.mark_refused(ledger_key(ANN, Token(NOW_MS, 1)), "NOT_A_MEMBER")
    refused = Verdict(Status.REFUSED, "NOT_A_MEMBER", filter_lookups=1, exact_lookups=1)
    assert world.decide(NOW_MS) == refused
    assert world.decide(NOW_MS, digest=b"digest02") == reused


def test_a_decision_changes_nothing() -> None:
    """The rule only reads: recording is the stage's, in the same unit as the operation."""
    world = World(NOW_MS, NOW_MS - HOUR_MS)
    rows = dict(world.state.rows)
    for timestamp_ms in (0, OLDEST_MS, NOW_MS - 1, NOW_MS, LATEST_MS, LATEST_MS + 1):
        world.decide(timestamp_ms)
    assert world.state.rows == rows
