"""Ends a worker that waits for something of its own that never comes: its supervisor starts another process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from streams.errors import WorkerStuck

DROP_SECONDS_MAX = 120.0
"""Dropping every shard waits for no broker, only for what is under way: the unit, which is bounded itself, the ends of
openings, and a look through a whole store for a rebuild."""


async def drop_in_time(dropping: Awaitable[None]) -> None:
    """Wait for every shard to be dropped; raise WorkerStuck when that takes longer than anything it waits for."""
    try:
        async with asyncio.timeout(DROP_SECONDS_MAX):
            await dropping
    except TimeoutError as error:
        raise WorkerStuck(f"the shards could not be dropped within {DROP_SECONDS_MAX:g} s") from error
