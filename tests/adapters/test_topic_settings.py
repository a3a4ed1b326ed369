"""What each topic asks of Kafka (streams/adapters/topic_settings.py)."""

from __future__ import annotations

from streams.adapters.topic_settings import topic_settings
from streams.limits import RECORD_BYTES_MAX
from streams.topology import load_topology


def test_age_and_size_never_empty_a_topic_that_is_trimmed_by_progress() -> None:
    topology = load_topology()
    for name in topology.trimmed_topics:
        settings = topic_settings(topology, topology.topics[name])
        assert (settings["retention.ms"], settings["retention.bytes"]) == ("-1", "-1"), name


def test_what_its_reader_trims_is_emptied_by_nothing_else() -> None:
    """W9: an entry of the queue is kept until its body is durable, however old it is."""
    topology = load_topology()
    topic = topology.topics["thread.messages"]
    assert topic.kept_ms == 30 * 86_400_000
    settings = topic_settings(topology, topic)
    assert (settings["retention.ms"], settings["retention.bytes"]) == ("-1", "-1")
    assert int(settings["segment.bytes"]) < 1 << 30


def test_the_broker_stamps_every_record_of_a_clock_topic() -> None:
    """Ages are told by the append time, never by a client's clock."""
    topology = load_topology()
    for name in topology.clock_topics:
        assert topic_settings(topology, topology.topics[name])["message.timestamp.type"] == "LogAppendTime"


def test_dead_letters_take_more_than_any_other_topic() -> None:
    topology = load_topology()
    sizes = {
        name: int(topic_settings(topology, one)["max.message.bytes"]) for name, one in topology.topics.items()
    }
    dead = sizes.pop("dead.letters")
    assert dead > max(sizes.values()) == RECORD_BYTES_MAX


def test_the_state_topic_is_compacted_and_keeps_tombstones_for_a_day() -> None:
    topology = load_topology()
    settings = topic_settings(topology, topology.topics["shard.state"])
    assert settings["cleanup.policy"] == "compact"
    assert settings["delete.retention.ms"] == "86400000"


def test_the_ledger_is_cut_into_segments_of_one_bucket() -> None:
    """A token is forgotten soon after its window; Kafka frees whole segments only."""
    topology = load_topology()
    settings = topic_settings(topology, topology.topics["shard.ledger"])
    assert settings["cleanup.policy"] == "delete"
    assert int(settings["segment.ms"]) == topology.timestamps.ledger_bucket_ms


def test_three_copies_wait_for_two_disks() -> None:
    single, triple = load_topology(replication=1), load_topology(replication=3)
    name = "ingest.requests"
    assert topic_settings(single, single.topics[name])["min.insync.replicas"] == "1"
    assert topic_settings(triple, triple.topics[name])["min.insync.replicas"] == "2"
