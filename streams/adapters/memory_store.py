"""The split store's two stores and its queue in memory, for tests, with faults on order.

They pass the same contract suite as the embedded ones (tests/contract/test_store_contract.py). What they
hold lies in a `contents` object that outlives them, as a disk outlives a process. Nothing survives the
interpreter.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar

from streams.errors import BrokerUnavailable, TrimmedBelowProgress
from streams.limits import RECORD_BYTES_MAX
from streams.store_ports import (
    Body,
    MessageKey,
    MetadataRow,
    QueueSlice,
    QueueSpan,
    StoreTimedOut,
    StoreUnavailable,
    ThreadRows,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.ports import Record

RowType = TypeVar("RowType", MetadataRow, Body)


class Outcome(StrEnum):
    """How a commit ends."""

    DONE = "done"
    DOWN = "down"
    LOST = "timed out, not applied"
    APPLIED = "timed out, applied"
    LATE = "timed out, applied after the next commit that is done"


@dataclass
class MemoryContents(Generic[RowType]):
    """What a store holds: the newest version of each row, and pointers."""

    rows: dict[MessageKey, RowType] = field(default_factory=dict)
    pointers: dict[int, int] = field(default_factory=dict)
    queue_ids: dict[int, str] = field(default_factory=dict)

    def apply(self, partition: int, rows: Sequence[RowType], pointer: int) -> None:
        for row in rows:
            stored = self.rows.get(row.key)
            if stored is None or row.version > stored.version:
                self.rows[row.key] = row
        self.pointers[partition] = max(pointer, self.pointers.get(partition, 0))


@dataclass
class Faults:
    """What goes wrong, and when."""

    is_down: bool = False
    partitions_down: set[int] = field(default_factory=set)
    outcomes: deque[Outcome] = field(default_factory=deque)
    """How the next commits end, in order; DONE when there is none left."""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Commits wait here: cleared, the store is slow."""

    def __post_init__(self) -> None:
        self.gate.set()

    def check(self, partition: int | None = None) -> None:
        if self.is_down or partition in self.partitions_down:
            raise StoreUnavailable("the store is down, by order of a test")


class _MemoryStore(Generic[RowType]):
    def __init__(self, contents: MemoryContents[RowType] | None = None, faults: Faults | None = None) -> None:
        self.contents: MemoryContents[RowType] = contents or MemoryContents()
        self.faults = faults or Faults()
        self._late: list[tuple[int, Sequence[RowType], int]] = []

    async def pointer(self, partition: int) -> int | None:
        self.faults.check(partition)
        return self.contents.pointers.get(partition)

    async def get(self, keys: Sequence[MessageKey]) -> dict[MessageKey, RowType]:
        self.faults.check()
        rows = self.contents.rows
        return {key: rows[key] for key in keys if key in rows}

    async def commit(self, partition: int, rows: Sequence[RowType], pointer: int) -> None:
        await self.faults.gate.wait()
        self.faults.check(partition)
        outcome = self.faults.outcomes.popleft() if self.faults.outcomes else Outcome.DONE
        if outcome is Outcome.DOWN:
            raise StoreUnavailable(outcome)
        if outcome is Outcome.LATE:
            self._late.append((partition, list(rows), pointer))
        elif outcome is not Outcome.LOST:
            self.contents.apply(partition, rows, pointer)
        if outcome is not Outcome.DONE:
            raise StoreTimedOut(outcome)
        while self._late:
            self.contents.apply(*self._late.pop())


class MemoryMetadataStore(_MemoryStore[MetadataRow]):
    """The port `MetadataStore` in dictionaries."""

    def refusal(self, row: MetadataRow) -> str | None:
        size = len(row.members)
        return f"{size} bytes of members; at most {RECORD_BYTES_MAX}" if size > RECORD_BYTES_MAX else None

    async def queue_id(self, partition: int) -> str | None:
        self.faults.check(partition)
        return self.contents.queue_ids.get(partition)

    async def keep_queue_id(self, partition: int, queue_id: str) -> None:
        self.faults.check(partition)
        self.contents.queue_ids[partition] = queue_id

    async def read(self, partition: int, thread_id: str, first: int, last: int, rows_max: int) -> ThreadRows:
        self.faults.check(partition)
        rows = [
            row
            for row in self.contents.rows.values()
            if row.thread_id == thread_id and first <= row.position <= last
        ]
        rows.sort(key=lambda row: row.position)
        return ThreadRows(rows[:rows_max], self.contents.pointers.get(partition, 0))


class MemoryBodyStore(_MemoryStore[Body]):
    """The port `BodyStore` in dictionaries."""

    def refusal(self, body: Body) -> str | None:
        size = max(len(body.content), len(body.text or b""))
        return f"a body of {size} bytes; at most {RECORD_BYTES_MAX}" if size > RECORD_BYTES_MAX else None


@dataclass
class MemoryQueue:
    """The port `QueueReader` over records held in lists."""

    records: dict[int, list[Record]] = field(default_factory=dict)
    starts: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    """Where there are none, a queue is as long as a store says that it is."""
    queue_id: str = "the first"
    is_down: bool = False
    reads: int = 0

    def append(self, *records: Record) -> None:
        for record in records:
            self.records.setdefault(record.partition, []).append(record)

    async def span(self, partition: int) -> QueueSpan:
        self._check()
        return QueueSpan(self.queue_id, self.starts.get(partition, 0), self.ends.get(partition, 2**62))

    async def read(self, partition: int, first: int, before: int, records_max: int) -> QueueSlice:
        self._check()
        self.reads += 1
        if first < self.starts.get(partition, 0):
            raise TrimmedBelowProgress(f"partition {partition} starts above {first}")
        found = [record for record in self.records.get(partition, []) if first <= record.offset < before]
        if len(found) <= records_max:
            return QueueSlice(found, before)
        return QueueSlice(found[:records_max], found[records_max - 1].offset + 1)

    def _check(self) -> None:
        if self.is_down:
            raise BrokerUnavailable("the queue is down, by order of a test")
