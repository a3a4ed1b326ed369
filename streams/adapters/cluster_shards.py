"""Whether a cluster's topics have the partitions that a worker counts on: partition p of every topic is shard p.

With another count, keys lie on other shards than their state, so nothing may be processed. Looks only; changes
nothing. Tested in tests/adapters/test_cluster_shards.py and, with real workers, in tests/e2e/test_broken_topics.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from streams.adapters.cluster import Cluster
from streams.errors import TopologyError
from streams.topology import Topology

_NAMED_MAX = 4


async def shards_there(cluster: Cluster, topology: Topology) -> int | None:
    """Return how many partitions the topics have; None when there is no topic yet.

    Raises TopologyError when they differ from each other.
    """
    counts = await _partitions(cluster, topology)
    if len(set(counts.values())) > 1:
        raise TopologyError(
            f"The topics of this cluster have different numbers of partitions ({_named(counts)}), so no number of "
            "shards fits them; see `lockstep topology check`."
        )
    return next(iter(counts.values()), None)


async def require_shards(cluster: Cluster, topology: Topology) -> None:
    """Raise TopologyError unless every topic is there and has as many partitions as there are shards."""
    counts = await _partitions(cluster, topology)
    if missing := [name for name in topology.topics if name not in counts]:
        raise TopologyError(
            f"The cluster has no topic {', '.join(missing[:_NAMED_MAX])}; make what is missing with "
            "`lockstep topics create`, see `lockstep topology check`. Nothing was started."
        )
    if others := {name: count for name, count in counts.items() if count != topology.shards}:
        raise TopologyError(
            f"{topology.shards} shards were asked for, but the cluster's topics have other numbers of partitions "
            f"({_named(others)}): keys would lie on other shards than their state. Use the cluster's number "
            "(--shards, or shards in topology.yaml), see `lockstep topology check`. Nothing was started."
        )


async def _partitions(cluster: Cluster, topology: Topology) -> dict[str, int]:
    there = await cluster.topics(topology.topics)
    return {name: len(there[name].leaders) for name in topology.topics if name in there}


def _named(counts: Mapping[str, int]) -> str:
    named = ", ".join(f"{name}: {count}" for name, count in list(counts.items())[:_NAMED_MAX])
    return named if len(counts) <= _NAMED_MAX else f"{named} and {len(counts) - _NAMED_MAX} more"
