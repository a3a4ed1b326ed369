"""A worker that stands still until others own its shards, and then goes on, changes nothing that anybody sees."""

from __future__ import annotations

import pytest

from tests.chaos.actions import make_zombie
from tests.chaos.harness import Harness

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
]


async def test_a_zombie_is_fenced_at_its_next_unit(ready: Harness) -> None:
    """It says that its unit is in doubt, drops its shards, opens those it still should have; nothing of it is seen."""
    for victim in ready.usual:
        await make_zombie(ready, victim)
        await ready.answered()
        await ready.judged()
