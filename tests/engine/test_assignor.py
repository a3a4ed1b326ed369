"""The group's leader assigns shards by our rule, in the records that Faust's own workers understand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import faust
import pytest
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from faust.assignor.partition_assignor import PartitionAssignor

from streams.connection import Connection
from streams.engine.app import AppSettings, new_app
from streams.engine.assignor import ShardAssignor

TOPICS = ("ingest.requests", "inbox.appends")
SHARDS = 4
Metadata = dict[str, ConsumerProtocolMemberMetadata]


class _Cluster:
    """What the assignor asks of aiokafka's."""

    def __init__(self, partitions: Mapping[str, int] | None = None) -> None:
        self._partitions = dict.fromkeys(TOPICS, SHARDS) if partitions is None else partitions

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return set(range(self._partitions[topic])) if topic in self._partitions else None


class Group:
    """Members' assignors and what they are told; rounds go through bytes, as between processes."""

    def __init__(self, folder: Path, standbys: int = 1) -> None:
        self._folder = folder
        self._standbys = standbys
        self.members: dict[str, PartitionAssignor] = {}

    def join(self, name: str, *copies: int, web_port: int | None = None) -> None:
        app = new_app(
            AppSettings(
                app="pipeline",
                worker=name,
                folder=self._folder / name,
                connection=Connection(bootstrap="127.0.0.1:9"),
                topics=TOPICS,
                web_port=web_port or 7_000 + ord(name),
                standbys=self._standbys,
                copies=copies,
            )
        )
        self.members[name] = app.assignor

    def join_stock(self, name: str) -> None:
        """A worker of an earlier version: Faust's own assignor."""
        app = faust.App(f"stock-{name}", broker="kafka://127.0.0.1:9", web_port=7_000 + ord(name))
        self.members[name] = PartitionAssignor(app)

    def rebalance(self, leader: str, cluster: _Cluster | None = None) -> dict[str, Any]:
        """Let a member assign; return what each gets."""
        told: Metadata = {
            name: ConsumerProtocolMemberMetadata.decode(one.metadata(set(TOPICS)).encode())
            for name, one in sorted(self.members.items())
        }
        decided = self.members[leader].assign(cluster or _Cluster(), told)
        sent = {name: ConsumerProtocolMemberAssignment.decode(one.encode()) for name, one in decided.items()}
        for name, one in sent.items():
            self.members[name].on_assignment(one)
        return sent

    def actives(self, name: str) -> set[int]:
        assigned = {tp.topic: set[int]() for tp in self.members[name].assigned_actives()}
        for tp in self.members[name].assigned_actives():
            assigned[tp.topic].add(tp.partition)
        assert len({frozenset(one) for one in assigned.values()}) <= 1, (
            "partition p of all topics is together"
        )
        return next(iter(assigned.values()), set())

    def standbys(self, name: str) -> set[int]:
        return {tp.partition for tp in self.members[name].assigned_standbys()}


@pytest.fixture
def group(tmp_path: Path) -> Group:
    return Group(tmp_path)


def test_each_shard_has_an_owner_and_a_standby_and_kafka_is_told_of_owners_only(group: Group) -> None:
    group.join("a")
    group.join("b")
    sent = group.rebalance("a")
    assert group.actives("a") == group.standbys("b")
    assert group.actives("b") == group.standbys("a")
    for name, one in sent.items():
        assert {topic: set(partitions) for topic, partitions in one.assignment} == dict.fromkeys(
            TOPICS, group.actives(name)
        )


def test_what_members_had_is_remembered_from_one_rebalance_to_the_next(group: Group) -> None:
    group.join("a")
    group.join("b")
    group.rebalance("a")
    had = group.actives("a"), group.actives("b")
    group.join("c")
    group.rebalance("c")
    assert group.actives("a") <= had[0]
    assert group.actives("b") <= had[1]
    assert len(group.actives("c")) == 1


def test_a_lost_members_shards_go_to_the_holders_of_their_copies(group: Group) -> None:
    for name in "abc":
        group.join(name)
    group.rebalance("a")
    copies = {name: group.actives(name) | group.standbys(name) for name in "ab"}
    del group.members["c"]
    group.rebalance("b")
    for name in "ab":
        assert group.actives(name) <= copies[name]


def test_a_member_that_restarted_gets_its_shards_back_when_the_group_decides_anew(group: Group) -> None:
    """It says nothing of what it had; the others remember it, and nobody loses a shard for it."""
    for name in "abc":
        group.join(name)
    group.rebalance("a")
    before = {name: group.actives(name) for name in "abc"}
    for leader in "abc":
        group.join(leader)
        group.rebalance(leader)
        assert {name: group.actives(name) for name in "abc"} == before
        group.join("b" if leader == "a" else "a")
        group.rebalance(leader)
        assert {name: group.actives(name) for name in "abc"} == before


def test_a_member_that_restarted_and_nobody_decided_anew_knows_its_copies_again(group: Group) -> None:
    """The coordinator gives it the assignment of its former life; its web pages may be at another port since."""
    group.join("a")
    group.join("b")
    sent = group.rebalance("a")
    had = group.actives("b"), group.standbys("b")
    group.join("b", web_port=9_999)
    assert group.standbys("b") == set()
    group.members["b"].on_assignment(sent["b"])
    assert (group.actives("b"), group.standbys("b")) == had


def test_what_lies_on_a_disk_decides_where_nobody_has_anything(group: Group) -> None:
    """A whole instance that was stopped and started: stores are continued, not restored anew."""
    group.join("a", 1, 3)
    group.join("b", 0, 2)
    group.rebalance("a")
    assert (group.actives("a"), group.actives("b")) == ({1, 3}, {0, 2})


def test_copies_on_a_disk_take_no_shard_from_an_owner(group: Group) -> None:
    group.join("a")
    group.join("b")
    group.rebalance("a")
    before = group.actives("a"), group.actives("b")
    group.join("b", 0, 1, 2, 3)
    group.rebalance("a")
    assert (group.actives("a"), group.actives("b")) == before


@pytest.mark.parametrize("leader", ["a", "s"])
def test_workers_of_two_versions_share_a_group(group: Group, leader: str) -> None:
    """During an upgrade either may lead; each understands what the other decided, in any order."""
    group.join("a")
    group.join_stock("s")
    for one in (leader, "a", "s", leader):
        group.rebalance(one)
        assert sorted([*group.actives("a"), *group.actives("s")]) == list(range(SHARDS))
        assert not group.actives("a") & group.standbys("a")


def test_a_topic_that_is_missing_has_no_partitions_and_holds_nobody_up(group: Group) -> None:
    group.join("a")
    group.join("b")
    sent = group.rebalance("a", _Cluster({TOPICS[0]: SHARDS}))
    assigned = [dict(one.assignment) for one in sent.values()]
    assert sorted(shard for one in assigned for shard in one[TOPICS[0]]) == list(range(SHARDS))
    assert [one[TOPICS[1]] for one in assigned] == [[], []]
    group.rebalance("b", _Cluster({}))
    assert group.actives("a") == set()


def test_no_standbys_where_none_are_asked_for(tmp_path: Path) -> None:
    group = Group(tmp_path, standbys=0)
    group.join("a", 0, 1)
    group.join("b")
    group.rebalance("a")
    assert (group.standbys("a"), group.standbys("b")) == (set(), set())


def test_the_assignor_is_the_one_that_the_app_uses(group: Group) -> None:
    group.join("a")
    assert type(group.members["a"]) is ShardAssignor
    assert group.members["a"].replicas == 1
