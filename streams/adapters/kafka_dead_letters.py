"""Kafka behind the split store's port DeadLetters: each record is kept exactly once, whatever is killed.

A letter is told by the topic, partition and offset of its record. For each partition that has one, a writer:
1. takes the transactional id of that partition, which ends whatever an earlier writer had left open;
2. reads what dead.letters[partition] holds from the time of its first record on, to the very end;
3. writes each letter that it did not find, in a transaction of its own.
Nothing can be written between 1 and 3 by anyone else without taking the id away, which makes 3 fail. After any
doubt the writer is thrown away, and the next attempt begins at 1. A kill after 3 is found in 2.

A letter's work goes on when its caller gives up waiting: a look through many letters may take longer than one call
may. Not promised: to find a letter that is no longer kept, or one whose time lies more than CLOCK_SLACK_MS before
its record's (the clocks of two brokers). Tested in tests/e2e/test_split_store_kafka.py.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from streams.adapters.cluster import Cluster
from streams.errors import BrokerUnavailable, RecordError

if TYPE_CHECKING:
    from types import TracebackType

    from streams.codec import Codec
    from streams.connection import Connection
    from streams.ports import Record

CLOCK_SLACK_MS: Final = 600_000
_TRANSACTION_MS: Final = 6_000
_POLL_MS: Final = 500
_CLOSE_S_MAX: Final = 1.0


class Origin(NamedTuple):
    """Where a record lies."""

    topic: str
    partition: int
    offset: int


class KafkaDeadLetters:
    """Writes records that can never be stored to dead.letters; implements DeadLetters.

    One call at a time for a partition; partitions do not wait for each other.
    """

    def __init__(self, connection: Connection, codec: Codec, topic: str, record_bytes_max: int) -> None:
        self._codec = codec
        self._topic = topic
        self._record_bytes_max = record_bytes_max
        self._connection = connection
        self._writers: dict[tuple[str, int], _Writer] = {}
        self._unfinished: dict[Origin, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        self._cluster = await Cluster(self._connection).__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        tasks = list(self._unfinished.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(writer.close() for writer in self._writers.values()), return_exceptions=True)
        self._writers.clear()
        await self._cluster.__aexit__(kind, error, traceback)

    async def __call__(self, record: Record, code: str, detail: str, /) -> None:
        """Implements DeadLetters."""
        origin = Origin(record.topic, record.partition, record.offset)
        task = self._unfinished.get(origin)
        if task is None:
            task = asyncio.create_task(self._keep(origin, record, self._encoded(record, code, detail)))
            self._unfinished[origin] = task
            task.add_done_callback(lambda ended: self._finished(origin, ended))
        try:
            await asyncio.shield(task)
        except (KafkaError, OSError) as error:
            raise BrokerUnavailable(f"{self._topic}: {error!r}; it is tried again") from error

    def _finished(self, origin: Origin, task: asyncio.Task[None]) -> None:
        del self._unfinished[origin]
        if not task.cancelled():
            task.exception()  # whoever waits is told; nobody may be left to wait

    def _encoded(self, record: Record, code: str, detail: str) -> bytes:
        return self._codec["DeadLetter"].encode(
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

    async def _keep(self, origin: Origin, record: Record, value: bytes) -> None:
        source = origin.topic, origin.partition
        writer = self._writers.pop(source, None)
        is_sound = False
        try:
            if writer is None:
                writer = self._writer(origin)
                await writer.open(record.timestamp - CLOCK_SLACK_MS)
            await writer.keep(origin.offset, record.key, value)
            is_sound = True
        finally:
            if is_sound and writer is not None:
                self._writers[source] = writer
            elif writer is not None:
                await writer.close()

    def _writer(self, origin: Origin) -> _Writer:
        place = TopicPartition(self._topic, origin.partition)
        producer = AIOKafkaProducer(
            transactional_id=f"{place.topic}.{origin.topic}.{place.partition}",
            transaction_timeout_ms=_TRANSACTION_MS,
            max_request_size=self._record_bytes_max,
            **self._connection.client_arguments(),
        )
        return _Writer(place, origin.topic, producer, _Look(self._connection, self._cluster, self._codec))


class _Look:
    """Finds what is kept."""

    def __init__(self, connection: Connection, cluster: Cluster, codec: Codec) -> None:
        self._connection = connection
        self._cluster = cluster
        self._codec = codec

    async def find(self, place: TopicPartition, source: str, since_ms: int) -> set[int]:
        """Return the offsets of a source's records whose letters were written since an instant."""
        # Asked beyond the last stable offset: a letter of ours may lie behind somebody else's open transaction.
        first = (await self._cluster.offsets_at([place], max(since_ms, 0)))[place]
        end = (await self._cluster.end_offsets([place], "read_uncommitted"))[place]
        found: set[int] = set()
        if first is None:
            return found
        async with AIOKafkaConsumer(
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            **self._connection.client_arguments(),
        ) as consumer:
            consumer.assign([place])
            consumer.seek(place, first)
            while await consumer.position(place) < end:
                fetched = await consumer.getmany(place, timeout_ms=_POLL_MS)
                origins = [self._origin(record.value) for record in fetched.get(place, [])]
                found |= {one.offset for one in origins if one and one[:2] == (source, place.partition)}
        return found

    def _origin(self, value: bytes | None) -> Origin | None:
        try:
            letter = self._codec.decode_as("DeadLetter", value)
        except RecordError:
            return None  # somebody else's
        return Origin(letter["topic"], letter["partition"], letter["offset"])


class _Writer:
    """Keeps the dead letters of one partition of one topic; of no use after a call that raised."""

    def __init__(self, place: TopicPartition, source: str, producer: AIOKafkaProducer, look: _Look) -> None:
        self._place = place
        self._source = source
        self._producer = producer
        self._look = look
        self._kept: set[int] = set()
        """Offsets whose letters are there."""

    async def open(self, since_ms: int) -> None:
        """Take the transactional id, then find what is kept of records since an instant."""
        await self._producer.start()
        self._kept = await self._look.find(self._place, self._source, since_ms)

    async def keep(self, offset: int, key: bytes | None, value: bytes) -> None:
        """Write a letter unless it is there."""
        if offset in self._kept:
            return
        async with self._producer.transaction():
            await self._producer.send(self._place.topic, value, key, partition=self._place.partition)
        self._kept.add(offset)

    async def close(self) -> None:
        """Let go, without waiting for long; what was in doubt is decided by the next writer's `open`."""
        closing = asyncio.ensure_future(self._producer.stop())
        await asyncio.wait({closing}, timeout=_CLOSE_S_MAX)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
