"""Faust's partition assignor with our own rule: partition p of every topic is where shard p is.

Overridden, through Faust's setting `PartitionAssignor`, and why (docs/decisions/standby-copies.md):
- `_perform_assignment` asks engine/assignment.py. The records that members exchange stay Faust's own, so a group may be
  led by a worker with another version of this code: whoever leads decides, the others understand.
- `on_assignment` does not insist on the web address that the leader knew: a worker that is back under its name before
  the group has missed it gets the assignment of its former life, and may have been given another port.

What members had is what they say. Who says nothing has just started: then those shards count as its own that nobody
else claims and that the others remember as its own; and what lies on its disk counts as copies, which it says itself
(`begin_with`). Tested in tests/engine/test_assignor.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, MutableMapping
from typing import Any, cast

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from faust.assignor.client_assignment import ClientAssignment, ClientMetadata
from faust.assignor.partition_assignor import PartitionAssignor

from streams.engine.assignment import Held, assign

Told = Mapping[str, ClientMetadata]
"""Member -> what it says of itself and of the last assignment."""


class ShardAssignor(PartitionAssignor):
    """Assigns shards, and standbys of shards as many as `replicas`; the group's leader runs it."""

    def begin_with(self, topics: Iterable[str], copies: Collection[int]) -> None:
        """Say, until the first assignment, of which shards there are copies on this worker's disk."""
        self._assignment = ClientAssignment(actives={}, standbys={topic: sorted(copies) for topic in topics})

    def standby_shards(self) -> set[int]:
        """Return the shards of which this worker is to keep copies, by the last assignment."""
        return {one.partition for one in self.assigned_standbys()}

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Take in what the leader decided."""
        told = cast(ClientMetadata, ClientMetadata.loads(self._decompress(assignment.user_data)))
        self._assignment = told.assignment
        self._topic_groups = dict(told.topic_groups)
        self._active_tps = told.assignment.active_tps
        self._standby_tps = told.assignment.standby_tps
        self.changelog_distribution = told.changelog_distribution
        self.external_topic_distribution = told.external_topic_distribution

    def _perform_assignment(
        self, cluster: ClusterMetadata, member_metadata: MutableMapping[str, ConsumerProtocolMemberMetadata]
    ) -> Any:  # noqa: ANN401  # what Faust's own method returns
        told = {name: self._get_client_metadata(one) for name, one in member_metadata.items()}
        self._update_member_urls(told)
        partitions = {
            topic: len(cluster.partitions_for_topic(topic) or ())
            for one in member_metadata.values()
            for topic in one.subscription
        }
        after = assign(max(partitions.values(), default=0), claims_of(told), self.replicas)
        assignments = {
            name: ClientAssignment(
                actives=_of_topics(one.subscription, partitions, after[name].actives),
                standbys=_of_topics(one.subscription, partitions, after[name].standbys),
            )
            for name, one in member_metadata.items()
        }
        return self._protocol_assignments(
            assignments,
            self._get_changelog_distribution(assignments),
            self._get_external_topic_distribution(assignments),
            dict.fromkeys(partitions, 0),
        )


def _of_topics(
    topics: Iterable[str], partitions: Mapping[str, int], shards: Collection[int]
) -> dict[str, list[int]]:
    """Return the partitions of each topic that belong to the shards; a topic that is missing has none."""
    return {topic: sorted(shard for shard in shards if shard < partitions[topic]) for topic in topics}


def claims_of(told: Told) -> dict[str, Held]:
    """Return what each member had, by what all of them say."""
    claims = {name: _held(one.assignment) for name, one in told.items()}
    claimed: set[int] = set().union(*(held.actives for held in claims.values()))
    for name in sorted(told):
        if not claims[name].actives:
            remembered = _remembered(told, told[name].url) - claimed
            claimed |= remembered
            claims[name] = Held(remembered, claims[name].standbys)
    return claims


def _held(assignment: ClientAssignment) -> Held:
    return Held(_shards(assignment.actives), _shards(assignment.standbys))


def _shards(partitions: Mapping[str, Iterable[int]]) -> frozenset[int]:
    return frozenset(shard for numbers in partitions.values() for shard in numbers)


def _remembered(told: Told, url: str) -> frozenset[int]:
    """Return the shards that, as anybody remembers the last assignment, were of the member with this address."""
    return frozenset().union(
        *(_shards(one.external_topic_distribution.get(url, {})) for one in told.values())
    )
