"""Four requests of Kafka's protocol that aiokafka 0.14 lacks, or has in too old a version.

Topic ids (Metadata 12), members with their instance ids (DescribeGroups 4), the removal of a static member
(LeaveGroup 3) and changing one setting without resetting the others (IncrementalAlterConfigs 0). Field order
and types are those of Kafka's protocol guide; all four are taken by Kafka 2.8 to 4.x.
Tested against a real broker in tests/adapters/test_cluster.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Array,
    Boolean,
    Bytes,
    CompactArray,
    CompactString,
    Int8,
    Int16,
    Int32,
    Int64,
    Schema,
    String,
    TaggedFields,
)

TOPIC_RESOURCE = 2
_SET = 0
_TEXT = String("utf-8")
_COMPACT_TEXT = CompactString("utf-8")
_NO_TAGS: dict[int, bytes] = {}


class MetadataResponse12(Response):
    """Topics with their ids; an id is 128 bits, read as two halves."""

    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", _COMPACT_TEXT),
                ("port", Int32),
                ("rack", _COMPACT_TEXT),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", _COMPACT_TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", _COMPACT_TEXT),
                ("id_high", Int64),
                ("id_low", Int64),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("in_sync", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class MetadataRequest12(RequestStruct):
    """Ask by name; a topic that is not there is never created."""

    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = MetadataResponse12
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("id_high", Int64), ("id_low", Int64), ("name", _COMPACT_TEXT), ("tags", TaggedFields)
            ),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class DescribeTopics(Request[MetadataRequest12]):
    """Partitions, leaders, replicas and ids of topics."""

    API_KEY = 3

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def build(self, request_struct_class: type[MetadataRequest12]) -> MetadataRequest12:
        """Return the request as aiokafka sends it."""
        topics = [(0, 0, name, _NO_TAGS) for name in self._names]
        return request_struct_class(topics, False, False, _NO_TAGS)


class DescribeGroupsResponse4(Response):
    """Groups with their members, static ones by their instance id."""

    API_KEY = 15
    API_VERSION = 4
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "groups",
            Array(
                ("error_code", Int16),
                ("group", _TEXT),
                ("state", _TEXT),
                ("protocol_type", _TEXT),
                ("protocol", _TEXT),
                (
                    "members",
                    Array(
                        ("member_id", _TEXT),
                        ("instance_id", _TEXT),
                        ("client_id", _TEXT),
                        ("client_host", _TEXT),
                        ("metadata", Bytes),
                        ("assignment", Bytes),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
    )


class DescribeGroupsRequest4(RequestStruct):
    """Ask for groups by name, at their coordinator."""

    API_KEY = 15
    API_VERSION = 4
    RESPONSE_TYPE = DescribeGroupsResponse4
    SCHEMA = Schema(("groups", Array(_TEXT)), ("include_authorized_operations", Boolean))


class DescribeGroup(Request[DescribeGroupsRequest4]):
    """Members of one group."""

    API_KEY = 15

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, request_struct_class: type[DescribeGroupsRequest4]) -> DescribeGroupsRequest4:
        """Return the request as aiokafka sends it."""
        return request_struct_class([self._group], False)


class LeaveGroupResponse3(Response):
    """Whether each member was removed."""

    API_KEY = 13
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("members", Array(("member_id", _TEXT), ("instance_id", _TEXT), ("error_code", Int16))),
    )


class LeaveGroupRequest3(RequestStruct):
    """Remove members; an empty member id leaves the choice to the instance id."""

    API_KEY = 13
    API_VERSION = 3
    RESPONSE_TYPE = LeaveGroupResponse3
    SCHEMA = Schema(("group", _TEXT), ("members", Array(("member_id", _TEXT), ("instance_id", _TEXT))))


class RemoveStaticMember(Request[LeaveGroupRequest3]):
    """Remove the member that bears an instance id."""

    API_KEY = 13

    def __init__(self, group: str, instance_id: str) -> None:
        self._group = group
        self._instance_id = instance_id

    def build(self, request_struct_class: type[LeaveGroupRequest3]) -> LeaveGroupRequest3:
        """Return the request as aiokafka sends it."""
        return request_struct_class(self._group, [("", self._instance_id)])


class IncrementalAlterConfigsResponse0(Response):
    """Whether each resource was changed."""

    API_KEY = 44
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "resources",
            Array(("error_code", Int16), ("error_message", _TEXT), ("resource_type", Int8), ("name", _TEXT)),
        ),
    )


class IncrementalAlterConfigsRequest0(RequestStruct):
    """Set, or take back, single settings."""

    API_KEY = 44
    API_VERSION = 0
    RESPONSE_TYPE = IncrementalAlterConfigsResponse0
    SCHEMA = Schema(
        (
            "resources",
            Array(
                ("resource_type", Int8),
                ("name", _TEXT),
                ("settings", Array(("name", _TEXT), ("operation", Int8), ("value", _TEXT))),
            ),
        ),
        ("validate_only", Boolean),
    )


class SetTopicSettings(Request[IncrementalAlterConfigsRequest0]):
    """Set settings of topics and leave their other settings alone."""

    API_KEY = 44

    def __init__(self, settings: Mapping[str, Mapping[str, str]]) -> None:
        self._settings = settings

    def build(
        self, request_struct_class: type[IncrementalAlterConfigsRequest0]
    ) -> IncrementalAlterConfigsRequest0:
        """Return the request as aiokafka sends it."""
        resources: list[tuple[Any, ...]] = [
            (TOPIC_RESOURCE, topic, [(name, _SET, value) for name, value in settings.items()])
            for topic, settings in self._settings.items()
        ]
        return request_struct_class(resources, False)
