"""Kafka behind the split store's ports: reading the queue a second time, and keeping dead letters.

Tested in tests/e2e/test_split_store_kafka.py on real Kafka.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from streams.adapters.cluster import Cluster
from streams.errors import BrokerUnavailable, TrimmedBelowProgress
from streams.store_ports import QueueSlice

if TYPE_CHECKING:
    from types import TracebackType

    from streams.codec import Format
    from streams.connection import Connection
    from streams.ports import Record

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

    async def start_offset(self, partition: int) -> int:
        """Implements QueueReader."""
        await self._connected.wait()
        one = TopicPartition(self._topic, partition)
        return (await self._cluster.beginning_offsets([one]))[one]

    async def read(self, partition: int, first: int, before: int, records_max: int) -> QueueSlice:
        """Implements QueueReader."""
        one = TopicPartition(self._topic, partition)
        start = await self.start_offset(partition)
        if first < start:
            raise TrimmedBelowProgress(
                f"{self._topic} of shard {partition} begins at {start}, but bodies are stored only "
                f"up to {first}; see docs/operations.md, TRIMMED_BELOW_PROGRESS"
            )
        async with self._turn:
            try:
                self._consumer.assign([one])
                self._consumer.seek(one, first)
                while True:
                    fetched = await self._consumer.getmany(one, timeout_ms=_POLL_MS, max_records=records_max)
                    records = [record for record in fetched.get(one, []) if record.offset < before]
                    position = await self._consumer.position(one)
                    if records:
                        return QueueSlice(records, min(position, before))
                    if position >= before:
                        return QueueSlice([], before)
            except (KafkaError, OSError) as error:
                raise BrokerUnavailable(f"{self._topic}: {error}; it is tried again") from error


class KafkaDeadLetters:
    """Writes records that can never be stored to dead.letters; implements DeadLetters."""

    def __init__(
        self, connection: Connection, dead_letters: Format, topic: str, record_bytes_max: int
    ) -> None:
        self._format = dead_letters
        self._topic = topic
        self._record_bytes_max = record_bytes_max
        self._connection = connection

    async def __aenter__(self) -> Self:
        self._producer = AIOKafkaProducer(
            enable_idempotence=True,
            max_request_size=self._record_bytes_max,
            **self._connection.client_arguments(),
        )
        await self._producer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._producer.stop()

    async def __call__(self, record: Record, code: str, detail: str, /) -> None:
        """Implements DeadLetters."""
        value = self._format.encode(
            {
                "topic": record.topic,
                "partition": record.partition,
                "offset": record.offset,
                "key": record.key,
                "value": record.value,
                "headers": [{"key": key, "value": header} for key, header in record.headers],
                "code": code,
                "detail": detail,
                "at_ms": record.timestamp,
            }
        )
        try:
            await self._producer.send_and_wait(self._topic, value, record.key, partition=record.partition)
        except (KafkaError, OSError) as error:
            raise BrokerUnavailable(f"{self._topic}: {error}; it is tried again") from error
