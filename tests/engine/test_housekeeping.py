"""Internal topics lose only what was read and is old."""

from __future__ import annotations

import time
import uuid

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.adapters.cluster import Cluster
from streams.connection import Connection
from streams.engine.housekeeping import trim
from tests.fixtures.kafka import KafkaForTests


async def test_only_what_was_read_and_is_old_is_deleted(kafka: KafkaForTests) -> None:
    """Neither age nor progress alone deletes a record."""
    topic = f"internal-{uuid.uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    now_ms = int(time.time() * 1000)
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)
    await producer.start()
    for age_ms in (5_000, 4_000, 3_000, 100):
        await producer.send_and_wait(topic, b"x", timestamp_ms=now_ms - age_ms)
    await producer.stop()
    place = TopicPartition(topic, 0)
    async with Cluster(Connection(bootstrap=kafka.bootstrap)) as cluster:

        async def start_after(progress: int, older_than_ms: int) -> int:
            await trim({place: progress}, cluster, older_than_ms)
            return (await cluster.beginning_offsets([place]))[place]

        assert await start_after(progress=3, older_than_ms=now_ms - 10_000) == 0, "read, but young"
        assert await start_after(progress=1, older_than_ms=now_ms - 1_000) == 1, "old, but only one was read"
        assert await start_after(progress=4, older_than_ms=now_ms - 3_500) == 2, "both"
        assert await start_after(progress=4, older_than_ms=now_ms + 1) == 4, "all of it is read and old"
