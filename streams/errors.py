"""One tree of errors, each with a stable code.

A code is part of the product: scripts, dead letters and answers carry it, so it is never renamed or re-used.
The docstring of a class says what happened; the message given by the raiser says what to do next.
Rules return refusals as values; these exceptions are for what a record, an operator or a disk did wrong.
Tested in tests/test_errors.py.
"""

from __future__ import annotations


class LockstepError(Exception):
    """Something went wrong that Lockstep can name."""

    code = "LOCKSTEP"


class RecordError(LockstepError):
    """A record can never be processed; it becomes a dead letter under this code, and the rest goes on."""

    code = "RECORD"


class Undecodable(RecordError):
    """The bytes are not the Avro record that their fingerprint or topic promises."""

    code = "UNDECODABLE"


class UnknownSchema(RecordError):
    """The bytes name a schema fingerprint or registry id that no published schema has."""

    code = "UNKNOWN_SCHEMA"


class MissingKey(RecordError):
    """The record has no key, or one that is not the UTF-8 id which its value names."""

    code = "MISSING_KEY"


class WrongPartition(RecordError):
    """The record lies on another partition than the shard of its key (D19)."""

    code = "WRONG_PARTITION"


class Oversize(RecordError):
    """A record would be larger than its topic takes."""

    code = "OVERSIZE"


class ConfigurationError(LockstepError):
    """A setting is wrong or contradicts another; nothing was started."""

    code = "CONFIGURATION"


class TopologyError(ConfigurationError):
    """topology.yaml does not hold together, or differs from the cluster."""

    code = "TOPOLOGY"


class BrokerUnavailable(LockstepError):
    """No broker answered at the bootstrap address within the time given."""

    code = "BROKER_UNAVAILABLE"


class StoreError(LockstepError):
    """A local store cannot be used: the disk is full, or the database is damaged."""

    code = "STORE"


class StoreFull(StoreError):
    """The disk under a local store is full; it is tried again until there is room."""

    code = "STORE_FULL"


class StoreDamaged(StoreError):
    """A local store is damaged; it is wiped and rebuilt from the topics."""

    code = "STORE_DAMAGED"


class TopicsChanged(LockstepError):
    """Topics were deleted, or deleted and made anew, under a running worker; nothing is processed meanwhile."""

    code = "TOPICS_CHANGED"


class WorkerStuck(LockstepError):
    """A worker did not get out of a state that should pass by itself; it ends, and its supervisor starts it again."""

    code = "WORKER_STUCK"


class StateTopicReplaced(LockstepError):
    """shard.state was deleted and made anew: the shards' local stores hold the last copy of their state."""

    code = "STATE_TOPIC_REPLACED"


class QueueReplaced(LockstepError):
    """thread.messages was deleted and made anew: the split store holds what its new log does not."""

    code = "QUEUE_REPLACED"


class TrimmedBelowProgress(LockstepError):
    """A topic's log starts above the progress of its shard: records are gone that were never processed."""

    code = "TRIMMED_BELOW_PROGRESS"
