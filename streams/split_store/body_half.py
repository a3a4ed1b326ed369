"""The second half: bodies follow metadata, not before its success was observed (W1), not in its way (W3).

Works its way from its own pointer to the end of the backlog, which holds what was handed on by the
metadata half: from memory, or, where the backlog no longer reaches back far enough, from the queue. Rows
and pointer are committed together: a kill before leaves the pointer where it was, a kill after leaves
nothing to do (W5). Tested in tests/split_store/test_stage.py.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from streams import faults
from streams.limits import STORE_BATCH_RECORDS
from streams.split_store.admission import operations_of
from streams.split_store.backlog import Backlog, Batch
from streams.split_store.rules import body_writes, changed_keys

if TYPE_CHECKING:
    from collections import Counter

    from streams.split_store.admission import Admission, Entry
    from streams.split_store.retry import Retry
    from streams.split_store.rules import Operation
    from streams.store_ports import BodyStore, QueueReader


class BodyHalf:
    """Bodies of one partition.

    `pointer` is the offset below which all are stored, None while unknown; `limit` is the metadata's, as
    observed.
    """

    def __init__(
        self,
        partition: int,
        *,
        store: BodyStore,
        queue: QueueReader,
        admission: Admission,
        retry: Retry,
        pointer: int | None,
        limit: int,
        backlog: Backlog,
        counters: Counter[str],
    ) -> None:
        self.partition = partition
        self.pointer = pointer
        self.limit = limit
        self.retry = retry
        self._store = store
        self._queue = queue
        self._admission = admission
        self._backlog = backlog
        self._counters = counters
        self._batch: Batch | None = None
        self._moved = asyncio.Event()
        retry.on_failure = self._moved.set  # whoever waits for bodies looks again at how it goes

    def follow(self, entries: list[Entry], end: int) -> None:
        """The metadata of these entries is stored: their bodies may be."""
        self._backlog.add(entries, end)
        self._backlog.forget_below(self.pointer or 0)
        self.limit = max(self.limit, end)
        self._moved.set()

    async def run(self) -> None:
        """Follow for ever."""
        if self.pointer is None:
            self.pointer = await self.retry.until_done(self._find_pointer)
        while True:
            while self.pointer >= self._backlog.end:
                await self._move()
            self.pointer = await self.retry.until_done(self._store_next)
            self._backlog.forget_below(self.pointer)
            self._moved.set()

    async def catch_up(self, pointer: int) -> None:
        """Return once bodies reach `pointer`, or an attempt to get there has failed."""
        failed_before = self.retry.attempts_failed
        while self.pointer is None or self.pointer < pointer:
            self.retry.nudge()
            if self.retry.attempts_failed > failed_before:
                return
            await self._move()

    async def operations_ahead(self, thread_id: str) -> list[Operation]:
        """A thread's operations that the store lacks, as far as one batch from the queue reaches.

        Raises BrokerUnavailable and TrimmedBelowProgress as the queue does.
        """
        entries: list[Entry] = []
        if self.pointer is not None and self.pointer < self._backlog.start:
            entries = (await self._from_queue(self.pointer, self._backlog.start)).entries
        entries.extend(self._backlog)
        if self._backlog.end < self.limit:
            entries.extend((await self._from_queue(self._backlog.end, self.limit)).entries)
        return [one for one in operations_of(entries) if one.row.thread_id == thread_id]

    async def _move(self) -> None:
        self._moved.clear()
        await self._moved.wait()

    async def _find_pointer(self) -> int:
        return await self._store.pointer(self.partition) or 0

    async def _store_next(self) -> int:
        batch = self._batch or await self._next()
        self._batch = batch
        operations = operations_of(batch.entries)
        keys = changed_keys(operations)
        existing = await self._store.get(keys) if keys else {}
        bodies = body_writes(operations, existing)
        faults.point("split_store.before_body")
        await self._store.commit(self.partition, bodies, batch.next_offset)
        faults.point("split_store.after_body")
        self._counters["bodies"] += len(bodies)
        self._batch = None
        return batch.next_offset

    async def _next(self) -> Batch:
        assert self.pointer is not None
        if self.pointer < self._backlog.start:
            return await self._from_queue(self.pointer, self._backlog.start)
        return self._backlog.batch()

    async def _from_queue(self, first: int, before: int) -> Batch:
        piece = await self._queue.read(self.partition, first, before, STORE_BATCH_RECORDS)
        return Batch([self._admission.look_at(record) for record in piece.records], piece.next_offset)
