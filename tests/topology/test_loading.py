"""topology.yaml is read whole or refused with every problem (streams/topology/loading.py)."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from streams.codec import RESOURCES
from streams.errors import TopologyError
from streams.topology import load_topology

ROLES = "'ingest', 'answers', 'internal', 'queue', 'delivery', 'state' or 'dead_letters'"


def problems_of(**overrides: Any) -> list[str]:
    with pytest.raises(TopologyError) as raised:
        load_topology(**overrides)
    assert raised.value.code == "TOPOLOGY"
    return [line.strip() for line in str(raised.value).splitlines()[1:]]


def test_the_topology_that_comes_along_holds_together() -> None:
    topology = load_topology()
    assert topology.apps == ("pipeline", "store")
    assert topology.default_route == "mobile"
    assert topology.clock_topics == ("ingest.requests", "endpoint.commands")
    assert topology.trimmed_topics == ("ingest.refusals", "thread.operations", "inbox.appends")
    assert topology.outputs_of("delivery") == ("delivery.mobile", "delivery.web")
    assert topology.inputs_of("store") == ("thread.messages",)
    assert topology.topic_of("SendRequest") == "ingest.requests"


def test_the_published_topics_have_their_published_keys_and_records() -> None:
    """Outside tools rely on these names (design/records.md)."""
    topics = load_topology().topics
    assert {name: (topics[name].key, topics[name].schema) for name in PUBLISHED} == PUBLISHED


PUBLISHED = {
    "ingest.requests": ("account", ("SendRequest",)),
    "ingest.results": ("account", ("SendResult",)),
    "thread.messages": ("thread", ("ThreadMessage",)),
    "inbox.updates": ("account", ("InboxUpdate",)),
    "endpoint.commands": ("account", ("EndpointCommand",)),
    "replay.updates": ("endpoint", ("CommandResult", "UpdateBatch", "WakeUp")),
    "delivery.mobile": ("endpoint", ("EndpointUpdate",)),
    "delivery.web": ("endpoint", ("EndpointUpdate",)),
    "dead.letters": ("original", ("DeadLetter",)),
}


def test_every_problem_is_named_with_path_expected_and_got() -> None:
    found = problems_of(
        shards="many",
        colour="red",
        timestamps={"threshold_ms": 0},
        topics={"ingest.requests": {"role": "guest", "clock": "yes"}, "a b": {"role": "queue"}},
        stages={"ingest": {"reads": "ingest.requests", "speed": 3}},
    )
    assert sorted(found) == sorted(
        [
            "shards: expected a whole number, got 'many'",
            "colour: expected no such key, got 'red'",
            "timestamps.threshold_ms: expected at least 1, got 0",
            f"topics.ingest.requests.role: expected {ROLES}, got 'guest'",
            "topics.ingest.requests.clock: expected true or false, got 'yes'",
            "topics.a b: expected a name like ^[a-zA-Z0-9._-]{1,249}$, got 'a b'",
            "topics.a b.key: expected a value, got nothing",
            "topics.a b.cleanup: expected a value, got nothing",
            "topics.a b.retention_ms: expected a value, got nothing",
            "stages.ingest.reads: expected a list, got 'ingest.requests'",
            "stages.ingest.speed: expected no such key, got 3",
        ]
    )


def test_an_override_is_merged_and_then_checked() -> None:
    topology = load_topology(shards=3, timestamps={"threshold_ms": 50_000_000})
    assert topology.shards == 3
    assert topology.timestamps.threshold_ms == 50_000_000
    assert topology.timestamps.clock_ahead_ms == 300_000


def test_a_topology_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        load_topology().shards = 5  # type: ignore[misc]  # the point of the test


def test_other_shards_make_another_topology_and_nonsense_is_refused() -> None:
    topology = load_topology()
    assert topology.with_shards(5).shards == 5
    assert topology.shards == 12
    with pytest.raises(TopologyError, match="shards: expected 1 to 1024, got 0"):
        topology.with_shards(0)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("shards: 1\nshards: 2\n", "'shards' stands twice"),
        ("[1, 2]", r"expected a mapping, got \[1, 2\]"),
        ("shards: [", "cannot be read"),
        ("shards: !!python/object/apply:os.getcwd []", "cannot be read"),
    ],
)
def test_a_file_that_is_no_topology_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "topology.yaml"
    path.write_text(text)
    with pytest.raises(TopologyError, match=complaint):
        load_topology(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match=r"nowhere\.yaml cannot be read"):
        load_topology(tmp_path / "nowhere.yaml")


def test_a_copy_of_the_file_gives_an_equal_topology(tmp_path: Path) -> None:
    path = tmp_path / "topology.yaml"
    path.write_text((RESOURCES / "topology.yaml").read_text())
    assert load_topology(path) == load_topology()
