"""Writes a load: as fast as it goes, or at a rate that does not wait for anybody (no coordinated omission)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from streams.client.publisher import Publisher

if TYPE_CHECKING:
    from bench.load import Fed
    from bench.sitting import Sitting


async def feed(sitting: Sitting, topic: str, records: Iterable[Fed]) -> int:
    """Write records at full speed; return how many, once they are durable."""
    async with Publisher(sitting.client_arguments()) as publisher:
        put = publisher.put
        for one in records:
            await put(topic, one.partition, one.key, one.value)
        return publisher.written


async def feed_at_rate(
    sitting: Sitting, topic: str, records: Iterable[Fed], per_second: float, due_at_s: dict[bytes, float]
) -> None:
    """Write records at a steady rate and note when each was due (monotonic clock), whatever held it up."""
    async with Publisher(sitting.client_arguments()) as publisher:
        began_s = time.monotonic()
        for number, one in enumerate(records):
            due_s = began_s + number / per_second
            if (wait_s := due_s - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
            due_at_s.setdefault(one.message, due_s)
            await publisher.put(topic, one.partition, one.key, one.value)
