"""What a worker notes of its units (streams/observe/units.py)."""

from __future__ import annotations

from typing import Any

from streams.adapters.memory import MemoryRecord
from streams.codec import Codec
from streams.errors import Undecodable
from streams.observe.units import DEAD_LETTERS_KEPT, Phases, Served, Units
from streams.ports import Record

APPENDS, DEAD = "inbox.appends", "dead.letters"
NOW_S = 1_000.0
PHASES = Phases(0.010, 0.030, 0.002)


def new_units() -> Units:
    codec = Codec()

    def born_at(record: Record) -> int:
        if record.value is None:
            raise Undecodable("no value")
        return record.timestamp

    return Units(
        (APPENDS, "ingest.requests"),
        {APPENDS: born_at},
        dead_letters_topic=DEAD,
        read_dead_letter=lambda value: codec.decode_as("DeadLetter", value),
        now_s=lambda: NOW_S,
    )


def record(timestamp: int, value: bytes | None = b"1") -> MemoryRecord:
    return MemoryRecord(topic=APPENDS, key=b"k", value=value, offset=1, timestamp=timestamp)


def dead_letter(**fields: Any) -> tuple[str, int, bytes, bytes]:
    given = {
        "topic": "ingest.requests",
        "partition": 2,
        "offset": 7,
        "key": b"k",
        "value": b"v",
        "headers": [],
        "code": "UNDECODABLE",
        "detail": "why",
        "at_ms": 5,
    }
    return DEAD, 0, b"k", Codec()["DeadLetter"].encode({**given, **fields})


def test_a_unit_counts_its_records_by_topic_on_both_sides() -> None:
    """Records in are what its shards finished, records out what its transaction wrote."""
    units = new_units()
    served = [Served(APPENDS, 3, record(0), record(0)), Served(APPENDS, 2, record(0), record(0))]
    units.done(served, [("inbox.updates", 0, b"", b""), ("shard.state", 0, b"", None)], PHASES)
    assert units.records_in == {APPENDS: 5, "ingest.requests": 0}
    assert units.records_out == {"inbox.updates": 1, "shard.state": 1}
    assert (units.sizes.count, units.sizes.total) == (1, 5)
    assert {phase: one.total for phase, one in units.seconds.items()} == PHASES._asdict()


def test_latency_is_measured_from_the_request_to_the_commit() -> None:
    """Time of the local batch is after the commit and does not count; the updates lie between both ends."""
    units = new_units()
    committed_at_ms = int((NOW_S - PHASES.local) * 1_000)
    oldest, newest = record(committed_at_ms - 200), record(committed_at_ms - 100)
    units.done([Served(APPENDS, 10, oldest, newest)], [], PHASES)
    assert units.latency.count == 10
    assert round(units.latency.total, 6) == 1.5


def test_a_clock_that_is_ahead_makes_no_latency_below_zero() -> None:
    """A request from the future by the worker's clock counts as 0."""
    units = new_units()
    units.done([Served(APPENDS, 1, record(10**9), record(10**9))], [], PHASES)
    assert (units.latency.count, units.latency.total) == (1, 0)


def test_a_record_that_says_nothing_of_its_request_is_left_out() -> None:
    """A dead letter at an end of the unit does no harm to the rest."""
    units = new_units()
    units.done([Served(APPENDS, 2, record(0, None), record(0))], [], PHASES)
    assert units.latency.count == 0
    assert units.records_in[APPENDS] == 2


def test_the_newest_dead_letters_are_remembered_and_no_more() -> None:
    """Twenty, the newest last, with where they lay and why; their detail is cut."""
    units = new_units()
    letters = [dead_letter(offset=number, detail="x" * 900) for number in range(DEAD_LETTERS_KEPT + 5)]
    units.done([], [*letters, ("inbox.updates", 0, b"", b"")], PHASES)
    kept = list(units.dead_letters)
    assert [one["offset"] for one in kept] == list(range(5, DEAD_LETTERS_KEPT + 5))
    assert (kept[-1]["code"], kept[-1]["topic"], kept[-1]["partition"]) == (
        "UNDECODABLE",
        "ingest.requests",
        2,
    )
    assert len(kept[-1]["detail"]) == 300
