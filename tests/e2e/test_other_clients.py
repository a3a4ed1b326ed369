"""Clients of other make land on the right shard of a real broker (docs/schemas-and-topics.md)."""

from __future__ import annotations

import uuid

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import Message
from confluent_kafka import Producer as LibrdkafkaProducer

from streams.adapters.cluster import Cluster
from streams.connection import Connection
from streams.ids import shard_of
from streams.topology import load_topology
from tests.fixtures.kafka import KafkaForTests
from tests.fixtures.topologies import renamed

pytest_plugins = ["tests.fixtures.kafka"]
pytestmark = pytest.mark.kafka

SHARDS = 7
KEYS = ["ann", "Zoë", "台北", "a" * 128, *(f"account-{number}" for number in range(60))]


async def created_topic(kafka: KafkaForTests) -> str:
    topology = renamed(load_topology(shards=SHARDS), f"clients-{uuid.uuid4().hex[:8]}")
    async with Cluster(Connection(bootstrap=kafka.bootstrap)) as cluster:
        await cluster.create_topics(topology)
    return topology.topic_of("SendRequest")


async def test_librdkafka_with_murmur2_random_lands_on_the_shard_of_the_key(kafka: KafkaForTests) -> None:
    topic = await created_topic(kafka)
    landed: dict[str, int] = {}

    def delivered(error: object, message: Message) -> None:
        assert error is None
        landed[(message.key() or b"").decode()] = message.partition() or 0

    producer = LibrdkafkaProducer({"bootstrap.servers": kafka.bootstrap, "partitioner": "murmur2_random"})
    for key in KEYS:
        producer.produce(topic, b"x", key.encode(), on_delivery=delivered)
    assert producer.flush(30) == 0
    assert landed == {key: shard_of(key, SHARDS) for key in KEYS}
    assert len(set(landed.values())) == SHARDS


async def test_aiokafka_lands_on_the_shard_of_the_key_by_default(kafka: KafkaForTests) -> None:
    topic = await created_topic(kafka)
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
        landed = {key: (await producer.send_and_wait(topic, b"x", key.encode())).partition for key in KEYS}
    assert landed == {key: shard_of(key, SHARDS) for key in KEYS}
