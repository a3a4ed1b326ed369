"""Kafka behind the split store's port QueueReader: reading the queue a second time; and trimming it.

Tested in tests/e2e/test_split_store_kafka.py on real Kafka.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from streams.adapters.cluster import Cluster
from streams.errors import BrokerUnavailable, QueueReplaced, TopologyError, TrimmedBelowProgress
from streams.store_ports import QueueSlice, QueueSpan

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from types import TracebackType

    from streams.connection import Connection

_POLL_MS = 500


class KafkaQueue:
    """One consumer, outside any group, for all partitions of a topic; implements QueueReader."""

    def __init__(self, connection: Connection, topic: str) -> None:
        self._connection = connection
        self._topic = topic
        self._turn = asyncio.Lock()
        """One reader at a time: the consumer has one assignment."""
        self._connected = asyncio.Event()
        """A worker is assigned its partitions while it still connects."""
        self._position: tuple[int, int] | None = None
        """Where the consumer stands: partition and offset."""

    async def __aenter__(self) -> Self:
        self._consumer = AIOKafkaConsumer(
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=100,
            **self._connection.client_arguments(),
        )
        await self._consumer.start()
        self._cluster = await Cluster(self._connection).__aenter__()
        self._connected.set()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._consumer.stop()
        await self._cluster.__aexit__(kind, error, traceback)

    async def span(self, partition: int) -> QueueSpan:
        """Implements QueueReader. The id is asked first: a queue that is made anew meanwhile is seen at the next."""
        await self._connected.wait()
        one = TopicPartition(self._topic, partition)
        ids = await self._cluster.topic_ids([self._topic])
        if self._topic not in ids:
            raise TopologyError(f"{self._topic} is not there: run `lockstep topics create`")
        start = (await self._cluster.beginning_offsets([one]))[one]
        end = (await self._cluster.end_offsets([one], "read_uncommitted"))[one]
        return QueueSpan(ids[self._topic], start, end)

    async def read(self, partition: int, first: int, before: int, records_max: int) -> QueueSlice:
        """Implements QueueReader; goes on without asking where the last call ended there."""
        async with self._turn:
            await self._connected.wait()
            position, self._position = self._position, None  # unknown while it moves, and after an error
            one = TopicPartition(self._topic, partition)
            try:
                if position != (partition, first):
                    await self._seek(one, first)
                found = await self._fetch(one, before, records_max)
                self._position = partition, await self._consumer.position(one)
            except OffsetOutOfRangeError as error:
                raise _trimmed(one, None, first) from error
            except (KafkaError, OSError) as error:
                raise BrokerUnavailable(f"{self._topic}: {error!r}; it is tried again") from error
        return found

    async def _seek(self, one: TopicPartition, first: int) -> None:
        start = (await self._cluster.beginning_offsets([one]))[one]
        if first < start:
            raise _trimmed(one, start, first)
        self._consumer.assign([one])
        self._consumer.seek(one, first)

    async def _fetch(self, one: TopicPartition, before: int, records_max: int) -> QueueSlice:
        while True:
            fetched = await self._consumer.getmany(one, timeout_ms=_POLL_MS, max_records=records_max)
            records = [record for record in fetched.get(one, []) if record.offset < before]
            position = await self._consumer.position(one)
            if records:
                return QueueSlice(records, min(position, before))
            if position >= before:
                return QueueSlice([], before)

    # -- Trimming -------------------------------------------------------------------------------------------

    async def check(self) -> None:
        """Return if a broker answers that knows the topic; raises BrokerUnavailable."""
        await self._connected.wait()
        await self._cluster.topics([self._topic])

    async def first_younger(self, partitions: Collection[int], than_ms: int) -> dict[int, int | None]:
        """Return the first offset appended at or after an instant, None where nothing was."""
        places = [TopicPartition(self._topic, number) for number in partitions]
        found = await self._cluster.offsets_at(places, than_ms)
        return {one.partition: offset for one, offset in found.items()}

    async def delete_below(self, offsets: Mapping[int, int]) -> None:
        """Delete what lies below an offset, for each partition named; raises QueueReplaced beyond the end."""
        try:
            await self._cluster.delete_records({self._topic: offsets})
        except OffsetOutOfRangeError as error:
            raise QueueReplaced(f"{self._topic} ends below what is stored of it: {error}") from error


def _trimmed(one: TopicPartition, start: int | None, first: int) -> TrimmedBelowProgress:
    where = "above it" if start is None else f"at {start}"
    return TrimmedBelowProgress(
        f"{one.topic} of shard {one.partition} begins {where}, but bodies are stored only up to {first}; "
        "see docs/operations.md, TRIMMED_BELOW_PROGRESS"
    )
