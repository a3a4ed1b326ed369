"""Administration of a real cluster (streams/adapters/cluster.py, kafka_link.py, kafka_requests.py)."""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.adapters.cluster import Cluster, Difference
from streams.connection import Connection
from streams.errors import BrokerUnavailable, TopologyError
from streams.topology import Topology, load_topology
from tests.fixtures.kafka import KafkaForTests
from tests.fixtures.topologies import renamed

pytest_plugins = ["tests.fixtures.kafka"]
pytestmark = pytest.mark.kafka

SHARDS = 2


@pytest.fixture
def topology() -> Topology:
    return renamed(load_topology(shards=SHARDS), f"cluster-{uuid.uuid4().hex[:8]}")


@pytest.fixture
async def cluster(kafka: KafkaForTests) -> AsyncIterator[Cluster]:
    async with Cluster(Connection(bootstrap=kafka.bootstrap)) as opened:
        yield opened


def topic(topology: Topology, name: str) -> str:
    return next(one for one in topology.topics if one.endswith(f".{name}"))


def with_topic(topology: Topology, name: str, **changes: object) -> Topology:
    changed = replace(topology.topics[name], **changes)  # type: ignore[arg-type]  # a test's own field names
    return replace(topology, topics={**topology.topics, name: changed})


async def test_a_cluster_made_from_the_topology_has_no_difference_to_it(
    cluster: Cluster, topology: Topology
) -> None:
    assert await cluster.create_topics(topology) == list(topology.topics)
    assert await cluster.differences(topology) == []


async def test_creating_again_creates_nothing_and_keeps_every_id(
    cluster: Cluster, topology: Topology
) -> None:
    await cluster.create_topics(topology)
    ids = await cluster.topic_ids(topology.topics)
    assert await cluster.create_topics(topology) == []
    assert await cluster.topic_ids(topology.topics) == ids
    assert len(set(ids.values())) == len(topology.topics)
    assert all(len(one) == 32 and int(one, 16) for one in ids.values())


async def test_every_difference_is_named_and_nothing_is_changed(cluster: Cluster, topology: Topology) -> None:
    state, web = topic(topology, "shard.state"), topic(topology, "delivery.web")
    await cluster.create_topics(
        replace(topology, topics={k: v for k, v in topology.topics.items() if k != web})
    )
    wanted = with_topic(topology, state, delete_retention_ms=1_000, record_bytes_max=2_000_000)
    expected = [
        Difference(web, "topic", "a topic", "not there"),
        Difference(state, "max.message.bytes", "2000000", "1048576"),
        Difference(state, "delete.retention.ms", "1000", "86400000"),
    ]
    assert sorted(await cluster.differences(wanted)) == sorted(expected)
    assert sorted(await cluster.differences(wanted)) == sorted(expected)


async def test_apply_brings_the_cluster_to_the_topology_and_keeps_other_settings(
    cluster: Cluster, topology: Topology
) -> None:
    state, web = topic(topology, "shard.state"), topic(topology, "delivery.web")
    await cluster.create_topics(
        replace(topology, topics={k: v for k, v in topology.topics.items() if k != web})
    )
    wanted = with_topic(topology, state, delete_retention_ms=1_000)
    await cluster.apply(wanted, await cluster.differences(wanted))
    assert await cluster.differences(wanted) == []


async def test_partitions_are_never_changed_and_then_nothing_is(cluster: Cluster, topology: Topology) -> None:
    state = topic(topology, "shard.state")
    await cluster.create_topics(topology)
    wanted = with_topic(topology.with_shards(SHARDS + 1), state, delete_retention_ms=1_000)
    differences = await cluster.differences(wanted)
    assert [one.setting for one in differences].count("partitions") == len(topology.topics)
    with pytest.raises(TopologyError, match="never changed, so nothing was applied"):
        await cluster.apply(wanted, differences)
    assert await cluster.differences(topology) == []


async def test_more_copies_than_brokers_are_refused_with_the_brokers_words(
    cluster: Cluster, topology: Topology
) -> None:
    with pytest.raises(TopologyError, match="InvalidReplicationFactor"):
        await cluster.create_topics(replace(topology, replication=7))


async def test_deleting_records_raises_the_log_start_of_that_partition_alone(
    cluster: Cluster, topology: Topology, kafka: KafkaForTests
) -> None:
    await cluster.create_topics(topology)
    name = topic(topology, "thread.operations")
    first, second = TopicPartition(name, 0), TopicPartition(name, 1)
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
        for number in range(5):
            await producer.send_and_wait(name, str(number).encode(), partition=0)
            await producer.send_and_wait(name, str(number).encode(), partition=1)
    assert await cluster.delete_records({name: {0: 3}}) == {first: 3}
    assert await cluster.beginning_offsets([first, second]) == {first: 3, second: 0}
    assert await cluster.end_offsets([first, second]) == {first: 5, second: 5}
    assert await cluster.delete_records({}) == {}


async def test_an_open_transaction_holds_back_the_committed_end_only(
    cluster: Cluster, topology: Topology, kafka: KafkaForTests
) -> None:
    await cluster.create_topics(topology)
    partition = TopicPartition(topic(topology, "inbox.updates"), 0)
    async with (
        AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=uuid.uuid4().hex) as producer,
        producer.transaction(),
    ):
        await (await producer.send(partition.topic, b"x", partition=0))
        assert await cluster.end_offsets([partition], "read_committed") == {partition: 0}
        assert await cluster.end_offsets([partition], "read_uncommitted") == {partition: 1}
    # The commit is acknowledged before its marker lies on the partition.
    deadline = time.monotonic() + 20
    while await cluster.end_offsets([partition], "read_committed") != {partition: 2}:
        assert time.monotonic() < deadline, "the committed end never reached the marker"


async def test_a_partition_that_is_not_there_is_named(cluster: Cluster, topology: Topology) -> None:
    await cluster.create_topics(topology)
    name = topic(topology, "inbox.updates")
    with pytest.raises(TopologyError, match=f"{name} has no partition {SHARDS}"):
        await cluster.end_offsets([TopicPartition(name, SHARDS)])


async def test_a_static_member_is_listed_by_its_instance_and_removed_at_once(
    cluster: Cluster, topology: Topology, kafka: KafkaForTests
) -> None:
    """A member that stops leaves its instance behind, and its partitions would idle until a time-out."""
    await cluster.create_topics(topology)
    group, name = f"group-{uuid.uuid4().hex}", topic(topology, "ingest.requests")
    assert await cluster.group_members(group) == []
    assert await cluster.remove_static_member(group, "worker-1") is False
    async with AIOKafkaConsumer(
        name, bootstrap_servers=kafka.bootstrap, group_id=group, group_instance_id="worker-1"
    ) as consumer:
        deadline = time.monotonic() + 20
        while not consumer.assignment():
            assert time.monotonic() < deadline, "the group was not formed"
            await consumer.getmany(timeout_ms=100)
        assert [one.instance_id for one in await cluster.group_members(group)] == ["worker-1"]
    assert [one.instance_id for one in await cluster.group_members(group)] == ["worker-1"]
    assert await cluster.remove_static_member(group, "worker-1") is True
    assert await cluster.group_members(group) == []


async def test_a_cluster_that_is_not_there_is_told_with_what_to_do() -> None:
    with socket.socket() as bound:  # bound and not listening: nobody else can take the port meanwhile
        bound.bind(("127.0.0.1", 0))
        bootstrap = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(
            BrokerUnavailable, match=rf"No broker answered at {bootstrap} .*lockstep up"
        ) as raised:
            async with Cluster(Connection(bootstrap=bootstrap), patience_s=0.5):
                pass
    assert raised.value.code == "BROKER_UNAVAILABLE"


async def test_a_broker_that_comes_late_is_waited_for(kafka: KafkaForTests) -> None:
    host, port = kafka.bootstrap.split(":")
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        own_port = reserved.getsockname()[1]

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pipe(reader, upstream_writer), pipe(upstream_reader, writer))

    async def pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            sink.write(data)
        sink.close()

    waiting = Cluster(Connection(bootstrap=f"127.0.0.1:{own_port}"), patience_s=20)
    opening = asyncio.create_task(waiting.__aenter__())
    done, _ = await asyncio.wait([opening], timeout=0.3)
    assert not done, "nobody listens yet"
    server = await asyncio.start_server(forward, "127.0.0.1", own_port)
    try:
        async with asyncio.timeout(20):
            await opening
        assert await waiting.topic_ids(["never-made"]) == {}
    finally:
        await waiting.__aexit__(None, None, None)
        server.close()
