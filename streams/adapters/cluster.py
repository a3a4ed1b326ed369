"""Administration of a Kafka cluster: topics as topology.yaml wants them, offsets, ids, group members.

`async with Cluster(connection) as cluster`. Every operation waits with growing back-off for a broker that
is away and raises BrokerUnavailable in the end. Guarantees: creating is idempotent; `differences` changes
nothing; `apply` changes everything it was given or, when one of it cannot be changed, nothing; partition
counts and replication are never changed. Tested against a real broker in tests/adapters/test_cluster.py.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from aiokafka import TopicPartition
from aiokafka.errors import (
    LeaderNotAvailableError,
    NoError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.admin import CreateTopicsRequest, DeleteRecordsRequest, DescribeConfigsRequest
from aiokafka.protocol.offset import OffsetRequest

from streams.adapters.kafka_link import KafkaLink
from streams.adapters.kafka_requests import (
    TOPIC_RESOURCE,
    DescribeGroup,
    DescribeTopics,
    RemoveStaticMember,
    SetTopicSettings,
)
from streams.adapters.topic_settings import topic_settings
from streams.connection import Connection
from streams.errors import TopologyError
from streams.topology import Topology

PATIENCE_S = 15.0
_OPERATION_TIMEOUT_MS = 10_000
_LATEST = -1
_EARLIEST = -2
_UNKNOWN_MEMBER_CODE = 25
_ISOLATIONS = {"read_uncommitted": 0, "read_committed": 1}
_UNCHANGEABLE = ("partitions", "replication")
_NOT_THERE = "not there"

Isolation = Literal["read_uncommitted", "read_committed"]
Answer = tuple[TopicPartition, int, int]
"""A partition, an error code, and the number that was asked for."""


class Difference(NamedTuple):
    """One way in which a cluster is not as topology.yaml says; the setting `topic` means the whole topic."""

    topic: str
    setting: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.setting}: expected {self.expected}, got {self.found}"


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as the cluster has it."""

    topic_id: str
    """32 hexadecimal digits; a topic that is deleted and made again gets another."""
    leaders: Mapping[int, int]
    """Partition -> node id of its leader, -1 when it has none."""
    replication: int


class GroupMember(NamedTuple):
    """A member of a consumer group."""

    member_id: str
    instance_id: str | None
    client_id: str
    host: str


class Cluster:
    """A cluster to look at and to put in order; open it with `async with`."""

    def __init__(self, connection: Connection, *, patience_s: float = PATIENCE_S) -> None:
        self._link = KafkaLink(connection, patience_s=patience_s)

    async def __aenter__(self) -> Self:
        await self._link.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._link.__aexit__(kind, error, traceback)

    # -- Topics ---------------------------------------------------------------------------------------------

    async def topics(self, names: Iterable[str]) -> dict[str, TopicState]:
        """Return the state of those of the named topics that are there."""
        wanted = sorted(set(names))
        if not wanted:
            return {}
        return await self._link.patiently(lambda: self._topics(wanted))

    async def topic_ids(self, names: Iterable[str]) -> dict[str, str]:
        """Return the ids of those of the named topics that are there, as 32 hexadecimal digits."""
        return {name: state.topic_id for name, state in (await self.topics(names)).items()}

    async def create_topics(self, topology: Topology) -> list[str]:
        """Create what is missing and return its names when every partition has a leader.

        Topics that are there are left as they are, whatever their settings. Raises TopologyError when the
        cluster refuses a topic.
        """
        there = await self.topics(topology.topics)
        missing = [name for name in topology.topics if name not in there]
        if missing:
            await self._link.patiently(lambda: self._create(topology, missing))
            await self._link.patiently(lambda: self._leaders(missing))
        return missing

    async def differences(self, topology: Topology) -> list[Difference]:
        """Name every difference between topology and cluster, in the order of the file; change nothing."""
        there = await self.topics(topology.topics)
        wanted = {name: topic_settings(topology, topic) for name, topic in topology.topics.items()}
        asked = {name: tuple(settings) for name, settings in wanted.items() if name in there}
        found = await self._link.patiently(lambda: self._settings(asked)) if asked else {}
        result = []
        for name, settings in wanted.items():
            if name not in found:
                result.append(Difference(name, "topic", "a topic", _NOT_THERE))
                continue
            expected = {
                "partitions": str(topology.shards),
                "replication": str(topology.replication),
                **settings,
            }
            state = there[name]
            actual = {
                "partitions": str(len(state.leaders)),
                "replication": str(state.replication),
                **found[name],
            }
            result += [
                Difference(name, setting, value, actual.get(setting, "nothing"))
                for setting, value in expected.items()
                if actual.get(setting) != value
            ]
        return result

    async def apply(self, topology: Topology, differences: Sequence[Difference]) -> None:
        """Create the missing topics and set the differing settings among `differences`.

        Raises TopologyError, and changes nothing, when one of them is a partition count or a replication
        factor: keys would lie on other shards than their state.
        """
        if stuck := [one for one in differences if one.setting in _UNCHANGEABLE]:
            lines = "\n".join(f"  {one}" for one in stuck)
            raise TopologyError(
                "Partitions and replication of a topic are never changed, so nothing was applied. "
                "Set shards and replication in topology.yaml to the cluster's, or start on empty topics:\n"
                + lines
            )
        if any(one.setting == "topic" for one in differences):
            await self.create_topics(topology)
        settings: dict[str, dict[str, str]] = defaultdict(dict)
        for one in differences:
            if one.setting != "topic":
                settings[one.topic][one.setting] = one.expected
        if settings:
            await self._link.patiently(lambda: self._set(settings))

    # -- Offsets --------------------------------------------------------------------------------------------

    async def delete_records(self, before: Mapping[str, Mapping[int, int]]) -> dict[TopicPartition, int]:
        """Delete what lies below offsets (topic -> partition -> offset); return the new log starts."""
        if not any(before.values()):
            return {}
        return await self._link.patiently(lambda: self._delete_records(before))

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the log start of each partition."""
        return await self._offsets(partitions, _EARLIEST, "read_uncommitted")

    async def end_offsets(
        self, partitions: Iterable[TopicPartition], isolation: Isolation = "read_committed"
    ) -> dict[TopicPartition, int]:
        """Return the offset behind the last record of each partition.

        read_uncommitted gives the high watermark; read_committed the last stable offset, which an open
        transaction holds back.
        """
        return await self._offsets(partitions, _LATEST, isolation)

    async def offsets_at(
        self, partitions: Iterable[TopicPartition], at_ms: int
    ) -> dict[TopicPartition, int | None]:
        """Return the offset of the first record, committed or not, of an instant or later; None: there is none."""
        found = await self._offsets(partitions, at_ms, "read_uncommitted")
        return {one: None if offset < 0 else offset for one, offset in found.items()}

    # -- Groups ---------------------------------------------------------------------------------------------

    async def group_members(self, group: str) -> list[GroupMember]:
        """Return the members of a consumer group; none when there is no such group."""

        async def ask() -> list[GroupMember]:
            node = await self._link.coordinator_of(group)
            answer = await self._link.ask(DescribeGroup(group), node)
            ((code, _, _, _, _, members, _),) = answer.groups
            _raise_for(code, group)
            return [GroupMember(member[0], member[1], member[2], member[3]) for member in members]

        return await self._link.patiently(ask)

    async def remove_static_member(self, group: str, instance_id: str) -> bool:
        """Remove a static member at once, so that its partitions need not wait for the session time-out.

        Returns whether there was such a member.
        """

        async def ask() -> bool:
            node = await self._link.coordinator_of(group)
            answer = await self._link.ask(RemoveStaticMember(group, instance_id), node)
            _raise_for(answer.error_code, group)
            ((_, _, code),) = answer.members
            if code == _UNKNOWN_MEMBER_CODE:
                return False
            _raise_for(code, instance_id)
            return True

        return await self._link.patiently(ask)

    # -- One attempt each -----------------------------------------------------------------------------------

    async def _topics(self, names: Sequence[str]) -> dict[str, TopicState]:
        answer = await self._link.ask(DescribeTopics(names))
        found = {}
        for code, name, high, low, _, partitions, _, _ in answer.topics:
            if for_code(code) is UnknownTopicOrPartitionError:
                continue
            _raise_for(code, name)
            topic_id = ((high % 2**64) << 64) | (low % 2**64)
            leaders = {partition[1]: partition[2] for partition in partitions}
            replication = min((len(partition[4]) for partition in partitions), default=0)
            found[name] = TopicState(f"{topic_id:032x}", dict(sorted(leaders.items())), replication)
        return found

    async def _create(self, topology: Topology, names: Sequence[str]) -> None:
        wanted: list[tuple[Any, ...]] = [
            (name, topology.shards, topology.replication, [], list(topic_settings(topology, topic).items()))
            for name, topic in topology.topics.items()
            if name in names
        ]
        request = CreateTopicsRequest(
            create_topic_requests=wanted,
            timeout=_OPERATION_TIMEOUT_MS,
            validate_only=False,
        )
        answer = await self._link.ask(request)
        _refuse((code, f"{name}: {message}") for name, code, message in answer.topic_errors)

    async def _leaders(self, names: Sequence[str]) -> None:
        there = await self._topics(names)
        if len(there) < len(names) or any(-1 in state.leaders.values() for state in there.values()):
            raise LeaderNotAvailableError("a new topic has a partition without a leader")

    async def _settings(self, names: Mapping[str, Sequence[str]]) -> dict[str, dict[str, str]]:
        request = DescribeConfigsRequest([(TOPIC_RESOURCE, name, list(keys)) for name, keys in names.items()])
        found = {}
        for code, _, _, name, entries in (await self._link.ask(request)).resources:
            if for_code(code) is UnknownTopicOrPartitionError:
                continue
            _raise_for(code, name)
            found[name] = {entry[0]: str(entry[1]) for entry in entries}
        return found

    async def _set(self, settings: Mapping[str, Mapping[str, str]]) -> None:
        answer = await self._link.ask(SetTopicSettings(settings))
        _refuse((code, f"{name}: {message}") for code, message, _, name in answer.resources)

    async def _delete_records(self, before: Mapping[str, Mapping[int, int]]) -> dict[TopicPartition, int]:
        async def ask(node: int, some: Sequence[TopicPartition]) -> Iterable[Answer]:
            wanted = _by_topic(some, lambda one: (one.partition, before[one.topic][one.partition]))
            answer = await self._link.ask(DeleteRecordsRequest(wanted, _OPERATION_TIMEOUT_MS), node)
            return [
                (TopicPartition(topic, partition), code, low)
                for topic, results, *_ in answer.topics
                for partition, low, code, *_ in results
            ]

        partitions = [TopicPartition(topic, one) for topic, offsets in before.items() for one in offsets]
        return await self._at_leaders(partitions, ask)

    async def _offsets(
        self, partitions: Iterable[TopicPartition], which: int, isolation: Isolation
    ) -> dict[TopicPartition, int]:
        async def ask(node: int, some: Sequence[TopicPartition]) -> Iterable[Answer]:
            wanted = _by_topic(some, lambda one: (one.partition, which))
            answer = await self._link.ask(OffsetRequest(-1, _ISOLATIONS[isolation], wanted), node)
            return [
                (TopicPartition(topic, partition), code, offset)
                for topic, results in answer.topics
                for partition, code, _, offset in results
            ]

        wanted = list(partitions)
        return await self._link.patiently(lambda: self._at_leaders(wanted, ask))

    async def _at_leaders(
        self,
        partitions: Sequence[TopicPartition],
        ask: Callable[[int, Sequence[TopicPartition]], Awaitable[Iterable[Answer]]],
    ) -> dict[TopicPartition, int]:
        """Ask each partition's leader and return partition -> number; raise for the first error code."""
        if not partitions:
            return {}
        there = await self._topics(sorted({one.topic for one in partitions}))
        by_leader: dict[int, list[TopicPartition]] = defaultdict(list)
        for one in partitions:
            leader = there[one.topic].leaders.get(one.partition) if one.topic in there else None
            if leader is None:
                raise TopologyError(
                    f"{one.topic} has no partition {one.partition}: run `lockstep topology check`"
                )
            if leader == -1:
                raise LeaderNotAvailableError(f"{one.topic}, partition {one.partition}")
            by_leader[leader].append(one)
        found = {}
        for answers in await asyncio.gather(*(ask(node, some) for node, some in by_leader.items())):
            for one, code, number in answers:
                _raise_for(code, f"{one.topic}, partition {one.partition}")
                found[one] = number
        return found


def _by_topic(
    partitions: Iterable[TopicPartition], entry: Callable[[TopicPartition], tuple[int, int]]
) -> list[tuple[str, list[tuple[int, int]]]]:
    topics: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for one in partitions:
        topics[one.topic].append(entry(one))
    return list(topics.items())


def _raise_for(code: int, what: str) -> None:
    error = for_code(code)
    if error is not NoError:
        raise error(what)


def _refuse(answers: Iterable[tuple[int, Any]]) -> None:
    """Raise TopologyError for what the cluster refused for good, aiokafka's own error for what may pass."""
    failed = [(for_code(code), text) for code, text in answers]
    failed = [(error, text) for error, text in failed if error not in (NoError, TopicAlreadyExistsError)]
    for error, text in failed:
        if error.retriable:
            raise error(text)
    if failed:
        lines = "\n".join(f"  {error.__name__}: {text}" for error, text in failed)
        raise TopologyError("The cluster refused what topology.yaml asks for:\n" + lines)
