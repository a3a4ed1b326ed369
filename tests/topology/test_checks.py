"""Each relation of topology.yaml, broken once (streams/topology/checks.py)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.topology.test_loading import problems_of

DAY_MS = 86_400_000
MISTAKES: dict[str, tuple[dict[str, Any], str, str, str]] = {
    # what is wrong: overrides, path, expected, got
    "a stage reads what is no topic": (
        {"stages": {"replay": {"reads": ["endpoint.commands", "gone"]}}},
        "stages.replay.reads",
        "topics that stand under topics",
        "gone",
    ),
    "a stage writes what is no topic": (
        {"stages": {"replay": {"writes": ["gone"]}}},
        "stages.replay.writes",
        "topics that stand under topics",
        "gone",
    ),
    "delivery is nothing to read": (
        {"stages": {"replay": {"reads": ["endpoint.commands", "delivery"]}}},
        "stages.replay.reads",
        "topics that stand under topics",
        "delivery",
    ),
    "a stage that nothing runs": (
        {"stages": {"sequencer": {"reads": []}}},
        "stages.sequencer",
        "reads or after",
        "neither: nothing would ever run the stage",
    ),
    "a stage behind nobody": (
        {"stages": {"delivery": {"after": "sorter"}}},
        "stages.delivery.after",
        "one of delivery, fanout, ingest, replay, sequencer, split_store",
        "sorter",
    ),
    "a stage behind another app": (
        {"stages": {"delivery": {"after": "split_store"}}},
        "stages.delivery.after",
        "a stage of the app pipeline",
        "split_store of store",
    ),
    "a stage that reads and follows": (
        {"stages": {"delivery": {"reads": ["inbox.updates"]}}},
        "stages.delivery",
        "reads or after",
        "both: a stage runs on its own topics or behind another stage",
    ),
    "a stage behind itself": (
        {"stages": {"delivery": {"after": "delivery"}}},
        "stages.delivery.after",
        "a stage that reads topics",
        "delivery, which stands behind another",
    ),
    "two stages of an app read one topic": (
        {"stages": {"replay": {"reads": ["endpoint.commands", "ingest.requests"]}}},
        "stages.ingest, replay.reads",
        "one reader of ingest.requests in the app pipeline",
        "2",
    ),
    "two apps read a topic that is trimmed": (
        {"stages": {"split_store": {"reads": ["thread.messages", "inbox.appends"]}}},
        "topics.inbox.appends.trimmed",
        "exactly one app that reads it",
        "pipeline, store",
    ),
    "a trimmed topic that age empties": (
        {"topics": {"inbox.appends": {"retention_ms": DAY_MS}}},
        "topics.inbox.appends",
        "cleanup delete and retention_ms -1, for records that were not processed",
        f"delete and {DAY_MS}",
    ),
    "age empties a topic that its reader trims": (
        {"topics": {"thread.messages": {"retention_ms": DAY_MS}}},
        "topics.thread.messages",
        "cleanup delete and retention_ms -1 beside kept_ms",
        f"delete and {DAY_MS}",
    ),
    "two rules for deleting": (
        {"topics": {"thread.messages": {"trimmed": True}}},
        "topics.thread.messages.trimmed",
        "false beside kept_ms: one rule for deleting",
        "true",
    ),
    "a topic that nobody would trim": (
        {"topics": {"inbox.updates": {"retention_ms": -1, "kept_ms": DAY_MS}}},
        "topics.inbox.updates.kept_ms",
        "the app store as the only one that reads it",
        "none",
    ),
    "an internal topic that age empties": (
        {"topics": {"inbox.appends": {"retention_ms": DAY_MS, "trimmed": False}}},
        "topics.inbox.appends.trimmed",
        "true: age alone must not empty an internal topic",
        "false",
    ),
    "a retention of nothing": (
        {"topics": {"ingest.results": {"retention_ms": 0}}},
        "topics.ingest.results.retention_ms",
        "-1 (for ever) or more than 0",
        "0",
    ),
    "a compacted topic with an age": (
        {"topics": {"shard.state": {"retention_ms": DAY_MS}}},
        "topics.shard.state.retention_ms",
        "-1 for a compacted topic",
        f"{DAY_MS}",
    ),
    "a compacted topic without a life of tombstones": (
        {"topics": {"shard.state": {"delete_retention_ms": None}}},
        "topics.shard.state.delete_retention_ms",
        "a value on compacted topics and only there",
        "None on cleanup compact",
    ),
    "state that is not compacted": (
        {"topics": {"shard.state": {"cleanup": "delete", "delete_retention_ms": None}}},
        "topics.shard.state.cleanup",
        "compact: it is the changelog of tables",
        "delete",
    ),
    "a clock that a client sets": (
        {"topics": {"ingest.requests": {"timestamps": "create"}}},
        "topics.ingest.requests.timestamps",
        "append, because it moves the shard clock",
        "create",
    ),
    "a clock that stands still": (
        {"topics": {"ingest.requests": {"clock": False}, "endpoint.commands": {"clock": False}}},
        "topics",
        "a topic with clock: true",
        "none: time would stand still",
    ),
    "dead letters without their role": (
        {"topics": {"dead.letters": {"role": "queue"}}},
        "topics.dead.letters.role",
        "dead_letters",
        "queue",
    ),
    "a ledger that forgets too soon": (
        {"topics": {"shard.ledger": {"retention_ms": 90299999}}},
        "topics.shard.ledger.retention_ms",
        "at least 90300000 (threshold_ms + clock_ahead_ms + ledger_bucket_ms)",
        "90299999",
    ),
    "a compacted ledger": (
        {"topics": {"shard.ledger": {"cleanup": "compact", "retention_ms": -1, "delete_retention_ms": 1}}},
        "topics.shard.ledger",
        "cleanup delete by append time",
        "compact by append",
    ),
    "dead letters that hold no whole record": (
        {"topics": {"inbox.updates": {"record_bytes_max": 2097152}}},
        "topics.dead.letters.record_bytes_max",
        "at least 2162688, a whole record of inbox.updates",
        "2097152",
    ),
    "a topic that takes less than a stage may write": (
        {"topics": {"inbox.appends": {"record_bytes_max": 1_048_575}}},
        "topics.inbox.appends.record_bytes_max",
        "at least 1048576, what a stage may write",
        "1048575",
    ),
    "a route to nowhere": (
        {"routes": {"desktop": "delivery.desktop"}},
        "routes.desktop",
        "a topic that stands under topics",
        "delivery.desktop",
    ),
    "a route to a topic of another kind": (
        {"routes": {"desktop": "inbox.updates"}},
        "routes.desktop",
        "a topic with role delivery and key endpoint",
        "queue, account",
    ),
    "two routes to one topic": (
        {"routes": {"desktop": "delivery.web"}},
        "routes",
        "one route for delivery.web",
        "2",
    ),
    "a record without a schema": (
        {"topics": {"ingest.results": {"schema": ["SendResult", "Receipt"]}}},
        "topics.ingest.results.schema",
        "records that stand in schemas/",
        "Receipt",
    ),
    "a topic without records": (
        {"topics": {"ingest.results": {"schema": []}}},
        "topics.ingest.results.schema",
        "at least one record for the role answers",
        "none",
    ),
    "a state topic with records": (
        {"topics": {"shard.state": {"schema": ["SendResult"]}}},
        "topics.shard.state.schema",
        "no records for the role state",
        "SendResult",
    ),
    "an id for no record": (
        {"registry_ids": {"Receipt": 1}},
        "registry_ids.Receipt",
        "a record that stands in schemas/",
        "Receipt",
    ),
    "one id for two records": (
        {"registry_ids": {"SendRequest": 1, "SendResult": 1}},
        "registry_ids",
        "one record for the id 1",
        "2",
    ),
    "registry framing without an id": (
        {"framing": "registry", "registry_ids": {"SendRequest": 1}},
        "registry_ids.SendResult",
        "an id, because framing is registry",
        "nothing",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_at_its_place(mistake: str) -> None:
    overrides, path, expected, got = MISTAKES[mistake]
    assert f"{path}: expected {expected}, got {got}" in problems_of(**overrides)


@pytest.mark.parametrize("horizon_ms", [DAY_MS, DAY_MS + 1])
def test_a_retry_horizon_not_below_the_threshold_is_refused_with_both_numbers(
    horizon_ms: int,
) -> None:
    """D16."""
    assert problems_of(timestamps={"client_retry_horizon_ms": horizon_ms}) == [
        f"timestamps.client_retry_horizon_ms: expected less than threshold_ms {DAY_MS}, got {horizon_ms}"
    ]
