"""What a worker does now and then beside its units: trims internal topics and tells lag tools how far it is.

Internal topics are kept for ever by age and trimmed by DeleteRecords below the committed progress of the shard that
reads them, so that nothing unread is ever deleted. Group offsets are written as a hint for ordinary lag tools. Both
may fail at any time without harm and are tried again at the next round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

import structlog
from aiokafka.errors import KafkaError

from streams.engine.host import Host
from streams.errors import LockstepError

log = structlog.get_logger("engine")

ROUND_SECONDS = 15.0

DeleteRecords = Callable[[Mapping[str, Mapping[int, int]]], Awaitable[object]]
Hint = Callable[[dict[tuple[str, int], int]], Awaitable[None]]


async def keep_house(
    host: Host, trimmed_topics: Collection[str], delete_records: DeleteRecords, hint: Hint
) -> None:
    """Go round until cancelled."""
    trimmed: dict[tuple[str, int], int] = {}
    while True:
        await asyncio.sleep(ROUND_SECONDS)
        progress = {
            (topic, shard.number): offset
            for shard in host.shards.values()
            for topic, offset in shard.committed_to.items()
        }
        try:
            await hint(progress)
            await _trim(progress, trimmed_topics, trimmed, delete_records)
        except (KafkaError, LockstepError, OSError) as error:
            log.warning("engine.housekeeping_failed", reason=str(error))


async def _trim(
    progress: Mapping[tuple[str, int], int],
    trimmed_topics: Collection[str],
    trimmed: dict[tuple[str, int], int],
    delete_records: DeleteRecords,
) -> None:
    before: dict[str, dict[int, int]] = {}
    for (topic, partition), offset in progress.items():
        if topic in trimmed_topics and offset > trimmed.get((topic, partition), 0):
            before.setdefault(topic, {})[partition] = offset
    if before:
        await delete_records(before)
        for topic, offsets in before.items():
            trimmed |= {(topic, partition): offset for partition, offset in offsets.items()}
