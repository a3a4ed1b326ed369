"""The transactional producer on real Kafka: what is committed, what a fence does, and the constant we rely on."""

from __future__ import annotations

import ast
import inspect
import uuid

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.producer import sender

from streams.connection import Connection
from streams.engine.producer import BATCH_BYTES, CommitInDoubt, TransactionalProducer, fence
from tests.fixtures.kafka import KafkaForTests

TIMEOUT_MS = 6_000


async def topic_on(kafka: KafkaForTests) -> str:
    name = f"producer-{uuid.uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, 2, 1, topic_configs={"max.message.bytes": "2097152"})])
    await admin.close()
    return name


async def committed(kafka: KafkaForTests, topic: str) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, isolation_level="read_committed")
    await consumer.start()
    places = [TopicPartition(topic, number) for number in range(2)]
    consumer.assign(places)
    await consumer.seek_to_beginning()
    ends = await consumer.end_offsets(places)
    values: list[bytes] = []
    while any([await consumer.position(place) < ends[place] for place in places]):
        for records in (await consumer.getmany(timeout_ms=100)).values():
            values += [record.value for record in records]
    await consumer.stop()
    return values


def test_the_pause_after_a_commit_is_the_one_that_was_measured() -> None:
    """Notices when aiokafka renames the constant, no longer reads it, or changes what it means."""
    assert sender.BACKOFF_OVERRIDE == 0.002
    uses = [node for node in ast.walk(ast.parse(inspect.getsource(sender))) if isinstance(node, ast.Name)]
    assert any(node.id == "BACKOFF_OVERRIDE" and isinstance(node.ctx, ast.Load) for node in uses)


async def test_a_unit_is_visible_whole_and_its_ends_are_told(kafka: KafkaForTests) -> None:
    """Every record of a transaction, whatever its size, and the offset after the last of each partition."""
    topic = await topic_on(kafka)
    producer = TransactionalProducer(Connection(bootstrap=kafka.bootstrap), uuid.uuid4().hex, TIMEOUT_MS)
    await producer.start()
    large = b"x" * (BATCH_BYTES + 1_000)
    ends = await producer.commit([(topic, 0, b"k", b"1"), (topic, 1, b"k", b"2"), (topic, 0, b"k", large)])
    assert ends == {(topic, 0): 2, (topic, 1): 1}
    ends = await producer.commit([(topic, 0, b"k", b"%d" % number) for number in range(10)])
    assert ends == {(topic, 0): 13}, "two records, a commit marker, ten records"
    await producer.close()
    assert len(await committed(kafka, topic)) == 13


async def test_a_fenced_producer_is_in_doubt_and_nothing_of_it_becomes_visible(kafka: KafkaForTests) -> None:
    """The zombie's next unit fails; the fence is an InitProducerId with its id."""
    topic, owner = await topic_on(kafka), uuid.uuid4().hex
    connection = Connection(bootstrap=kafka.bootstrap)
    zombie = TransactionalProducer(connection, owner, TIMEOUT_MS)
    await zombie.start()
    await zombie.commit([(topic, 0, b"k", b"before")])
    await fence(connection, owner, TIMEOUT_MS)
    with pytest.raises(CommitInDoubt):
        await zombie.commit([(topic, 0, b"k", b"after")])
    await zombie.close()
    assert await committed(kafka, topic) == [b"before"]
