"""The local stores of one worker: where they lie, and how one is opened so that it may be continued from its markers.

Whoever opens a store asks here: the opening of a shard, and a standby. All share one memory. Two must not open the same
shard at once: RocksDB's lock refuses the second with a StoreError. Tested in tests/engine and tests/chaos.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, Protocol

import structlog
from aiokafka import TopicPartition

from streams.engine.restoration import reason_to_wipe, refuse_replaced
from streams.engine.settings import HostSettings
from streams.engine.store import Memory, Store, wipe
from streams.errors import StateTopicReplaced

log = structlog.get_logger("engine")

_PREFIX = "shard-"


class ClusterView(Protocol):
    """What a worker's shards ask of the cluster beside reading and writing; adapters.cluster.Cluster."""

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]: ...

    async def end_offsets(
        self, partitions: Iterable[TopicPartition], isolation: Literal["read_committed", "read_uncommitted"]
    ) -> dict[TopicPartition, int]: ...

    async def topic_ids(self, names: Iterable[str]) -> dict[str, str]: ...


def shards_in(folder: Path) -> list[int]:
    """Return the shards of which a store lies in a worker's folder, however old."""
    names = (path.name.removeprefix(_PREFIX) for path in folder.glob(f"{_PREFIX}*"))
    return sorted(int(name) for name in names if name.isdecimal())


class Stores:
    """Opens the stores of one worker."""

    def __init__(self, settings: HostSettings, cluster: ClusterView) -> None:
        self._settings = settings
        self._cluster = cluster
        self._memory = Memory.of(settings.memory_bytes)

    def path(self, number: int) -> Path:
        """Return where a shard's store lies."""
        return self._settings.folder / f"{_PREFIX}{number:04d}"

    def topics(self) -> list[str]:
        """Return the topics that a store is filled from; the state topic first."""
        settings = self._settings
        return [settings.state_topic, *(restorer.topic for restorer in settings.restorers())]

    async def high_watermarks(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the ends of logs, undecided records included."""
        return await self._cluster.end_offsets(partitions, "read_uncommitted")

    async def checked(self, number: int) -> Store:
        """Open the shard's store, or a fresh one where it cannot be continued; every topic has a marker in it.

        Raises StoreError. The store is opened after the last await, and then the call returns: whoever it is for sees
        in the same turn of the event loop whether it is still wanted.
        """
        settings, topics = self._settings, self.topics()
        partitions = [TopicPartition(topic, number) for topic in topics]
        ids = await self._cluster.topic_ids(topics)
        starts = await self._cluster.beginning_offsets(partitions)
        ends = await self.high_watermarks(partitions)
        path = self.path(number)
        store = Store(path, self._memory)
        try:
            refuse_replaced(store, settings.state_topic, ids)
        except StateTopicReplaced:
            store.close()
            raise
        reason = reason_to_wipe(
            store,
            topics,
            starts={one.topic: offset for one, offset in starts.items()},
            ends={one.topic: offset for one, offset in ends.items()},
            topic_ids=ids,
            tombstones_kept_ms=settings.tombstones_kept_ms,
            now_ms=int(time.time() * 1000),
        )
        if reason is not None:
            log.warning("engine.store_wiped", shard=number, reason=reason)
            store.close()
            wipe(path)
            store = Store(path, self._memory)
        for topic, topic_id in ids.items():
            store.keep_topic_id(topic, topic_id)
        fresh = {one.topic: offset for one, offset in starts.items() if store.marker(one.topic) is None}
        if fresh:
            store.write((), fresh)
        return store
