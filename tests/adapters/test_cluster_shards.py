"""A cluster whose partitions are not the shards is named before anything is processed."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from streams.adapters.cluster import Cluster
from streams.adapters.cluster_shards import require_shards, shards_there
from streams.connection import Connection
from streams.errors import TopologyError
from streams.topology import Topology, load_topology
from tests.fixtures.kafka import KafkaForTests
from tests.fixtures.topologies import renamed

pytest_plugins = ["tests.fixtures.kafka"]
pytestmark = pytest.mark.kafka


@pytest.fixture
def topology() -> Topology:
    return renamed(load_topology(shards=2), f"shards-{uuid.uuid4().hex[:8]}")


@pytest.fixture
async def cluster(kafka: KafkaForTests) -> AsyncIterator[Cluster]:
    async with Cluster(Connection(bootstrap=kafka.bootstrap)) as opened:
        yield opened


async def test_an_empty_cluster_has_no_shards_and_no_worker_may_start(
    cluster: Cluster, topology: Topology
) -> None:
    assert await shards_there(cluster, topology) is None
    with pytest.raises(TopologyError, match=r"no topic .*lockstep topics create"):
        await require_shards(cluster, topology)


async def test_shards_are_the_partitions_that_all_topics_have(cluster: Cluster, topology: Topology) -> None:
    await cluster.create_topics(topology)
    assert await shards_there(cluster, topology) == 2
    await require_shards(cluster, topology)
    with pytest.raises(
        TopologyError, match=r"3 shards were asked for.*ingest\.requests: 2.*and \d+ more.*--shards"
    ):
        await require_shards(cluster, topology.with_shards(3))


async def test_topics_that_differ_from_each_other_fit_no_number(cluster: Cluster, topology: Topology) -> None:
    odd = next(name for name in topology.topics if name.endswith("thread.messages"))
    await cluster.create_topics(replace(topology.with_shards(3), topics={odd: topology.topics[odd]}))
    await cluster.create_topics(topology)
    with pytest.raises(TopologyError, match=r"thread\.messages: 3"):
        await require_shards(cluster, topology)
    with pytest.raises(TopologyError, match="different numbers of partitions"):
        await shards_there(cluster, topology)
