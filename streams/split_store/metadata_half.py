"""The first half: what a thread admitted becomes metadata rows, in the order of the queue.

For each batch, until it succeeds: refused records become dead letters, then rows and pointer are
committed together. Only when the store has said so is the batch handed on to the bodies (W1). A kill
before the commit leaves nothing; a kill after it leaves a pointer that is ahead of the bodies', which is
where a restart begins (W5). Tested in tests/split_store/test_stage.py.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from streams import faults
from streams.limits import STORE_BATCH_BYTES, STORE_BATCH_RECORDS, STORE_WAITING_BYTES, STORE_WAITING_RECORDS
from streams.split_store.admission import Refused, operations_of
from streams.split_store.rules import changed_keys, metadata_rows

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable

    from streams.ports import Record
    from streams.split_store.admission import Admission, Entry
    from streams.split_store.retry import Retry
    from streams.store_ports import DeadLetters, MetadataStore


class MetadataHalf:
    """Metadata of one partition; `pointer` is the offset below which all of it is stored, as observed."""

    def __init__(
        self,
        partition: int,
        *,
        store: MetadataStore,
        admission: Admission,
        dead_letters: DeadLetters,
        retry: Retry,
        pointer: int,
        counters: Counter[str],
    ) -> None:
        self.partition = partition
        self.pointer = pointer
        self.retry = retry
        self._store = store
        self._admission = admission
        self._dead_letters = dead_letters
        self._waiting: deque[Record] = deque()
        self._waiting_bytes = 0
        self._arrived = asyncio.Event()
        self._last_dead_offset = -1
        self._counters = counters

    def take(self, records: Iterable[Record]) -> None:
        """Queue records, in the order of their offsets; never refuses (`has_room` says when to stop)."""
        for record in records:
            self._waiting.append(record)
            self._waiting_bytes += _weight(record)
        self._arrived.set()

    @property
    def has_room(self) -> bool:
        """Whether fetching may go on."""
        return len(self._waiting) < STORE_WAITING_RECORDS and self._waiting_bytes < STORE_WAITING_BYTES

    async def run(self, hand_on: Callable[[list[Entry], int], None]) -> None:
        """Store batches for ever; each is handed on, with its end, once its success was observed."""
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            records = self._next_batch()
            entries = [self._admission.look_at(record) for record in records]
            end = records[-1].offset + 1
            await self.retry.until_done(partial(self._commit, entries, end))
            self.pointer = max(self.pointer, end)
            for record in records:
                self._waiting_bytes -= _weight(record)
                self._waiting.popleft()
            hand_on(entries, end)

    def _next_batch(self) -> list[Record]:
        records: list[Record] = []
        weight = 0
        for record in self._waiting:
            weight += _weight(record)
            if records and (len(records) == STORE_BATCH_RECORDS or weight > STORE_BATCH_BYTES):
                break
            records.append(record)
        return records

    async def _commit(self, entries: list[Entry], end: int) -> None:
        """Below the pointer there is nothing to do: such records came again for the sake of their bodies."""
        fresh = [entry for entry in entries if entry.record.offset >= self.pointer]
        if not fresh:
            return
        for entry in fresh:
            if isinstance(entry.verdict, Refused) and entry.record.offset > self._last_dead_offset:
                await self._dead_letters(entry.record, entry.verdict.code, entry.verdict.detail)
                self._last_dead_offset = entry.record.offset
                self._counters["dead_letters"] += 1
        operations = operations_of(fresh)
        keys = changed_keys(operations)
        existing = await self._store.get(keys) if keys else {}
        rows = metadata_rows(operations, existing)
        faults.point("split_store.before_metadata")
        await self._store.commit(self.partition, rows, end)
        faults.point("split_store.after_metadata")
        self._counters["rows"] += len(rows)


def _weight(record: Record) -> int:
    return len(record.value or b"")
