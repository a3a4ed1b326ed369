"""Workers come and go faster than they can settle, and nothing is lost or doubled."""

from __future__ import annotations

import random

import pytest

from tests.chaos.actions import storm
from tests.chaos.harness import Harness

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
]


async def test_one_to_three_workers_start_stop_and_die_at_random(ready: Harness, seed: int) -> None:
    """Rebalances meet each other; graceful stops end by themselves."""
    print(", ".join(await storm(ready, random.Random(seed))))
    await ready.recovered()
    await ready.answered()
    await ready.judged()
