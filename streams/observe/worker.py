"""A worker as its pages see it, whatever its app: who it is, how it is, what it counted.

Each app fills in one `View`; metrics, health and the live page are made from it, and know neither the pipeline's host
nor the store's. Tested in tests/observe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streams.observe.exposition import Samples
from streams.observe.process import VERSION, Process, Pulse
from streams.observe.units import Units

BROKER_UP = "up"
OPEN = "open"
FAILED = "failed"

ShardRow = Mapping[str, Any]
"""One shard as /lockstep/status shows it: shard, state, detail, inputs, and more by app."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One worker."""

    worker: str
    app: str
    broker: Callable[[], str]
    """`up`, or what the worker waits for."""
    has_joined: Callable[[], bool]
    """Whether the group has ever given this worker an assignment."""
    shards: Callable[[], Sequence[ShardRow]]
    """Every shard that this worker should have."""
    counters: Callable[[], Mapping[str, int]]
    more: Callable[[Samples, Sequence[ShardRow]], None]
    """Adds what only this app has."""
    standbys: Callable[[], Sequence[Mapping[str, Any]]] = tuple
    """Each copy of another worker's shard that this worker should keep: shard, behind (None until it is followed)."""
    units: Units | None = None
    process: Process = field(default_factory=Process)
    pulse: Pulse = field(default_factory=Pulse)


def samples_of(view: View) -> Samples:
    """Return every metric of a worker as it is now."""
    samples = Samples()
    samples.count(view.app, view.counters())
    usage = view.process.usage()
    samples.set("lockstep_worker_info", 1, view.worker, view.app, VERSION)
    samples.set("lockstep_worker_broker_up", view.broker() == BROKER_UP)
    samples.set("lockstep_worker_memory_bytes", usage.memory_bytes)
    samples.set("lockstep_worker_cpu_seconds_total", usage.cpu_s)
    samples.set("lockstep_worker_started_at_seconds", usage.started_at_s)
    samples.set("lockstep_worker_loop_delay_seconds", view.pulse.delay_s)
    rows = view.shards()
    for row in rows:
        number = row["shard"]
        samples.set("lockstep_shard_open", row["state"] == OPEN, number)
        samples.set("lockstep_shard_failed", row["state"] == FAILED, number)
        for topic, one in row["inputs"].items():
            if one.get("lag") is not None:
                samples.set("lockstep_shard_lag_offsets", one["lag"], number, topic)
    if view.units is not None:
        _add_units(samples, view.units)
    view.more(samples, rows)
    return samples


def _add_units(samples: Samples, units: Units) -> None:
    for topic, count in units.records_in.items():
        samples.set("lockstep_engine_records_in_total", count, topic)
    for topic, count in units.records_out.items():
        samples.set("lockstep_engine_records_out_total", count, topic)
    samples.observe("lockstep_engine_unit_records", units.sizes)
    for phase, histogram in units.seconds.items():
        samples.observe("lockstep_engine_unit_seconds", histogram, phase)
    samples.observe("lockstep_delivery_latency_seconds", units.latency)
