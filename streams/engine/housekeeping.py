"""What a worker does now and then beside its units: trims internal topics and tells lag tools how far it is.

Internal topics are kept for ever by age alone. A record is deleted (DeleteRecords) when the shard that reads it has
committed its progress beyond it AND a day has passed, so that nothing unread is ever deleted, and `lockstep verify` can
look back. Group offsets are written as a hint for ordinary lag tools. Both may fail at any time without harm and are
tried again at the next round. Tested in tests/engine/test_housekeeping.py on real Kafka.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Protocol

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.engine.host import Host
from streams.errors import LockstepError

log = structlog.get_logger("engine")

ROUND_SECONDS = 15.0

KEPT_MS = 86_400_000
"""How long a processed record of an internal topic is kept: a day to look back."""

Hint = Callable[[dict[tuple[str, int], int]], Awaitable[None]]


class Trimming(Protocol):
    """What trimming asks of the cluster; adapters.cluster.Cluster."""

    async def offsets_at(
        self, partitions: Iterable[TopicPartition], at_ms: int
    ) -> dict[TopicPartition, int | None]: ...

    async def delete_records(self, before: Mapping[str, Mapping[int, int]]) -> object: ...


async def keep_house(host: Host, trimmed_topics: Collection[str], cluster: Trimming, hint: Hint) -> None:
    """Go round until cancelled."""
    while True:
        await asyncio.sleep(ROUND_SECONDS)
        progress = {
            (topic, shard.number): offset
            for shard in host.shards.values()
            for topic, offset in shard.committed_to.items()
        }
        try:
            await hint(progress)
            read = {
                TopicPartition(*place): end for place, end in progress.items() if place[0] in trimmed_topics
            }
            await trim(read, cluster, int(time.time() * 1000) - KEPT_MS)
        except (KafkaError, LockstepError, OSError) as error:
            log.warning("engine.housekeeping_failed", reason=str(error))


async def trim(read: Mapping[TopicPartition, int], cluster: Trimming, older_than_ms: int) -> None:
    """Delete what lies below the progress and is older than an instant (milliseconds since 1970)."""
    younger = await cluster.offsets_at(read, older_than_ms)
    before: dict[str, dict[int, int]] = {}
    for place, progress in read.items():
        first_younger = younger.get(place)
        before.setdefault(place.topic, {})[place.partition] = (
            progress if first_younger is None else min(progress, first_younger)
        )
    if before:
        await cluster.delete_records(before)
