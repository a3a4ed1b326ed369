"""The split store on real Kafka and RocksDB: holes, aborted records, a second reader, dead letters."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.adapters.cluster import Cluster
from streams.adapters.kafka_queue import KafkaDeadLetters, KafkaQueue
from streams.adapters.rocks_store import RocksBodyStore, RocksMetadataStore
from streams.adapters.store_checker import StoreChecker
from streams.connection import Connection
from streams.errors import TrimmedBelowProgress
from streams.limits import STORE_BACKLOG_RECORDS
from streams.split_store import SplitStore
from streams.store_ports import Body, StoreUnavailable
from streams.topology import load_topology
from tests.fixtures.topologies import renamed
from tests.split_store.scenes import CODEC, Script, delete, edit, id_at, post, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from tests.fixtures.kafka import KafkaForTests

pytest_plugins = ["tests.fixtures.kafka"]
pytestmark = pytest.mark.kafka


class Topics(NamedTuple):
    """Where one test's records lie."""

    connection: Connection
    messages: str
    dead_letters: str
    dead_letter_bytes_max: int

    @property
    def partition(self) -> TopicPartition:
        return TopicPartition(self.messages, 0)


@pytest.fixture
async def topics(kafka: KafkaForTests) -> Topics:
    topology = renamed(load_topology(shards=1), f"store-{uuid.uuid4().hex[:8]}")
    connection = Connection(bootstrap=kafka.bootstrap)
    async with Cluster(connection) as cluster:
        await cluster.create_topics(topology)
    dead_letters = topology.topic_of("DeadLetter")
    bytes_max = topology.topics[dead_letters].record_bytes_max
    return Topics(connection, topology.topic_of("ThreadMessage"), dead_letters, bytes_max)


async def publish(topics: Topics, script: Script, *, transaction_records: int = 50) -> None:
    """Write a script in transactions, with an aborted one between every two."""
    async with AIOKafkaProducer(
        bootstrap_servers=topics.connection.bootstrap, transactional_id=f"writer-{uuid.uuid4().hex}"
    ) as producer:
        for first in range(0, len(script.records), transaction_records):
            async with producer.transaction():
                for record in script.records[first : first + transaction_records]:
                    await producer.send(topics.messages, record.value, record.key, partition=0)
            await producer.begin_transaction()
            await producer.send_and_wait(topics.messages, b"aborted", b"thread", partition=0)
            await producer.abort_transaction()


class Fragile(RocksBodyStore):
    """The real body store, which a test can take down."""

    is_down = False

    async def commit(self, partition: int, bodies: Sequence[Body], pointer: int) -> None:
        if self.is_down:
            raise StoreUnavailable("down, by order of a test")
        await super().commit(partition, bodies, pointer)


class Life(NamedTuple):
    """A store worker while it lives."""

    store: SplitStore
    bodies: Fragile


@asynccontextmanager
async def life(topics: Topics, folder: Path) -> AsyncIterator[Life]:
    """Run the store as its worker does: assigned, sought to what it asks for, fetching while it has room."""
    async with AsyncExitStack() as stack:
        metadata, bodies = RocksMetadataStore(folder / "metadata"), Fragile(folder / "bodies")
        stack.push_async_callback(metadata.close)
        stack.push_async_callback(bodies.close)
        queue = await stack.enter_async_context(KafkaQueue(topics.connection, topics.messages))
        dead_letters = await stack.enter_async_context(
            KafkaDeadLetters(
                topics.connection, CODEC["DeadLetter"], topics.dead_letters, topics.dead_letter_bytes_max
            )
        )
        store = SplitStore(
            metadata=metadata,
            bodies=bodies,
            codec=CODEC,
            queue=queue,
            dead_letters=dead_letters,
            shards=1,
            chance=lambda: 0,
        )
        stack.push_async_callback(store.close_all)
        consumer = await stack.enter_async_context(consumer_of(topics))
        start = await store.open(0)
        consumer.assign([topics.partition])
        consumer.seek(topics.partition, start)
        feeding = asyncio.create_task(feed(store, consumer, topics.partition))
        yield Life(store, bodies)
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


def consumer_of(topics: Topics) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        bootstrap_servers=topics.connection.bootstrap,
        isolation_level="read_committed",
        enable_auto_commit=False,
    )


async def feed(store: SplitStore, consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
    while True:
        if not store.has_room(partition.partition):
            await asyncio.sleep(0.005)
            continue
        fetched = await consumer.getmany(partition, timeout_ms=50, max_records=500)
        store.take(partition.partition, fetched.get(partition, []))


async def committed(topics: Topics, count: int) -> list[int]:
    """The offsets of the committed records, once there are so many: markers follow a commit's answer."""
    offsets: list[int] = []
    async with asyncio.timeout(30), consumer_of(topics) as consumer:
        consumer.assign([topics.partition])
        await consumer.seek_to_beginning(topics.partition)
        while len(offsets) < count:
            fetched = await consumer.getmany(topics.partition, timeout_ms=200)
            offsets += [record.offset for record in fetched.get(topics.partition, [])]
    return offsets


async def test_a_body_store_that_was_down_reads_real_kafka_again(topics: Topics, tmp_path: Path) -> None:
    """W3, W5, W12: with holes, aborted records and more than memory keeps; one dead letter."""
    script = Script()
    for position in range(1, STORE_BACKLOG_RECORDS + 1_201):
        script.add(post(f"text {position}"))
    script.add(edit(id_at(1), "edited"))
    script.add(delete(id_at(2)))
    script.raw(b"thread", b"junk")
    await publish(topics, script, transaction_records=700)
    offsets = await committed(topics, len(script.records))
    assert len(offsets) == len(script.records)
    assert offsets[-1] > len(offsets) - 1
    end = offsets[-1] + 1
    async with life(topics, tmp_path) as one:
        one.bodies.is_down = True
        await until(lambda: one.store.pointers()[0].metadata == end, "metadata is stored")
        assert one.store.lowest_pointer(0) < end
        last = len(script.records) - 3
        [message] = await one.store.read("thread", last, last)
        assert message.row.position == last
        one.bodies.is_down = False
        await until(lambda: one.store.lowest_pointer(0) == end, "bodies caught up from Kafka")
    more = Script(positions=script.positions)
    more.add(post("after the restart"))
    await publish(topics, more)
    end = (await committed(topics, len(script.records) + 1))[-1] + 1
    async with life(topics, tmp_path) as one:
        await until(lambda: one.store.lowest_pointer(0) == end, "all is stored")
        first, second, third = await one.store.read("thread", 1, 3)
        assert first.body is not None
        assert (first.body.text, first.row.version) == (b"edited", len(script.records) - 2)
        assert (second.row.is_deleted, second.body) == (True, None)
        assert third.body is not None
        assert CODEC.decode_as("Post", third.body.content)["body"] == b"text 3"
    with StoreChecker(tmp_path / "metadata", tmp_path / "bodies", tmp_path / "look") as checker:
        metadata, bodies = checker.metadata(), checker.bodies()
        assert metadata.with_body == bodies.keys
        assert len(bodies.keys) == STORE_BACKLOG_RECORDS + 1_200
        assert checker.lowest_pointers() == {0: end}
    async with AIOKafkaConsumer(
        topics.dead_letters, bootstrap_servers=topics.connection.bootstrap, auto_offset_reset="earliest"
    ) as consumer:
        letters = [
            record for found in (await consumer.getmany(timeout_ms=5_000)).values() for record in found
        ]
    [letter] = [CODEC.decode_as("DeadLetter", record.value) for record in letters]
    assert (letter["topic"], letter["offset"], letter["value"]) == (topics.messages, offsets[-1], b"junk")
    assert letter["code"] == "UNDECODABLE"


async def test_a_queue_that_was_trimmed_above_the_pointers_stops_the_store_by_name(
    topics: Topics, tmp_path: Path
) -> None:
    """W9: what is gone before its body was stored is never passed over in silence."""
    script = Script()
    for _ in range(20):
        script.add(post())
    await publish(topics, script)
    end = (await committed(topics, 20))[-1] + 1
    async with life(topics, tmp_path) as one:
        await until(lambda: one.store.lowest_pointer(0) == end, "all is stored")
    await publish(topics, script)
    await committed(topics, 40)
    async with Cluster(topics.connection) as cluster:
        await cluster.delete_records({topics.messages: {0: end + 5}})
    with pytest.raises(TrimmedBelowProgress):
        async with life(topics, tmp_path):
            pass
