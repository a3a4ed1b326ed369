"""Writes many records fast, in order per partition, and again when the broker was away.

Guarantees: what `flush` returned for is durable; within a partition records stand in the order of `put`. A
record may stand twice when an answer of the broker was lost: requests carry tokens and commands carry ids, so
that is harmless. Does not wait for answers of the pipeline (see sender.py). Bounded: one batch filling and
one on its way a partition. Tested in tests/client/test_kafka.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import BrokerUnavailable

BATCH_BYTES = 131_072  # a large batch costs the broker little more than a small one
_OVERHEAD_BYTES = 32  # of a record inside a batch, rounded up
_LINGER_SECONDS = 0.005
_PAUSE_SECONDS_MAX = 2.0

Pair = tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]


class _Lane:
    """One partition: what is being gathered, and the batch on its way."""

    __slots__ = ("flight", "open", "open_bytes")

    def __init__(self) -> None:
        self.open: list[Pair] = []
        self.open_bytes = 0
        self.flight: asyncio.Task[None] | None = None


class Publisher:
    """A producer for bulk traffic; use as `async with`.

    client_arguments: of the connection. retry_seconds: how long a batch is tried before BrokerUnavailable.
    """

    def __init__(self, client_arguments: Mapping[str, Any], *, retry_seconds: float = 120.0) -> None:
        self._arguments = dict(client_arguments)
        self._retry_seconds = retry_seconds
        self._producer: AIOKafkaProducer | None = None
        self._renewing = asyncio.Lock()
        self._lanes: dict[TopicPartition, _Lane] = {}
        self._ticker: asyncio.Task[None] | None = None
        self.written = 0
        """Records handed to `put`."""

    async def __aenter__(self) -> Self:
        await self._current(None, time.monotonic() + self._retry_seconds)
        self._ticker = asyncio.create_task(self._tick())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                await self.flush()
        finally:
            tasks = [lane.flight for lane in self._lanes.values() if lane.flight is not None]
            for task in [*tasks, *([self._ticker] if self._ticker else [])]:
                task.cancel()
            await asyncio.gather(*tasks, *([self._ticker] if self._ticker else []), return_exceptions=True)
            if self._producer is not None:
                await self._producer.stop()

    async def shards(self, topic: str) -> int:
        """Return how many partitions a topic has in the cluster; raise BrokerUnavailable."""
        producer = await self._current(None, time.monotonic() + self._retry_seconds)
        try:
            return len(await producer.partitions_for(topic))
        except KafkaError as error:
            raise BrokerUnavailable(f"The cluster does not show the topic {topic}: {error!r}") from error

    async def put(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: tuple[tuple[str, bytes], ...] = (),
    ) -> None:
        """Add a record; waits when its partition has a batch on its way and another one full."""
        at = TopicPartition(topic, partition)
        lane = self._lanes.get(at)
        if lane is None:
            lane = self._lanes[at] = _Lane()
        lane.open.append((key, value, headers))
        lane.open_bytes += len(key or b"") + len(value or b"") + _OVERHEAD_BYTES
        self.written += 1
        if lane.open_bytes >= BATCH_BYTES:
            await self._ship(at, lane)

    async def flush(self) -> None:
        """Return when everything that was put is durable; raise BrokerUnavailable when it cannot be."""
        while any(lane.open or lane.flight for lane in self._lanes.values()):
            for at, lane in self._lanes.items():
                if lane.open:
                    await self._ship(at, lane)
            for lane in self._lanes.values():
                await self._landed(lane)

    async def _tick(self) -> None:
        """Ship what waits while its partition is idle, so that slow traffic is not held back."""
        while True:
            await asyncio.sleep(_LINGER_SECONDS)
            for at, lane in list(self._lanes.items()):
                is_idle = lane.flight is None or (lane.flight.done() and lane.flight.exception() is None)
                if lane.open and is_idle:
                    self._launch(at, lane)

    async def _ship(self, at: TopicPartition, lane: _Lane) -> None:
        await self._landed(lane)
        if lane.open and lane.flight is None:
            self._launch(at, lane)

    def _launch(self, at: TopicPartition, lane: _Lane) -> None:
        records, lane.open, lane.open_bytes = lane.open, [], 0
        lane.flight = asyncio.create_task(self._deliver(at, records))

    @staticmethod
    async def _landed(lane: _Lane) -> None:
        if (flight := lane.flight) is not None:
            await flight
            if lane.flight is flight:
                lane.flight = None

    async def _deliver(self, at: TopicPartition, records: list[Pair]) -> None:
        deadline = time.monotonic() + self._retry_seconds
        pause, failed, sent = 0.05, None, 0
        while sent < len(records):
            producer = await self._current(failed, deadline)
            batch = producer.create_batch()
            count = 0
            for key, value, headers in records[sent:]:
                if batch.append(timestamp=None, key=key, value=value, headers=list(headers)) is None:
                    break
                count += 1
            try:
                await (await producer.send_batch(batch, at.topic, partition=at.partition))
            except KafkaError as error:
                if time.monotonic() >= deadline:
                    raise self._given_up(error) from error
                failed = producer
                await asyncio.sleep(pause)
                pause = min(2 * pause, _PAUSE_SECONDS_MAX)
            else:
                sent += count

    async def _current(self, failed: AIOKafkaProducer | None, deadline: float) -> AIOKafkaProducer:
        """Return a producer that works, in place of one that failed: its sequence numbers are in doubt."""
        async with self._renewing:
            if self._producer is not None and self._producer is not failed:
                return self._producer
            if self._producer is not None:
                stopping, self._producer = self._producer, None
                await stopping.stop()
            pause = 0.1
            while True:
                fresh = AIOKafkaProducer(
                    **self._arguments, acks="all", enable_idempotence=True, max_batch_size=BATCH_BYTES
                )
                try:
                    await fresh.start()
                except KafkaError as error:
                    await fresh.stop()
                    if time.monotonic() + pause >= deadline:
                        raise self._given_up(error) from error
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _PAUSE_SECONDS_MAX)
                else:
                    self._producer = fresh
                    return fresh

    def _given_up(self, error: KafkaError) -> BrokerUnavailable:
        where = self._arguments.get("bootstrap_servers", "the cluster")
        return BrokerUnavailable(
            f"{where} did not take records for {self._retry_seconds:g} s ({error!r}); is it running?"
        )
