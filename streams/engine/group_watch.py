"""Ends a worker that the group has lost: better a new process than one that waits for ever.

A consumer that is thrown out of its group joins again by itself. When it does not, for longer than a few rebalances
take while the brokers answer, then something in this process hangs that nothing here can put right, and its shards may
be open nowhere. The watch asks on a connection of its own, so that it hangs with nothing that it watches.
Not promised: that it is noticed sooner; that a worker outlives it, which its supervisor starts again.
Tested in tests/engine/test_group_watch.py.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog
from aiokafka.errors import KafkaError

from streams.errors import LockstepError, WorkerStuck

log = structlog.get_logger("engine")

ROUND_SECONDS = 2.0


class Settling(Protocol):
    """What is watched; transport.GroupMembership."""

    async def is_settled(self) -> bool:
        """Whether the group counts this worker among its members, and the worker has the assignment of that."""
        ...


async def watch_group(membership: Settling, *, unsettled_s_max: float) -> None:
    """Look until cancelled; raise WorkerStuck when the worker was out of its group for so long, in rounds.

    Rounds are counted, not time: a process that was suspended gets its time to come back. A broker that is away tells
    nothing, so the count begins anew.
    """
    rounds_max = max(1, round(unsettled_s_max / ROUND_SECONDS))
    rounds = 0
    while rounds < rounds_max:
        await asyncio.sleep(ROUND_SECONDS)
        try:
            rounds = 0 if await membership.is_settled() else rounds + 1
        except (KafkaError, LockstepError, OSError):
            rounds = 0
    log.error("engine.group_lost", seconds=rounds * ROUND_SECONDS)
    raise WorkerStuck(
        f"the brokers answer, but for {rounds * ROUND_SECONDS:g} s this worker was not a settled member of its group"
    )
