"""A shard's inputs, progress and clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.adapters.memory import MemoryRecord
from streams.codec import Codec
from streams.engine.shard import Shard, ShardSettings, parse_progress, progress_key
from streams.engine.store import Memory, Store
from streams.errors import RecordError, TrimmedBelowProgress
from streams.ports import DONE, Record

TOPIC = "ingest.requests"
HOLD_MS = 300_000
MEMORY = Memory.of(8 << 20)


class Noting:
    """A stage that notes what it was given; a value of b"N" takes N steps."""

    name = "ingest"
    topics: tuple[str, ...] = (TOPIC,)

    def __init__(self) -> None:
        self.seen: list[tuple[int, bytes]] = []

    def process(self, record: Record, cursor: bytes) -> bytes:
        self.seen.append((record.offset, cursor))
        steps = int(record.value or b"1")
        step = int(cursor or b"0") + 1
        return DONE if step == steps else b"%d" % step


def new_shard(folder: Path) -> tuple[Shard, Noting]:
    settings = ShardSettings(
        shards=1,
        clock_topics=frozenset({TOPIC}),
        dead_letters=Codec()["DeadLetter"],
        dead_letters_topic="dead.letters",
        expiry_hold_ms=HOLD_MS,
        input_records_max=3,
        input_bytes_max=100,
    )
    shard = Shard(0, Store(folder, MEMORY), settings)
    stage = Noting()
    shard.add_stage(stage)
    return shard, stage


def record(offset: int, value: bytes = b"1", timestamp: int = 1_000) -> MemoryRecord:
    return MemoryRecord(topic=TOPIC, key=b"k", value=value, offset=offset, timestamp=timestamp)


def commit(shard: Shard) -> None:
    shard.seal({})
    shard.committed({})


def test_what_was_fetched_twice_is_taken_once_and_a_hole_is_refused(tmp_path: Path) -> None:
    """The host framework may drop or repeat batches in a rebalance: neither is let in."""
    shard, stage = new_shard(tmp_path)
    assert shard.take(TOPIC, 0, [record(0), record(1)])
    assert shard.take(TOPIC, 0, [record(0), record(1), record(2)])
    assert not shard.take(TOPIC, 5, [record(5)]), "offsets 3 and 4 were never seen"
    assert shard.take(TOPIC, 3, [record(5)]), "3 and 4 are control records: the fetch began at 3"
    shard.run(100, lambda: False)
    assert [offset for offset, _ in stage.seen] == [0, 1, 2, 5]


def test_an_input_has_room_until_it_holds_its_bound_of_records_or_bytes(tmp_path: Path) -> None:
    """Memory is bounded by records and by bytes."""
    shard, _ = new_shard(tmp_path)
    assert shard.has_room(TOPIC)
    shard.take(TOPIC, 0, [record(0), record(1), record(2)])
    assert not shard.has_room(TOPIC)
    shard.run(100, lambda: False)
    assert shard.has_room(TOPIC)
    shard.take(TOPIC, 3, [record(3, b"0" * 99 + b"1")])
    assert not shard.has_room(TOPIC)


def test_progress_and_a_half_done_record_are_found_again_at_opening(tmp_path: Path) -> None:
    """Progress is (next offset, cursor inside that record); Q15's resumption stands on it."""
    shard, stage = new_shard(tmp_path)
    shard.take(TOPIC, 0, [record(0), record(1, b"3")])
    shard.run(2, lambda: False)
    commit(shard)
    row = shard.store.get(progress_key(TOPIC))
    assert row is not None
    assert parse_progress(row) == (1, b"1")
    assert stage.seen == [(0, b""), (1, b"")]
    shard.store.close()

    again, stage = new_shard(tmp_path)
    assert again.inputs[TOPIC].fetched_to == 1
    again.take(TOPIC, 1, [record(1, b"3"), record(2)])
    while again.has_work:
        again.run(100, lambda: False)
    commit(again)
    assert stage.seen == [(1, b"1"), (1, b"2"), (2, b"")]
    again.store.close()


def test_progress_below_the_logs_start_is_a_named_stop(tmp_path: Path) -> None:
    """A new input begins at the log's start; one with progress below it stops, never skips."""
    shard, _ = new_shard(tmp_path)
    shard.inputs[TOPIC].begin_at(7)
    assert shard.inputs[TOPIC].fetched_to == 7
    shard.take(TOPIC, 7, [record(7)])
    shard.run(100, lambda: False)
    commit(shard)
    shard.store.close()
    again, _ = new_shard(tmp_path)
    again.inputs[TOPIC].begin_at(8)
    with pytest.raises(TrimmedBelowProgress, match="2 records"):
        again.inputs[TOPIC].begin_at(10)
    again.store.close()


OLD, NEW = "0" * 31 + "1", "0" * 31 + "2"


@pytest.mark.parametrize(
    ("topic_id", "log_end", "lost"),
    [(OLD, 2, None), (OLD, 50, None), (NEW, 50, 2), (NEW, 0, 2), (OLD, 1, 2)],
    ids=["the same", "the same, grown", "another", "another, empty", "its end below the progress"],
)
def test_an_input_whose_topic_was_made_anew_begins_at_its_start(
    tmp_path: Path, topic_id: str, log_end: int, lost: int | None
) -> None:
    """Progress counts in one topic: in another of the same name it would pass over records without a word."""
    shard, _ = new_shard(tmp_path)
    assert shard.begin_input(TOPIC, 0, 0, OLD) is None
    assert not shard.has_work
    shard.take(TOPIC, 0, [record(0), record(1)])
    shard.run(100, lambda: False)
    commit(shard)
    shard.store.close()
    again, _ = new_shard(tmp_path)
    assert again.begin_input(TOPIC, 0, log_end, topic_id) == lost
    assert again.inputs[TOPIC].fetched_to == (2 if lost is None else 0)
    assert again.has_unit is (lost is not None), (
        "that it begins anew is committed without waiting for a record"
    )
    commit(again)
    assert not again.has_work
    again.store.close()
    third, _ = new_shard(tmp_path)
    assert third.begin_input(TOPIC, 0, max(log_end, 0), topic_id) is None
    third.store.close()


def test_the_clock_is_the_greatest_append_time_and_survives_a_restart(tmp_path: Path) -> None:
    """Time never runs back (D20), not over a restart either."""
    shard, _ = new_shard(tmp_path)
    shard.take(TOPIC, 0, [record(0, timestamp=5_000), record(1, timestamp=4_000)])
    shard.run(100, lambda: False)
    assert shard.now_ms == 5_000
    commit(shard)
    shard.store.close()
    again, _ = new_shard(tmp_path)
    assert again.now_ms == 5_000
    again.store.close()


def test_a_jump_of_the_clock_holds_expiry_until_time_moves_on_in_small_steps(tmp_path: Path) -> None:
    """D20: hours ahead and back: expiry is held, an alarm is counted, and it ends by itself."""
    shard, _ = new_shard(tmp_path)
    begin_ms, jump_ms = 1_000_000, 36_000_000

    def at(offset: int, timestamp: int) -> None:
        shard.take(TOPIC, offset, [record(offset, timestamp=timestamp)])
        shard.run(100, lambda: False)

    def is_held() -> bool:
        return shard.is_expiry_held

    at(0, begin_ms)
    assert not is_held()
    at(1, begin_ms + jump_ms)
    assert is_held()
    at(2, begin_ms + 10)
    assert shard.now_ms == begin_ms + jump_ms
    assert is_held()
    shard.seal({})
    assert "engine.clock_jumps" in shard.committed({})
    shard.store.close()
    shard, _ = new_shard(tmp_path)
    assert is_held(), "the hold survives a restart"
    at(3, begin_ms + jump_ms + HOLD_MS - 1)
    assert is_held()
    at(4, begin_ms + jump_ms + HOLD_MS)
    assert not is_held()
    shard.store.close()


def test_the_bytes_of_a_unit_are_those_of_what_it_sends(tmp_path: Path) -> None:
    """What a failing record had sent is taken back; its dead letter counts; a sealed unit leaves room for the next."""

    class Sending(Noting):
        def process(self, record: Record, cursor: bytes) -> bytes:  # noqa: ARG002  # one step is all
            shard.emit("out", b"key", b"x" * 1_000, 0)
            if record.value == b"bad":
                raise RecordError("this one cannot be processed")
            return DONE

    shard, _ = new_shard(tmp_path)
    shard.add_stage(Sending())
    shard.take(TOPIC, 0, [record(0), record(1, b"bad"), record(2)])
    assert shard.run(100, lambda: False, 1_000) == 1
    assert shard.unit_bytes == 1_003
    shard.run(100, lambda: False)
    sent = [len(key) + len(value or b"") for topic, _, key, value in shard.outputs if topic == "out"]
    letters = [len(value or b"") for topic, _, _, value in shard.outputs if topic == "dead.letters"]
    assert (sent, len(letters)) == ([1_003, 1_003], 1)
    assert shard.unit_bytes == sum(sent) + sum(letters)
    commit(shard)
    assert shard.unit_bytes == 0
    shard.store.close()
