"""Progress rows are read as the format says, and nothing else is."""

from __future__ import annotations

import struct

import pytest

from streams.adapters.memory import MemoryRecord
from streams.errors import Undecodable
from streams.verify.progress import Progress, ProgressBook

KEY = b"\x02ingest.requests"


def record(value: bytes | None, key: bytes | None = KEY) -> MemoryRecord:
    return MemoryRecord("shard.state", key, value, partition=3)


def row(next_offset: int, cursor: bytes = b"", version: int = 1) -> bytes:
    return struct.pack(">BQ", version, next_offset) + cursor


def test_the_last_row_of_an_input_counts() -> None:
    book = ProgressBook()
    for value in (row(5), row(9, b"half")):
        book.apply(record(value))
    assert book.of("ingest.requests", 3) == Progress(9, is_half_done=True)
    assert book.of("ingest.requests", 2) is None
    book.apply(record(None))
    assert book.of("ingest.requests", 3) is None


@pytest.mark.parametrize("key", [None, b"", b"\x01claim", b"\x03clock"])
def test_rows_of_other_tables_are_passed_over(key: bytes | None) -> None:
    book = ProgressBook()
    book.apply(record(b"whatever", key))
    assert book.of("ingest.requests", 3) is None


@pytest.mark.parametrize("value", [b"", b"\x01short", row(5, version=2)])
def test_a_row_of_another_version_is_refused_with_its_place(value: bytes) -> None:
    with pytest.raises(Undecodable, match=r"shard\.state 3@0"):
        ProgressBook().apply(record(value))
