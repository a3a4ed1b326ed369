"""The records that are in the metadata store and not yet in the body store, as many as memory may hold.

Covers an unbroken run of the queue, from `start` to `end`. Too much of it, and the older part is dropped:
`start` moves up, and the body half reads what it lacks from the queue. Tested in
tests/split_store/test_backlog.py.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from streams.limits import (
    STORE_BACKLOG_BYTES,
    STORE_BACKLOG_RECORDS,
    STORE_BATCH_BYTES,
    STORE_BATCH_RECORDS,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streams.split_store.admission import Entry


class Batch(NamedTuple):
    """Entries of a run of the queue, and where it ends."""

    entries: list[Entry]
    next_offset: int


class Backlog:
    """A window on the queue; `start` is where it begins."""

    def __init__(
        self,
        start: int,
        *,
        records_max: int = STORE_BACKLOG_RECORDS,
        bytes_max: int = STORE_BACKLOG_BYTES,
    ) -> None:
        self.start = start
        self.end = start
        self._records_max = records_max
        self._bytes_max = bytes_max
        self._entries: deque[Entry] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def add(self, entries: Sequence[Entry], end: int) -> None:
        """Take in the run of the queue that follows; the bounds hold for what was there before it."""
        weight = sum(entry.bytes for entry in entries)
        if len(self) + len(entries) > self._records_max or self._bytes + weight > self._bytes_max:
            self._entries.clear()
            self._bytes = 0
            self.start = self.end
        self._entries.extend(entries)
        self._bytes += weight
        self.end = end

    def forget_below(self, offset: int) -> None:
        """Let go of what is stored."""
        while self._entries and self._entries[0].record.offset < offset:
            self._bytes -= self._entries.popleft().bytes
        self.start = max(self.start, min(offset, self.end))

    def batch(self) -> Batch:
        """Return the oldest entries, as many as one commit takes; they stay until they are forgotten."""
        entries: list[Entry] = []
        weight = 0
        for entry in self._entries:
            weight += entry.bytes
            if entries and (len(entries) == STORE_BATCH_RECORDS or weight > STORE_BATCH_BYTES):
                return Batch(entries, entry.record.offset)
            entries.append(entry)
        return Batch(entries, self.end)
