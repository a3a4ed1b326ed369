"""What a worker's host is told at its start, and what it shows of its shards. Values only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streams.connection import Connection
from streams.engine.shard import Shard, ShardSettings
from streams.ports import Restorer, Stage


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an opening waits for others, in seconds."""

    hand_over_s: float = 1.0
    """A living owner's moment to release what it no longer should have."""
    undecided_s: float = 2.0
    """An open transaction of somebody who is not known by a claim; the broker aborts it in the end."""
    back_off_s: float = 0.2
    """Upper end of a random wait after a race."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """What a worker is told at its start."""

    app: str
    worker: str
    """Name of the worker: its static membership, and the first part of its transactional ids."""
    folder: Path
    connection: Connection
    state_topic: str
    ledger_topic: str
    input_topics: tuple[str, ...]
    """Topics that agents feed."""
    shard: ShardSettings
    stages: Callable[[Shard], Sequence[Stage]]
    restorers: Callable[[], Sequence[Restorer]]
    transaction_timeout_ms: int = 6_000
    tombstones_kept_ms: int = 86_400_000
    ledger_kept_ms: int = 86_400_000
    """Age at which a token has expired; rebuilds do not compare what is older."""
    memory_bytes: int = 192 << 20
    unit_records_max: int = 6_000
    unit_bytes_max: int = 16 << 20
    """Bytes that the records of one unit send; twice what 6,000 records of an ordinary load do."""
    unit_seconds_max: float = 0.15
    unit_seconds_min: float = 0.01
    """From one seal to the next. A transaction costs worker and broker the same for one message as for twenty, and at a
    low rate that is most of what they do; a first message after a pause does not wait."""
    patience: Patience = field(default_factory=Patience)


@dataclass
class ShardStatus:
    """What people see of a shard that this worker should have."""

    state: str = "opening"
    """opening, open or failed."""
    detail: str = ""
    rows_read: int = 0
    rows_total: int = 0
    """What the restore has read, and what there was to read when it last looked."""
    is_warm: bool = False
    """Whether the store had at least half of the shard's log already when this attempt began."""
