"""Kill matrix: a worker dies between every two steps of a unit, of an opening and of the split store, under load.

Each case arms one fault point, sees that the process died there and of nothing else, starts it again unarmed, and
judges everything that was written since the first case.
"""

from __future__ import annotations

import pytest

from streams import faults
from tests.chaos.actions import kill_at
from tests.chaos.harness import Harness

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
]

# Claims and releases are transactions too: so many passings that real units are among them, under load.
UNITS_IN = 12
STRIKES_AT = {
    "unit.before_begin": UNITS_IN,
    "unit.after_begin": UNITS_IN,
    "unit.after_send": UNITS_IN,
    "unit.before_commit": UNITS_IN,
    "unit.after_commit": UNITS_IN,
    "unit.after_local_batch": UNITS_IN,
    "opening.after_restore": 2,
    "opening.after_fence": 1,
    "opening.before_claim_commit": 2,
    "opening.after_claim_commit": 1,
    "split_store.before_metadata": 5,
    "split_store.after_metadata": 5,
    "split_store.before_body": 5,
    "split_store.after_body": 5,
}


async def test_the_matrix_has_a_case_for_every_fault_point() -> None:
    """A point that is added without a kill of its own is noticed."""
    assert sorted(STRIKES_AT) == sorted(faults.POINTS)


@pytest.mark.parametrize("point", [point for point in faults.POINTS if point.startswith("unit.")])
async def test_a_worker_killed_in_a_unit_loses_and_doubles_nothing(ready: Harness, point: str) -> None:
    """D2, D12, D13: at every step of a unit; what is asked is written by two producers, until it is answered."""
    await kill_at(ready, ready.usual[0], f"{point}:{STRIKES_AT[point]}")
    await ready.answered()
    await ready.judged()


@pytest.mark.parametrize("point", [point for point in faults.POINTS if point.startswith("opening.")])
async def test_a_worker_killed_while_it_opens_a_shard_leaves_nothing_to_repair(
    ready: Harness, point: str
) -> None:
    """Nobody gave a shard away: all claims are those of dead owners, who have to be fenced."""
    for worker in ready.usual:
        worker.kill()
    victim = ready.usual[0]
    victim.start(f"{point}:{STRIKES_AT[point]}")
    await victim.died_by_fault()
    for worker in ready.usual:
        worker.start()
    await ready.answered()
    await ready.judged()


@pytest.mark.parametrize("point", [point for point in faults.POINTS if point.startswith("split_store.")])
async def test_a_store_worker_killed_between_its_halves_matches_them_again(
    ready: Harness, point: str
) -> None:
    """W4, W5, W6: metadata and bodies, each with its own pointer, on the real queue."""
    await kill_at(ready, ready.store, f"{point}:{STRIKES_AT[point]}")
    await ready.answered()
    await ready.judged()
