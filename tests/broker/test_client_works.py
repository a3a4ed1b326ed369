"""What the engine needs of Kafka works between the pinned broker and the pinned client."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, ProducerFenced, UnknownTopicOrPartitionError

from streams.broker.settings import server_properties

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.fixtures.kafka import KafkaForTests

pytestmark = pytest.mark.kafka

DEADLINE_SECONDS = 20.0
PLACE = {"listeners", "advertised.listeners", "controller.quorum.voters", "log.dirs"}


@pytest.fixture
async def admin(kafka: KafkaForTests) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await client.start()
    yield client
    await client.close()


@pytest.fixture
async def partition(admin: AIOKafkaAdminClient) -> TopicPartition:
    """The one partition of a new topic."""
    topic = f"client-{uuid.uuid4()}"
    await admin.create_topics([NewTopic(topic, 1, 1)])
    return TopicPartition(topic, 0)


async def committed(kafka: KafkaForTests, partition: TopicPartition) -> list[bytes]:
    """What a read_committed reader sees now."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    values: list[bytes] = []
    async with consumer, asyncio.timeout(DEADLINE_SECONDS):
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        while await consumer.position(partition) < end:
            batches = await consumer.getmany(timeout_ms=100)
            values += [record.value for batch in batches.values() for record in batch]
    return values


async def test_a_transaction_is_seen_whole_or_not_at_all(
    kafka: KafkaForTests, partition: TopicPartition
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=str(uuid.uuid4()))
    async with producer:
        for values, is_wanted in (([b"1", b"2"], True), ([b"x"], False), ([b"3"], True)):
            await producer.begin_transaction()
            for value in values:
                await (await producer.send(partition.topic, value, partition=0))
            await (producer.commit_transaction() if is_wanted else producer.abort_transaction())
    assert await committed(kafka, partition) == [b"1", b"2", b"3"]


async def test_initialising_a_transactional_id_aborts_and_fences_its_holder_at_once(
    kafka: KafkaForTests, partition: TopicPartition
) -> None:
    name = str(uuid.uuid4())
    first = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=name)
    await first.start()
    await first.begin_transaction()
    await (await first.send(partition.topic, b"zombie", partition=0))
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=name) as second:
        await second.begin_transaction()
        await (await second.send(partition.topic, b"successor", partition=0))
        await second.commit_transaction()
    assert await committed(kafka, partition) == [b"successor"]
    with pytest.raises(ProducerFenced):
        await first.commit_transaction()
    await first.stop()


async def test_an_abandoned_transaction_is_aborted_by_the_broker_itself(
    kafka: KafkaForTests, partition: TopicPartition
) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap, transactional_id=str(uuid.uuid4()), transaction_timeout_ms=500
    )
    await producer.start()
    await producer.begin_transaction()
    await (await producer.send(partition.topic, b"abandoned", partition=0))
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as plain:
        await plain.send_and_wait(partition.topic, b"after", partition=0)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await committed(kafka, partition) != [b"after"]:  # noqa: ASYNC110 the sweep sets no event here
            await asyncio.sleep(0.05)
    with pytest.raises(KafkaError):
        await producer.commit_transaction()
    await producer.stop()


async def test_a_member_of_a_group_may_have_a_short_session(
    kafka: KafkaForTests, partition: TopicPartition
) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        consumer = AIOKafkaConsumer(
            partition.topic,
            bootstrap_servers=kafka.bootstrap,
            group_id=str(uuid.uuid4()),
            session_timeout_ms=1000,
            heartbeat_interval_ms=250,
        )
        async with consumer:
            assert consumer.assignment() == {partition}


async def test_the_broker_has_the_settings_that_were_written_for_it(admin: AIOKafkaAdminClient) -> None:
    (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.BROKER, "1")])
    live = {entry[0]: entry[1] for entry in answer.resources[0][4]}
    text = server_properties(port=1, controller_port=2, log_folder=Path("folder"), overrides={})
    wanted = dict(line.split("=", 1) for line in text.splitlines())
    chosen = {name for name in wanted if name not in PLACE}
    assert {name: live[name] for name in chosen} == {name: wanted[name] for name in chosen}


async def test_records_can_be_deleted_below_an_offset(
    kafka: KafkaForTests, admin: AIOKafkaAdminClient, partition: TopicPartition
) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
        for value in (b"1", b"2", b"3"):
            await producer.send_and_wait(partition.topic, value, partition=0)
    await admin.delete_records({partition: RecordsToDelete(2)})
    assert await committed(kafka, partition) == [b"3"]


async def test_a_topic_that_nobody_declared_is_not_made_by_writing_to_it(kafka: KafkaForTests) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, request_timeout_ms=1000)
    async with producer:
        with pytest.raises((UnknownTopicOrPartitionError, KafkaError)):
            await producer.send_and_wait(f"typing-error-{uuid.uuid4()}", b"lost", partition=0)
