"""The claims of a shard hold under faults, and the checker would tell if they did not."""

from __future__ import annotations

import pytest

from tests.simulation.laws import Law
from tests.simulation.planted import BUGS
from tests.simulation.run import run
from tests.simulation.schedule import Schedule

SCHEDULES = 10_000
FIRST_SEED = 1
PARTS = 4
"""A failing part names itself, and each stays far below the time-out of a test."""

REACHED = (
    "BackOff",
    "CommitClaim",
    "ConfirmMembership",
    "Fence",
    "GiveWay",
    "ReadToEnd",
    "Won",
    "compactions",
    "doubts",
    "fences elsewhere",
    "kills",
    "late requests",
    "openings dropped",
    "releases",
    "stalls",
    "stores lost",
    "stores stale",
    "transactions timed out",
)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_no_schedule_has_two_owners_or_loses_a_unit(part: int) -> None:
    """10,000 schedules in all; each part also reaches every fault and every move of the protocol."""
    share = SCHEDULES // PARTS
    summary = run(range(FIRST_SEED + part * share, FIRST_SEED + (part + 1) * share), BUGS["none"])
    first = summary.first_violation
    assert first is None, (
        f"python -m tests.simulation --schedules 1 --seed {first.seed}: {first.violations[0]}"
    )
    assert summary.units > share
    assert [what for what in REACHED if not summary.counts[what]] == []


@pytest.mark.parametrize(
    ("planted", "law"),
    [
        ("reused-id", Law.ONE_CHAIN),
        ("last-claim", Law.ONE_CHAIN),
        ("no-fence", Law.ONE_CHAIN),
        ("unsettled", Law.ALL_RESTORED),
        ("never-confirms", Law.SERVED),
    ],
)
def test_the_checker_finds_a_planted_bug(planted: str, law: Law) -> None:
    summary = run(
        range(FIRST_SEED, FIRST_SEED + SCHEDULES),
        BUGS[planted],
        stops_at=lambda so_far: so_far.broken[law] > 0,
    )
    print(f"{planted} breaks {law.name} after {summary.schedules} schedules")
    assert summary.broken[law]


def test_an_open_claim_below_the_marker_of_the_next_opener_is_seen_and_fenced() -> None:
    """Found by seed 51111: the holder's units stand behind a claim that lost and was left open by a dead claimer."""
    assert Schedule(51111).run().violations == ()
    broken = {violation.law for violation in Schedule(51111, BUGS["skipped-tail"]).run().violations}
    assert broken == {Law.SERVED}


def test_a_seed_repeats_its_schedule() -> None:
    once, again = (Schedule(7, is_traced=True).run() for _ in range(2))
    assert once == again
    assert len(once.trace) > 100
