"""The split store on real Kafka and RocksDB: holes, aborted records, a second reader, dead letters."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from streams.adapters.cluster import Cluster
from streams.adapters.kafka_dead_letters import KafkaDeadLetters
from streams.adapters.kafka_queue import KafkaQueue
from streams.adapters.memory import MemoryRecord
from streams.adapters.rocks_store import RocksBodyStore, RocksMetadataStore
from streams.adapters.store_checker import StoreChecker
from streams.connection import Connection
from streams.errors import TrimmedBelowProgress
from streams.limits import STORE_BACKLOG_RECORDS
from streams.split_store import SplitStore
from streams.split_store.trimming import Trimmer
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
            KafkaDeadLetters(topics.connection, CODEC, topics.dead_letters, topics.dead_letter_bytes_max)
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


async def test_the_queue_is_trimmed_by_age_and_never_above_the_lower_pointer(
    topics: Topics, tmp_path: Path
) -> None:
    """W9: old records stay while a body is missing; then all that is old goes, and what is young stays."""
    script = Script()
    for _ in range(20):
        script.add(post())
    await publish(topics, script)
    end = (await committed(topics, 20))[-1] + 1
    later_ms = int(time.time() * 1000) + 60_000
    async with life(topics, tmp_path) as one, KafkaQueue(topics.connection, topics.messages) as queue:
        trimmer = Trimmer(one.store, queue, 1, now_ms=lambda: later_ms, sleep=asyncio.sleep)
        await until(lambda: one.store.lowest_pointer(0) == end, "all is stored")
        one.bodies.is_down = True
        more = Script(positions=script.positions)
        for _ in range(20):
            more.add(post())
        await publish(topics, more)
        new_end = (await committed(topics, 40))[-1] + 1
        await until(lambda: one.store.pointers()[0].metadata == new_end, "metadata is stored")
        await trimmer.trim(120_000)
        assert (await queue.span(0)).start == 0
        await trimmer.trim(1)
        assert (await queue.span(0)).start == end
        one.bodies.is_down = False
        await until(lambda: one.store.lowest_pointer(0) == new_end, "bodies caught up from what was kept")
        await trimmer.trim(1)
        assert (await queue.span(0)).start == new_end
        assert len(await one.store.read("thread", 1, 100)) == 40


async def test_age_cuts_between_old_and_young_records(topics: Topics, tmp_path: Path) -> None:
    """W9: a stored record younger than kept_ms stays for whoever else reads the topic."""
    script = Script()
    script.add(post())
    await publish(topics, script)
    await committed(topics, 1)
    between_ms = int(time.time() * 1000) + 1
    while int(time.time() * 1000) <= between_ms:  # noqa: ASYNC110  # append times are milliseconds of this machine
        await asyncio.sleep(0.001)
    more = Script(positions=script.positions)
    more.add(post())
    await publish(topics, more)
    young = (await committed(topics, 2))[-1]
    async with life(topics, tmp_path) as one, KafkaQueue(topics.connection, topics.messages) as queue:
        await until(lambda: one.store.lowest_pointer(0) == young + 1, "all is stored")
        trimmer = Trimmer(one.store, queue, 1, now_ms=lambda: between_ms + 1, sleep=asyncio.sleep)
        await trimmer.trim(1)
        assert (await queue.span(0)).start <= young
        assert (await queue.span(0)).start > 0


async def test_the_queue_goes_on_where_it_ended_and_seeks_where_it_did_not(topics: Topics) -> None:
    """W3: pieces follow each other without a hole, and any other place can be read as well."""
    script = Script()
    for number in range(60):
        script.add(post(str(number)))
    await publish(topics, script, transaction_records=7)
    offsets = await committed(topics, 60)
    seeks = []

    class Watched(KafkaQueue):
        async def _seek(self, one: TopicPartition, first: int) -> None:
            seeks.append(first)
            await super()._seek(one, first)

    async with Watched(topics.connection, topics.messages) as queue:
        found: list[int] = []
        position = 0
        before = offsets[50]
        while position < before:
            piece = await queue.read(0, position, before, 10)
            found += [record.offset for record in piece.records]
            position = piece.next_offset
        assert found == offsets[:50]
        assert seeks == [0]
        again = await queue.read(0, offsets[3], before, 2)
        assert [record.offset for record in again.records] == offsets[3:5]
        assert seeks == [0, offsets[3]]
        async with Cluster(topics.connection) as cluster:
            await cluster.delete_records({topics.messages: {0: offsets[20]}})
        with pytest.raises(TrimmedBelowProgress):
            await queue.read(0, offsets[2], before, 2)


async def letters_of(topics: Topics) -> list[int]:
    """The offsets of the records on dead.letters that everybody sees."""
    place = TopicPartition(topics.dead_letters, 0)
    found: list[int] = []
    async with Cluster(topics.connection) as cluster, consumer_of(topics) as consumer:
        end = (await cluster.end_offsets([place], "read_uncommitted"))[place]
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        while await consumer.position(place) < end:
            fetched = await consumer.getmany(place, timeout_ms=200)
            found += [CODEC.decode_as("DeadLetter", one.value)["offset"] for one in fetched.get(place, [])]
    return found


def buried(topics: Topics, offset: int, timestamp: int) -> MemoryRecord:
    return MemoryRecord(topics.messages, b"thread", b"junk", 0, offset, timestamp)


async def test_a_dead_letter_is_kept_once_however_often_its_record_comes_by(topics: Topics) -> None:
    """W12: a process that died between the letter and the pointer does not write it again."""
    at_ms = int(time.time() * 1000)
    for offsets in ((7,), (7, 9), (7, 9, 10)):
        async with KafkaDeadLetters(
            topics.connection, CODEC, topics.dead_letters, topics.dead_letter_bytes_max
        ) as letters:
            for offset in offsets:
                await letters(buried(topics, offset, at_ms), "UNDECODABLE", "junk")
    assert await letters_of(topics) == [7, 9, 10]


async def test_a_dead_letter_whose_caller_gave_up_is_kept_once(topics: Topics) -> None:
    """W8, W12: a call that took too long goes on; asking again neither doubles nor loses it."""
    at_ms = int(time.time() * 1000)
    async with KafkaDeadLetters(
        topics.connection, CODEC, topics.dead_letters, topics.dead_letter_bytes_max
    ) as letters:
        for pause_s in (0.0, 0.002, 0.01, 0.03):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await letters(buried(topics, 7, at_ms), "UNDECODABLE", "junk")
        await letters(buried(topics, 7, at_ms), "UNDECODABLE", "junk")
        await letters(buried(topics, 8, at_ms), "UNDECODABLE", "junk")
    assert await letters_of(topics) == [7, 8]


async def test_a_letter_that_a_dead_writer_left_open_is_not_kept_and_then_written(topics: Topics) -> None:
    """W12: a transaction that nobody commits is ended by the next writer, which then writes the letter."""
    at_ms = int(time.time() * 1000)
    arguments = topics.connection, CODEC, topics.dead_letters, topics.dead_letter_bytes_max
    async with KafkaDeadLetters(*arguments) as dying, KafkaDeadLetters(*arguments) as next_one:
        await dying(buried(topics, 1, at_ms), "UNDECODABLE", "junk")
        [writer] = dying._writers.values()
        await writer._producer.begin_transaction()
        await writer._producer.send_and_wait(topics.dead_letters, b"left open", b"thread", partition=0)
        await next_one(buried(topics, 1, at_ms), "UNDECODABLE", "junk")
        await next_one(buried(topics, 2, at_ms), "UNDECODABLE", "junk")
        with pytest.raises(KafkaError):
            await writer._producer.commit_transaction()
    assert await letters_of(topics) == [1, 2]
