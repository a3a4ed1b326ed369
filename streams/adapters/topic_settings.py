"""Kafka's settings for each topic of a topology: pure, names and values as Kafka spells them.

Every setting that Lockstep's promises rest on is set by name, even where it equals Kafka's default: a
cluster may have other defaults. Tested in tests/adapters/test_topic_settings.py, and on a real broker in
test_cluster.py.
"""

from __future__ import annotations

from streams.topology import TopicSpec, Topology

_TIMESTAMP_TYPES = {"append": "LogAppendTime", "create": "CreateTime"}

_SEGMENT_BYTES = 64 * 1024 * 1024
"""What is trimmed, expired or compacted is freed by segments; Kafka's default of 1 GiB is late."""

_STATE_SEGMENT_MS = 3_600_000
"""The newest segment is never compacted: an hour bounds what a restore reads twice."""

_STATE_DIRTY_RATIO = "0.1"
"""Compact early: a restore reads all that is not compacted yet."""


def topic_settings(topology: Topology, topic: TopicSpec) -> dict[str, str]:
    """Return the settings of a topic, without its partitions and replication."""
    settings = {
        "cleanup.policy": topic.cleanup,
        "retention.ms": str(topic.retention_ms),
        # Only age may empty a topic: by size, a busy hour would take what nobody has processed.
        "retention.bytes": "-1",
        "message.timestamp.type": _TIMESTAMP_TYPES[topic.timestamps],
        "max.message.bytes": str(topic.record_bytes_max),
        # With three copies, a commit is on two disks before anyone hears of it.
        "min.insync.replicas": "2" if topology.replication >= 3 else "1",
        # A copy that lags must not become the leader: committed units would be gone.
        "unclean.leader.election.enable": "false",
    }
    if topic.role in ("state", "internal") or topic.kept_ms is not None:
        settings["segment.bytes"] = str(_SEGMENT_BYTES)
    if topic.cleanup == "compact":
        settings["delete.retention.ms"] = str(topic.delete_retention_ms)
        settings["segment.ms"] = str(_STATE_SEGMENT_MS)
        settings["min.cleanable.dirty.ratio"] = _STATE_DIRTY_RATIO
    elif topic.role == "state":
        # The ledger expires a bucket at a time.
        settings["segment.ms"] = str(topology.timestamps.ledger_bucket_ms)
    return settings
