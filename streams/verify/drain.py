"""Whether everything is processed: no input has a committed record beyond its reader's progress.

A transaction's control records take offsets too, so a difference of numbers says nothing: first the cheap
test for equality, then the tail is read. `remaining` answers for one moment: it is empty only when a whole
look found nothing and no input had grown by the end of it, so records in flight between two stages cannot
hide. Says nothing about requests that are still being produced. Tested in tests/verify/test_kafka.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.topology.model import STATE_TOPIC
from streams.verify.progress import Progress, ProgressFollower
from streams.verify.source import offsets_of, partitions_of, start_consumer

if TYPE_CHECKING:
    from streams.topology import Topology

_PAUSE_SECONDS = 0.1
_POLL_MS = 200

Pointers = Callable[[], Mapping[tuple[str, int], int]]
"""Progress that stands elsewhere (the split store's): (topic, shard) -> next offset."""


class Lag(NamedTuple):
    """One input that has work left. `end` counts control records too."""

    topic: str
    shard: int
    next_offset: int
    end: int
    reader: str


class DrainCheck:
    """Looks at the inputs of the pipeline, and of the store when its pointers are given."""

    def __init__(
        self, client_arguments: Mapping[str, Any], topology: Topology, store_pointers: Pointers | None = None
    ) -> None:
        self._arguments = dict(client_arguments)
        self._inputs = topology.inputs_of("pipeline")
        self._store_inputs = topology.inputs_of("store") if store_pointers is not None else ()
        self._store_pointers = store_pointers
        self._stack = AsyncExitStack()
        self._proved: dict[tuple[str, TopicPartition], tuple[int, int]] = {}
        """(reader, input) -> (progress, end) between which there is certainly no record."""

    async def __aenter__(self) -> Self:
        self._tail = await self._consumer()
        state = await self._consumer()
        self._partitions = await partitions_of(self._arguments, {*self._inputs, *self._store_inputs})
        self._follower = ProgressFollower(state, await partitions_of(self._arguments, [STATE_TOPIC]))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _consumer(self) -> AIOKafkaConsumer:
        consumer = await start_consumer(self._arguments)
        self._stack.push_async_callback(consumer.stop)
        return consumer

    async def remaining(self) -> list[Lag]:
        """Return the inputs that have work left; empty means: at this moment everything was processed."""
        starts, ends = await offsets_of(self._tail, self._partitions)
        await self._follower.refresh()
        found = await self._look(self._pipeline_progress(starts), ends, "pipeline")
        if self._store_pointers is not None and not found:
            found = await self._look(self._store_progress(self._store_pointers(), starts), ends, "store")
        if found:
            return found
        _, later = await offsets_of(self._tail, self._partitions)
        return [
            Lag(at.topic, at.partition, ends[at], later[at], "pipeline")
            for at in self._partitions
            if later[at] != ends[at]
        ]

    def _pipeline_progress(self, starts: Mapping[TopicPartition, int]) -> dict[TopicPartition, Progress]:
        book = self._follower.book
        return {
            at: book.of(at.topic, at.partition) or Progress(starts[at], is_half_done=False)
            for at in self._partitions
            if at.topic in self._inputs
        }

    def _store_progress(
        self, pointers: Mapping[tuple[str, int], int], starts: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, Progress]:
        return {
            at: Progress(pointers.get((at.topic, at.partition), starts[at]), is_half_done=False)
            for at in self._partitions
            if at.topic in self._store_inputs
        }

    async def _look(
        self, progress: Mapping[TopicPartition, Progress], ends: Mapping[TopicPartition, int], reader: str
    ) -> list[Lag]:
        lags, tails = [], {}
        for at, (next_offset, is_half_done) in progress.items():
            proved = self._proved.get((reader, at))
            if is_half_done:
                lags.append(Lag(at.topic, at.partition, next_offset, ends[at], reader))
            elif next_offset < ends[at] and proved != (next_offset, ends[at]):
                tails[at] = next_offset
        behind = await self._with_records(tails, ends)
        lags.extend(Lag(at.topic, at.partition, tails.pop(at), ends[at], reader) for at in behind)
        for at, next_offset in tails.items():
            self._proved[reader, at] = (next_offset, ends[at])
        return sorted(lags)

    async def _with_records(
        self, tails: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
    ) -> set[TopicPartition]:
        """Return those partitions that have a committed record from their offset to their end."""
        if not tails:
            return set()
        self._tail.assign(list(tails))
        for at, offset in tails.items():
            self._tail.seek(at, offset)
        found: set[TopicPartition] = set()
        left = set(tails)
        while left := {at for at in left - found if await self._tail.position(at) < ends[at]}:
            fetched = await self._tail.getmany(*left, timeout_ms=_POLL_MS, max_records=len(left))
            found |= {at for at, records in fetched.items() if records[0].offset < ends[at]}
        self._tail.pause(*tails)  # aiokafka's fetcher stumbles over a consumer without any assignment
        return found


async def wait_until_drained(
    check: DrainCheck,
    *,
    timeout_seconds: float,
    on_lag: Callable[[Sequence[Lag]], None] | None = None,
) -> list[Lag]:
    """Poll until nothing remains (empty list) or the time is up (what lags then)."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        lags = await check.remaining()
        if on_lag is not None:
            on_lag(lags)
        if not lags or time.monotonic() >= deadline:
            return lags
        await asyncio.sleep(_PAUSE_SECONDS)


def total(lags: Iterable[Lag]) -> int:
    """Upper bound of the records left."""
    return sum(max(1, lag.end - lag.next_offset) for lag in lags)
