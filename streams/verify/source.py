"""Where the checkers get records from: a port, and Kafka behind it.

`capture` fixes one end of every topic; `batches` then gives exactly the committed records before it, in log
order per partition (several partitions are fetched at once; their runs interleave). Control and aborted
records never appear, so offsets jump. Memory is bounded by the fetch sizes. Tested in
tests/verify/test_kafka.py and the end-to-end test.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.errors import BrokerUnavailable, TopologyError
from streams.ports import Record

_POLL_MS = 500
_PARTITION_FETCH_BYTES = 2 * 1024 * 1024
_BATCH_RECORDS = 5_000


class Span(NamedTuple):
    """Offsets of one partition: the first kept, and the one after the last committed."""

    start: int
    end: int


class Source(Protocol):
    """Topics with a fixed end."""

    def spans(self, topic: str) -> Mapping[int, Span]:
        """Partition -> what is kept of it and will be read. Only for captured topics."""
        ...

    def batches(self, topic: str) -> AsyncIterator[Sequence[Record]]:
        """Runs of records of one partition each, until the captured end of all. Only for captured topics."""
        ...


class KafkaSource:
    """A cluster, read under read_committed; use as `async with`. Raises BrokerUnavailable."""

    def __init__(self, client_arguments: Mapping[str, Any]) -> None:
        self._arguments = dict(client_arguments)
        self._consumer: AIOKafkaConsumer | None = None
        self._spans: dict[str, dict[int, Span]] = {}

    async def __aenter__(self) -> Self:
        self._consumer = await start_consumer(self._arguments)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._consumer is not None:
            await self._consumer.stop()

    async def capture(self, topics: Iterable[str]) -> None:
        """Fix the ends of topics, all at one moment; raises TopologyError for a topic that is not there."""
        consumer = self._started()
        partitions = await partitions_of(self._arguments, topics)
        starts, ends = await offsets_of(consumer, partitions)
        for at in partitions:
            self._spans.setdefault(at.topic, {})[at.partition] = Span(starts[at], ends[at])

    def spans(self, topic: str) -> Mapping[int, Span]:
        """As in the port."""
        return self._spans[topic]

    async def batches(self, topic: str) -> AsyncIterator[Sequence[Record]]:
        """As in the port. One topic at a time."""
        consumer = self._started()
        left = {
            TopicPartition(topic, number): span
            for number, span in self._spans[topic].items()
            if span.start < span.end
        }
        if not left:
            return
        consumer.assign(list(left))  # in place of the last topic's: without any, aiokafka's fetcher stumbles
        for at, span in left.items():
            consumer.seek(at, span.start)
        while left:
            try:
                fetched = await consumer.getmany(*left, timeout_ms=_POLL_MS, max_records=_BATCH_RECORDS)
            except KafkaError as error:
                raise BrokerUnavailable(f"{topic} cannot be read: {error!r}") from error
            for at, records in fetched.items():
                end = left[at].end
                yield records if records[-1].offset < end else [one for one in records if one.offset < end]
            for at in [at for at, span in left.items() if await consumer.position(at) >= span.end]:
                del left[at]
                consumer.pause(at)

    def _started(self) -> AIOKafkaConsumer:
        assert self._consumer is not None, "use as `async with`"
        return self._consumer


async def start_consumer(client_arguments: Mapping[str, Any]) -> AIOKafkaConsumer:
    """Return a started read_committed consumer of no group; raise BrokerUnavailable."""
    consumer = AIOKafkaConsumer(
        **client_arguments,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=_PARTITION_FETCH_BYTES,
        fetch_max_wait_ms=100,
    )
    try:
        await consumer.start()
    except KafkaError as error:
        await consumer.stop()
        raise _unavailable(client_arguments, error) from error
    return consumer


async def partitions_of(client_arguments: Mapping[str, Any], topics: Iterable[str]) -> list[TopicPartition]:
    """Return all partitions of topics, as the cluster has them; raise TopologyError for a missing one."""
    admin = AIOKafkaAdminClient(**client_arguments)  # a consumer only knows partitions of what it is assigned
    try:
        await admin.start()
        described = await admin.describe_topics(list(topics))
    except KafkaError as error:
        raise _unavailable(client_arguments, error) from error
    finally:
        await admin.close()
    partitions = []
    for topic in described:
        if topic["error_code"]:
            raise TopologyError(
                f"The cluster has no topic {topic['topic']}; make them with `lockstep topics create`, or "
                "look at another cluster (--bootstrap, --data-dir)."
            )
        partitions += [TopicPartition(topic["topic"], one["partition"]) for one in topic["partitions"]]
    return sorted(partitions)


async def offsets_of(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]
) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
    """Return the first kept offset and the committed end of each partition."""
    try:
        return await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    except KafkaError as error:
        raise BrokerUnavailable(f"The cluster does not tell its offsets: {error!r}") from error


def _unavailable(client_arguments: Mapping[str, Any], error: KafkaError) -> BrokerUnavailable:
    where = client_arguments.get("bootstrap_servers", "the cluster")
    return BrokerUnavailable(f"Nothing answers at {where} ({error!r}); is it running?")
