"""Every metric of Lockstep, once: name, kind, unit, labels, meaning, and what to do when it looks wrong.

Nothing is exported that does not stand here, and docs/metrics.md is this list in print; what concerns single shards
is written down in shard_metrics.py. A metric with a `counter` is the counter of that name which stages and engine
raise: those stay the source, and are read when somebody asks. A `counter` that ends in `.*` takes all counters that
begin so, and what follows is its only label.
Tested in tests/observe/test_exposition.py; that every counter which is counted stands here: tests/tidy/test_metrics.py.
"""

from __future__ import annotations

from streams.observe.metric import BOTH, STORE, Kind, Metric, counted, gauge, histogram
from streams.observe.shard_metrics import SHARDS, STANDBYS

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 6.0)
_LATENCY = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_RECORDS = (1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_000.0, 4_000.0, 6_000.0, 10_000.0)
_NOTHING = "none: it tells how much there is to do"

RECORDS_IN = Metric(
    name="lockstep_engine_records_in_total",
    kind=Kind.COUNTER,
    unit="records",
    meaning="records that committed units finished, by input topic; each topic has one stage that reads it",
    remedy="falls to 0 while lag grows: see lockstep_worker_broker_up and lockstep_shard_open",
    labels=("topic",),
)
RECORDS_OUT = Metric(
    name="lockstep_engine_records_out_total",
    kind=Kind.COUNTER,
    unit="records",
    meaning="records that committed units wrote, by topic, changelogs among them",
    remedy="none: compare with records in; many outputs a record are large threads or many endpoints",
    labels=("topic",),
)
UNIT_RECORDS = histogram(
    "engine_unit_records",
    "records",
    "records finished by one unit of work: small when idle, large under load",
    "at its limit (6,000) all the time: the worker is full; add workers (at most one a shard)",
    bounds=_RECORDS,
)
UNIT_SECONDS = histogram(
    "engine_unit_seconds",
    "seconds",
    "time of one unit of work by phase: run (stages), commit (changelog and transaction, while the next unit runs), "
    "local (RocksDB)",
    "run is long: CPU of this machine; commit: the broker and its disk; local: this machine's disk",
    bounds=_SECONDS,
    labels=("phase",),
)
LATENCY = histogram(
    "delivery_latency_seconds",
    "seconds",
    "from the broker's append of a request to the commit of the updates and deliveries that it caused; a unit adds "
    "all its updates between its oldest and its newest. Needs the clocks of broker and worker to agree",
    "look where lag grows: lockstep_shard_lag_offsets by topic; then at lockstep_engine_unit_seconds by phase",
    bounds=_LATENCY,
)

_ENGINE = (
    RECORDS_IN,
    RECORDS_OUT,
    UNIT_RECORDS,
    UNIT_SECONDS,
    counted("engine.units", "units", "units of work that were committed", _NOTHING),
    counted("engine.outputs", "records", "records that units wrote, changelogs among them", _NOTHING),
    counted(
        "engine.units_in_doubt",
        "times",
        "a transaction's outcome was unknown, or the worker was fenced: every shard was dropped and opened again",
        "now and then is harmless; again and again: broker time-outs, or two workers of one --name",
    ),
    counted(
        "engine.dead_letters",
        "records",
        "records that can never be processed",
        "`lockstep dead-letters list` and `show`; mend the sender, then `dead-letters resend`",
    ),
    counted(
        "engine.dead_letters_by_code.*",
        "records",
        "the same by error code; a code is there from its first dead letter on",
        "the code says why: `lockstep dead-letters show`",
        "code",
    ),
    counted(
        "engine.clock_jumps",
        "times",
        "the append time jumped by more than expiry_hold_ms: expiry was held",
        "put the brokers' clocks right; after a long quiet time it is normal",
    ),
    counted(
        "engine.shards_opened",
        "shards",
        "shards that this worker claimed and opened",
        "grows while nobody starts or stops workers: look for session time-outs and units in doubt",
    ),
    counted(
        "engine.shards_opened_by_kind.*",
        "shards",
        "the same by kind; warm: the local store (a copy, or one kept over a restart) had at least half of the shard's "
        "log when the attempt began that opened it; cold: most of it was read from the topics",
        "cold after the loss of a worker: no copy, or one far behind; see lockstep_standby_lag_offsets",
        "kind",
    ),
    counted(
        "engine.standby_records",
        "records",
        "records of other workers' shards that were written to the copies here",
        "0 while those shards are busy: `engine.standbys_wait` and `engine.standby_failed` in the log say why",
    ),
    counted("engine.shards_released", "shards", "shards that were given away in order", _NOTHING),
    counted(
        "engine.stores_lost",
        "stores",
        "local stores that failed and were dropped; the log has all of it",
        "`df` and the disk: STORE_FULL or STORE_DAMAGED stands in the status and the log",
    ),
)

_STAGES = (
    counted("ingest.accepted", "requests", "requests that were new", _NOTHING),
    counted(
        "ingest.duplicates",
        "requests",
        "requests whose token was known: answered DUPLICATE, done once; always found by an exact look-up",
        "a large share: clients retry too early, or do not hear their answers",
    ),
    counted(
        "ingest.filter_lookups",
        "requests",
        "requests that the client's newest timestamp did not decide: the Bloom filter was asked",
        "a large share of all requests: clients send tokens out of order",
    ),
    counted(
        "ingest.exact_lookups",
        "requests",
        "requests that the filter did not decide either: the ledger was read",
        "much more than duplicates, reused and refused together: the filters say 'maybe' too often",
    ),
    counted(
        "ingest.too_old",
        "requests",
        "requests older than the threshold: answered TOO_OLD",
        "the client's clock is behind, or it retries after a day; it must make a NEW message",
    ),
    counted(
        "ingest.clock_ahead",
        "requests",
        "requests from the future: answered CLOCK_AHEAD",
        "the client's clock is ahead",
    ),
    counted(
        "ingest.tokens_reused",
        "requests",
        "requests with a known token and another payload: answered TOKEN_REUSED",
        "a bug of the client: a token is made once a message",
    ),
    counted(
        "ingest.rejected",
        "requests",
        "requests that are malformed: answered REJECTED, and kept as dead letters",
        "`lockstep dead-letters list`; mend the client",
    ),
    counted(
        "ingest.refused",
        "answers",
        "answers REFUSED: the thread did not admit the operation",
        "the sender may not write there; many at once: a client that ignores the answer",
    ),
    counted("fanout.admitted", "operations", "operations that got their place in a thread", _NOTHING),
    counted(
        "fanout.refused",
        "operations",
        "operations that their thread did not admit",
        "see lockstep_ingest_refused_total",
    ),
    counted(
        "fanout.appends",
        "records",
        "appends to inboxes: one for each member of the thread",
        "many a message: large threads; they are expanded in bounded steps",
    ),
    counted(
        "fanout.oversize",
        "records",
        "appends that did not fit their topic: a tombstone keeps the place",
        "should be 0: report it, with the thread's first message",
    ),
    counted(
        "sequencer.oversize",
        "records",
        "updates that did not fit their topic: a tombstone keeps the place, the append is a dead letter",
        "should be 0: report it, with the dead letter",
    ),
    LATENCY,
    counted(
        "delivery.parked",
        "times",
        "endpoints whose window was full: a wake-up was sent, the rest waits in the queue",
        "clients do not acknowledge: they are away, or too slow",
    ),
    counted(
        "delivery.fallbacks",
        "updates",
        "updates that were sent with a fallback, since something could not be customised",
        "form or locale is missing: see the form catalogue",
    ),
    counted(
        "delivery.replaced",
        "updates",
        "updates that a tombstone stands for at an endpoint",
        "an update was too large for its delivery topic; the inbox has it",
    ),
    counted("replay.done", "commands", "commands of endpoints that were done", _NOTHING),
    counted(
        "replay.refused",
        "commands",
        "commands of endpoints that were answered with an error code",
        "read the CommandResult: BELOW_KEPT: attach at the head that it names; UNKNOWN_ENDPOINT: register",
    ),
    counted(
        "replay.gaps_asked",
        "commands",
        "gaps that endpoints saw: MissingUpdates commands",
        "a few are clients that were away; many: they lose deliveries, look at their consumers",
    ),
)

_SPLIT_STORE = (
    counted("split_store.rows", "rows", "metadata rows written; what came twice counts twice", _NOTHING),
    counted("split_store.bodies", "bodies", "bodies written; what came twice counts twice", _NOTHING),
    counted(
        "split_store.dead_letters",
        "records",
        "records of thread.messages that the store refused",
        "`lockstep dead-letters list`; should be 0: only the pipeline writes that topic",
    ),
    gauge(
        "split_store_metadata_lag_offsets",
        "offsets",
        "offsets between the metadata pointer and the head of thread.messages",
        "grows: the metadata store is slow or down; the shard's problems stand in the worker's status",
        labels=("shard",),
        apps=(STORE,),
    ),
    gauge(
        "split_store_bodies_lag_offsets",
        "offsets",
        "offsets between the body pointer and the head of thread.messages",
        "grows alone: the body store is slow or down; delivery is not affected",
        labels=("shard",),
        apps=(STORE,),
    ),
    gauge(
        "split_store_failures_in_a_row",
        "failures",
        "failed calls of a half (metadata, bodies) since its last success",
        "above 0 for long: the store's disk or network; the detail stands in the worker's status",
        labels=("shard", "half"),
        apps=(STORE,),
    ),
)

_WORKER = (
    gauge(
        "worker_info",
        "1",
        "always 1: worker, app and version as labels",
        "none: to join names to other metrics",
        labels=("worker", "app", "version"),
        apps=BOTH,
    ),
    gauge(
        "worker_broker_up",
        "0 or 1",
        "whether the worker has what it needs of the broker",
        "0: the broker is down or unreachable; the reason stands in /health and the status",
        apps=BOTH,
    ),
    gauge(
        "worker_memory_bytes",
        "bytes",
        "resident memory of the process",
        "rises without end: report it; lower --memory-mib, or spread the shards over more workers",
        apps=BOTH,
    ),
    Metric(
        name="lockstep_worker_cpu_seconds_total",
        kind=Kind.COUNTER,
        unit="seconds",
        meaning="processor time of the process, user and system",
        remedy="close to 1 a second: the worker is full (it runs on one core); add workers",
        apps=BOTH,
    ),
    gauge(
        "worker_started_at_seconds",
        "seconds since 1970",
        "when the process started",
        "young again and again: the worker dies; its log says of what",
        apps=BOTH,
    ),
    gauge(
        "worker_loop_delay_seconds",
        "seconds",
        "by how much the event loop was late, at worst, in the last 10 seconds",
        "above 1: the machine is overloaded or swaps; above the session time-out: shards are lost",
        apps=BOTH,
    ),
)

METRICS: tuple[Metric, ...] = (*_ENGINE, *_STAGES, *SHARDS, *STANDBYS, *_SPLIT_STORE, *_WORKER)
"""In the order of docs/metrics.md."""

BY_NAME = {metric.name: metric for metric in METRICS}


def metrics_of(app: str) -> list[Metric]:
    """Return what the workers of an app export."""
    return [metric for metric in METRICS if app in metric.apps]
