"""The window between the two halves (streams/split_store/backlog.py)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.adapters.memory import MemoryRecord
from streams.limits import STORE_BATCH_BYTES, STORE_BATCH_RECORDS
from streams.split_store.admission import Entry, Refused
from streams.split_store.backlog import Backlog


def entries(first: int, count: int, size: int = 1) -> list[Entry]:
    return [
        Entry(MemoryRecord("t", None, b"x" * size, 0, offset), Refused("", ""))
        for offset in range(first, first + count)
    ]


def test_a_full_backlog_drops_the_older_part_and_says_where_it_begins() -> None:
    """W3: a body store that is down costs bounded memory; what is dropped is read from the queue later."""
    backlog = Backlog(0, records_max=10, bytes_max=1_000)
    backlog.add(entries(0, 6), 6)
    backlog.add(entries(6, 4), 10)
    assert (len(backlog), backlog.start, backlog.end) == (10, 0, 10)
    backlog.add(entries(10, 1), 11)
    assert (len(backlog), backlog.start, backlog.end) == (1, 10, 11)
    backlog.add(entries(11, 1, size=1_000), 12)
    assert (len(backlog), backlog.start, backlog.end) == (1, 11, 12)


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 40), st.integers(0, 30)), max_size=30))
def test_the_backlog_is_an_unbroken_run_within_its_bounds(moves: list[tuple[int, int, int]]) -> None:
    """Whatever is added and forgotten: nothing is missing between start and end, nothing above the bounds."""
    backlog = Backlog(0, records_max=12, bytes_max=200)
    for count, size, forgotten in moves:
        backlog.add(entries(backlog.end, count, size), backlog.end + count)
        backlog.forget_below(forgotten)
        assert [entry.record.offset for entry in backlog] == list(range(backlog.start, backlog.end))
        assert len(backlog) <= 12
        assert sum(entry.bytes for entry in backlog) <= 200


def test_a_batch_ends_where_the_next_begins() -> None:
    """Bounded in records and in bytes, never empty while there is something, and told with its end."""
    backlog = Backlog(0)
    backlog.add(entries(0, STORE_BATCH_RECORDS + 1), STORE_BATCH_RECORDS + 5)
    first = backlog.batch()
    assert (len(first.entries), first.next_offset) == (STORE_BATCH_RECORDS, STORE_BATCH_RECORDS)
    backlog.forget_below(STORE_BATCH_RECORDS)
    second = backlog.batch()
    assert (len(second.entries), second.next_offset) == (1, STORE_BATCH_RECORDS + 5)
    heavy = Backlog(0)
    heavy.add(entries(0, 2, size=STORE_BATCH_BYTES + 1), 2)
    assert heavy.batch().next_offset == 1
