"""The split store as its host sees it: open and close partitions, give them records, ask how far they are.

The host (an app of its own, `lockstep worker --app store`) fetches thread.messages with read_committed,
seeks each partition to what `open` returned, and stops fetching one that `has_room` is False for. It
never commits group offsets for correctness: the stores' pointers are the progress.

Must be used from one event loop. `take`, `has_room` and `read` raise what stopped a partition's tasks.
Tested in tests/split_store/ and, on real Kafka, tests/e2e/test_split_store_kafka.py.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, NamedTuple

from streams.errors import ConfigurationError
from streams.ids import shard_of
from streams.limits import STORE_READ_ROWS_MAX
from streams.split_store.admission import Admission
from streams.split_store.reads import CATCH_UP_S_MAX, StoredMessage, ThreadReader
from streams.split_store.retry import CALL_S_MAX
from streams.split_store.stage import Parts, Pointers, StorePartition, open_partition

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from streams.codec import Codec
    from streams.ports import Record
    from streams.store_ports import BodyStore, DeadLetters, MetadataStore, QueueReader


class PartitionStatus(NamedTuple):
    """How one partition goes: pointers, and for each half the failures in a row and what the last one was."""

    pointers: Pointers
    metadata_failures: int
    metadata_problem: str | None
    body_failures: int
    body_problem: str | None


class SplitStore:
    """All partitions that this process holds."""

    def __init__(
        self,
        *,
        metadata: MetadataStore,
        bodies: BodyStore,
        codec: Codec,
        queue: QueueReader,
        dead_letters: DeadLetters,
        shards: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        call_s_max: float = CALL_S_MAX,
        catch_up_s_max: float = CATCH_UP_S_MAX,
    ) -> None:
        self._parts = Parts(
            metadata=metadata,
            bodies=bodies,
            queue=queue,
            admission=Admission(codec, metadata, bodies),
            dead_letters=dead_letters,
            sleep=sleep,
            chance=chance,
            call_s_max=call_s_max,
        )
        self._shards = shards
        self._reader = ThreadReader(metadata, bodies, catch_up_s_max=catch_up_s_max)
        self._partitions: dict[int, StorePartition] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def open(self, partition: int) -> int:
        """Begin with a partition; return the offset to seek to: the lower of its two pointers (W5).

        Waits while the metadata store or the broker is down. Raises TrimmedBelowProgress, StoreError.
        """
        await self.close(partition)
        opened = await open_partition(partition, self._parts)
        self._partitions[partition] = opened
        self._tasks[partition] = asyncio.create_task(opened.run(), name=f"split_store {partition}")
        return opened.start

    def take(self, partition: int, records: Iterable[Record]) -> None:
        """Queue records of a partition, in the order of offsets and without holes; returns at once."""
        self._running(partition).take(records)

    def has_room(self, partition: int) -> bool:
        """Whether more records should be fetched: memory is bounded by whoever heeds it."""
        return self._running(partition).has_room

    def is_running(self, partition: int) -> bool:
        """Whether a partition is open and nothing has stopped it: then `take` and `has_room` do not raise."""
        task = self._tasks.get(partition)
        return task is not None and not task.done()

    async def stopped(self, partition: int) -> None:
        """Wait for what stops an open partition, and raise it; leaves it to the caller to close."""
        task = self._tasks[partition]
        await asyncio.wait({task})
        task.result()

    async def close(self, partition: int) -> None:
        """Stop working on a partition; what was not stored is stored after the next `open`."""
        self._partitions.pop(partition, None)
        task = self._tasks.pop(partition, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def close_all(self) -> None:
        """Close every partition; the stores stay open."""
        await asyncio.gather(*(self.close(partition) for partition in list(self._partitions)))

    async def read(
        self, thread_id: str, first: int, last: int, *, rows_max: int = STORE_READ_ROWS_MAX
    ) -> list[StoredMessage]:
        """Return positions first..last of a thread, metadata and bodies matching or flagged pending (W7).

        Raises StoreUnavailable when the metadata store does not answer.
        """
        partition = self._running(shard_of(thread_id, self._shards))
        return await self._reader.read(partition, thread_id, first, last, rows_max)

    def pointers(self) -> dict[int, Pointers]:
        """How far each open partition is, as observed."""
        return {number: partition.pointers for number, partition in self._partitions.items()}

    def lowest_pointer(self, partition: int) -> int:
        """Return the offset below which the queue may be trimmed: all of it is stored in both halves (W9)."""
        return self._running(partition).pointers.lowest

    def status(self) -> dict[int, PartitionStatus]:
        """How each open partition goes."""
        return {number: _status(partition) for number, partition in self._partitions.items()}

    def counters(self) -> dict[str, int]:
        """What this process has written, by name: rows, bodies, dead_letters."""
        return {name: self._parts.counters[name] for name in ("rows", "bodies", "dead_letters")}

    def _running(self, partition: int) -> StorePartition:
        task = self._tasks.get(partition)
        if task is None:
            raise ConfigurationError(f"partition {partition} of the split store is not open in this process")
        if task.done():
            task.result()
        return self._partitions[partition]


def _status(partition: StorePartition) -> PartitionStatus:
    metadata, bodies = partition.metadata.retry, partition.bodies.retry
    return PartitionStatus(
        partition.pointers,
        metadata.failures,
        metadata.problem,
        bodies.failures,
        bodies.problem,
    )
