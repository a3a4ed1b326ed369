"""The metrics of shards and of copies, a part of the one list in streams/observe/metrics.py.

They are looked up when somebody asks, from what /lockstep/status shows; nothing counts them.
Tested in tests/observe/test_exposition.py and tests/engine/test_observed.py.
"""

from __future__ import annotations

from streams.observe.metric import BOTH, gauge

SHARDS = (
    gauge(
        "shard_open",
        "0 or 1",
        "whether a shard that this worker should have is open",
        "0 for long: `lockstep status` says why (restoring, failed, broker)",
        labels=("shard",),
        apps=BOTH,
    ),
    gauge(
        "shard_failed",
        "0 or 1",
        "whether opening or keeping the shard failed; it is tried again",
        "the code stands in `lockstep status`; docs/operations.md has a line for each",
        labels=("shard",),
        apps=BOTH,
    ),
    gauge(
        "shard_lag_offsets",
        "offsets",
        "offsets between a shard's progress and the committed end of an input; control records count, 0 is 0",
        "grows on ingest.requests: add workers; on inbox.appends alone: a large thread",
        labels=("shard", "topic"),
        apps=BOTH,
    ),
    gauge(
        "shard_waiting_records",
        "records",
        "records that are fetched and not processed",
        "at 4,000 all the time: the worker is full; add workers",
        labels=("shard", "topic"),
    ),
    gauge(
        "shard_restored_records",
        "records",
        "records that the opening of a shard has read back",
        "stands still while the shard is not open: the broker, or a claim that is not decided",
        labels=("shard",),
    ),
    gauge(
        "shard_restore_size_records",
        "records",
        "records that the opening of a shard has to read back, as of its last look",
        "large at every start: the local stores are lost; keep the data folder over restarts",
        labels=("shard",),
    ),
    gauge(
        "shard_claim_number",
        "number",
        "number of the claim under which the shard is owned",
        "rises quickly: the shard moves from worker to worker; look for session time-outs",
        labels=("shard",),
    ),
    gauge(
        "shard_expiry_held",
        "0 or 1",
        "whether expiry waits because the append time jumped",
        "see lockstep_engine_clock_jumps_total",
        labels=("shard",),
    ),
)

STANDBYS = (
    gauge(
        "standby_wanted",
        "copies",
        "copies of other workers' shards that the group wants this worker to keep",
        "0 on all workers: there is one worker only, or --standbys is 0",
    ),
    gauge(
        "standby_followed",
        "copies",
        "those of them that are open and follow their shards",
        "below the wanted ones for long: a store fails (`engine.standby_failed` in the log), or openings go on",
    ),
    gauge(
        "standby_lag_offsets",
        "offsets",
        "offsets between a copy and the committed end of its shard's own topics, as of the last fetch",
        "grows: this worker's disk or CPU; nothing is lost by it, a take-over of that shard takes longer",
        labels=("shard",),
    ),
)
