"""The shape of topology.yaml, as frozen values.

Pydantic checks each value by itself; how they must relate to each other stands in streams/topology/checks.py.
Durations are milliseconds, sizes bytes. Tested in tests/topology/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StrictBool, StrictInt, StringConstraints
from pydantic.dataclasses import dataclass

from streams import limits
from streams.errors import TopologyError

KEPT_FOR_EVER = -1
DELIVERY = "delivery"
"""In a stage's `writes`: the topics of all routes."""

STATE_TOPIC = "shard.state"
LEDGER_TOPIC = "shard.ledger"
DEAD_LETTER_TOPIC = "dead.letters"
STORE_APP = "store"
"""The app that trims the topics with `kept_ms`."""

_CONFIG = ConfigDict(extra="forbid")
SHARDS_MAX = (
    1_024  # every shard costs a partition of every topic: Kafka's own advice ends at some thousands a broker
)

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
TopicName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
Positive = Annotated[StrictInt, Field(ge=1)]
Retention = Annotated[StrictInt, Field(ge=-1)]

Role = Literal["ingest", "answers", "internal", "queue", "delivery", "state", "dead_letters"]
Key = Literal["account", "thread", "endpoint", "state", "original"]
Cleanup = Literal["delete", "compact"]
TimestampType = Literal["append", "create"]
Framing = Literal["single_object", "registry"]


@dataclass(frozen=True, config=_CONFIG)
class Timestamps:
    """How old and how new a request may be, and what follows from it (spec 1)."""

    threshold_ms: Positive
    """A token older than this is TOO_OLD."""
    clock_ahead_ms: Positive
    """A token further ahead of the shard clock than this is CLOCK_AHEAD."""
    ledger_bucket_ms: Positive
    """Tokens are forgotten a bucket at a time."""
    client_retry_horizon_ms: Positive
    """How long a client of ours sends the same token again; below threshold_ms (D16)."""
    expiry_hold_ms: Positive
    """A jump of the shard clock by more than this holds expiry (D20)."""


@dataclass(frozen=True, config=_CONFIG)
class StageSpec:
    """One stage: its app, what it reads (or which stage of the same unit it follows), what it writes."""

    name: Name
    app: Name
    reads: tuple[TopicName, ...] = ()
    after: Name | None = None
    writes: tuple[TopicName, ...] = ()


@dataclass(frozen=True, config=_CONFIG)
class TopicSpec:
    """One topic. Its partitions are the topology's shards."""

    name: TopicName
    role: Role
    key: Key
    cleanup: Cleanup
    retention_ms: Retention
    """How long a record is kept by age; -1 is for ever."""
    schema: tuple[str, ...] = ()
    """Names of the records that may lie on it; none for the shards' own state."""
    timestamps: TimestampType = "append"
    clock: StrictBool = False
    """Whether its append times move the shard clock."""
    trimmed: StrictBool = False
    """Whether records below the committed progress of its reader are deleted."""
    kept_ms: Positive | None = None
    """Deleted by its reader once older than this, but never above what the reader has made durable (W9)."""
    record_bytes_max: Positive = limits.RECORD_BYTES_MAX
    """Kafka's max.message.bytes: key, value and overhead of a batch."""
    delete_retention_ms: Positive | None = None
    """How long a compacted topic keeps tombstones: a store that was away longer is restored in full."""


@dataclass(frozen=True, config=_CONFIG)
class Topology:
    """All of topology.yaml. Names of stages, routes and topics keep the order of the file."""

    version: Literal[1]
    shards: Annotated[StrictInt, Field(ge=1, le=SHARDS_MAX)]
    replication: Positive
    framing: Framing
    registry_ids: Mapping[str, Annotated[StrictInt, Field(ge=0, lt=2**32)]]
    timestamps: Timestamps
    stages: Mapping[Name, StageSpec]
    routes: Annotated[Mapping[Name, TopicName], Field(min_length=1)]
    topics: Mapping[TopicName, TopicSpec]

    @property
    def default_route(self) -> str:
        """The route of an endpoint that names none."""
        return next(iter(self.routes))

    @property
    def apps(self) -> tuple[str, ...]:
        """Names of the apps, each of which is a worker's whole job."""
        return tuple(dict.fromkeys(stage.app for stage in self.stages.values()))

    @property
    def clock_topics(self) -> tuple[str, ...]:
        """Topics whose append times move the shard clock."""
        return tuple(name for name, topic in self.topics.items() if topic.clock)

    @property
    def trimmed_topics(self) -> tuple[str, ...]:
        """Topics that are trimmed below the committed progress of their reader."""
        return tuple(name for name, topic in self.topics.items() if topic.trimmed)

    def topic_of(self, record: str) -> str:
        """Return the first topic that carries a record, e.g. SendRequest; raises TopologyError."""
        for name, topic in self.topics.items():
            if record in topic.schema:
                return name
        raise TopologyError(f"topics: expected one that carries {record}, got none")

    def stages_of(self, app: str) -> tuple[StageSpec, ...]:
        """Return the stages of an app, in the order of the file."""
        return tuple(stage for stage in self.stages.values() if stage.app == app)

    def inputs_of(self, app: str) -> tuple[str, ...]:
        """Return every topic that the stages of an app read."""
        return tuple(topic for stage in self.stages_of(app) for topic in stage.reads)

    def outputs_of(self, stage: str) -> tuple[str, ...]:
        """Return the topics that a stage writes, with `delivery` replaced by the topics of all routes."""
        return self.expanded(self.stages[stage].writes)

    def expanded(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return topic names with `delivery` replaced by the topics of all routes."""
        routes = tuple(dict.fromkeys(self.routes.values()))
        return tuple(one for name in names for one in (routes if name == DELIVERY else (name,)))

    def with_shards(self, shards: int) -> Topology:
        """Return the same topology with another number of shards; raises TopologyError when out of range."""
        if not 1 <= shards <= SHARDS_MAX:
            raise TopologyError(f"shards: expected 1 to {SHARDS_MAX}, got {shards}")
        return replace(self, shards=shards)
