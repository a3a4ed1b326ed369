"""The two embedded stores: metadata and bodies, each a RocksDB database of its own.

Rows and pointer of a commit lie in one WriteBatch with the write-ahead log on, so a killed process leaves
all or nothing of it. With `is_synced` (the default) the log is on the disk before a commit returns: what
it wrote outlives the machine as well, and records below both pointers may be trimmed from the queue.

A database belongs to one process: exactly one store worker. Not promised: use after `close`; a lock
against two writers of one partition. A damaged or full database raises StoreError. RocksDB takes nothing more after a
write that failed, so the next call of `pointer`, with which every opening of a partition begins, opens the database
anew: what the failed write left in memory is gone then, as after a kill.
Tested in tests/contract/test_store_contract.py and tests/adapters/test_rocks_store.py.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch

from streams.adapters.rocks_rows import (
    BODY,
    NUMBER,
    PLACE,
    body_of,
    body_value,
    body_version,
    message_key,
    number_of,
    pointer_key,
    queue_key,
    row_key,
    row_of,
    row_start,
    row_value,
    rows_of,
    size_refusal,
    thread_refusal,
)
from streams.errors import StoreError
from streams.store_ports import Body, MessageKey, MetadataRow, ThreadRows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_CACHE_BYTES = 16 << 20
_WRITE_BUFFER_BYTES = 16 << 20


class _RocksStore:
    """One database: opening, pointers, commits."""

    def __init__(self, folder: Path, *, is_synced: bool = True) -> None:
        self.folder = folder
        self._is_synced = is_synced
        self._is_broken = False
        """A write failed: what memory holds may be ahead of the disk."""
        self._flushes: set[asyncio.Future[None]] = set()
        """Under way in threads; the database must not be closed under them."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        with named_errors(folder, "opened"):
            self._database = Rdict(str(folder), _options())

    async def pointer(self, partition: int) -> int | None:
        if self._is_broken:
            await self._reopen()
        with named_errors(self.folder, "read"):
            return number_of(self._database.get(pointer_key(partition)))

    async def close(self) -> None:
        """Flush and close; further calls raise StoreError."""
        await self._flushed()
        with suppress(Exception):  # what could not be written was never acknowledged
            await asyncio.to_thread(self._database.close)

    async def _reopen(self) -> None:
        await self._flushed()
        if not self._is_broken:
            return  # another partition's call was first
        with suppress(Exception):  # it failed before, and may fail to say goodbye
            self._database.close()
        with named_errors(self.folder, "opened"):
            self._database = Rdict(str(self.folder), _options())
        self._is_broken = False

    async def _flushed(self) -> None:
        while self._flushes:
            await asyncio.wait(self._flushes)

    async def _write(self, batch: WriteBatch, partition: int, pointer: int) -> None:
        if self._is_broken:
            raise StoreError(f"the store {self.folder} could not be written; it is opened anew")
        with named_errors(self.folder, "written"):
            stored = number_of(self._database.get(pointer_key(partition)))
            batch.put(pointer_key(partition), NUMBER.pack(max(pointer, stored or 0)))
        await self._apply(batch)

    async def _apply(self, batch: WriteBatch) -> None:
        with named_errors(self.folder, "written"):
            try:
                self._database.write(batch)
            except Exception:
                self._is_broken = True
                raise
            if self._is_synced:
                await self._synced()

    async def _synced(self) -> None:
        """Bring the log to the disk; goes on when the caller is cancelled."""
        flush = asyncio.ensure_future(asyncio.to_thread(self._database.flush_wal, True))
        self._flushes.add(flush)
        flush.add_done_callback(self._flush_ended)
        await asyncio.shield(flush)

    def _flush_ended(self, flush: asyncio.Future[None]) -> None:
        self._flushes.discard(flush)
        if not flush.cancelled() and flush.exception() is not None:
            self._is_broken = True


class RocksMetadataStore(_RocksStore):
    """The port `MetadataStore` in a RocksDB database."""

    def refusal(self, row: MetadataRow) -> str | None:
        return thread_refusal(row.thread_id) or size_refusal(len(row.members))

    async def queue_id(self, partition: int) -> str | None:
        with named_errors(self.folder, "read"):
            found = self._database.get(queue_key(partition))
            return None if found is None else bytes(found).decode()

    async def keep_queue_id(self, partition: int, queue_id: str) -> None:
        batch = WriteBatch(raw_mode=True)
        batch.put(queue_key(partition), queue_id.encode())
        await self._apply(batch)

    async def get(self, keys: Sequence[MessageKey]) -> dict[MessageKey, MetadataRow]:
        with named_errors(self.folder, "read"):
            found = ((key, self._stored(key)) for key in keys)
            return {key: row for key, row in found if row is not None}

    async def commit(self, partition: int, rows: Sequence[MetadataRow], pointer: int) -> None:
        batch = WriteBatch(raw_mode=True)
        with named_errors(self.folder, "read"):
            for row in rows:
                self._add(batch, row)
        await self._write(batch, partition, pointer)

    async def read(self, partition: int, thread_id: str, first: int, last: int, rows_max: int) -> ThreadRows:
        # No other task runs between the first line and the last, and only this process writes: one moment.
        with named_errors(self.folder, "read"):
            pointer = number_of(self._database.get(pointer_key(partition))) or 0
            rows: list[MetadataRow] = []
            start = row_start(thread_id, max(first, 0))
            for key, value in rows_of(self._database, start[:-8], start):
                row = row_of(key, value)
                if row.position > last or len(rows) == rows_max:
                    break
                rows.append(row)
            return ThreadRows(rows, pointer)

    def _add(self, batch: WriteBatch, row: MetadataRow) -> None:
        stored = self._stored(row.key)
        if stored is not None and stored.version >= row.version:
            return
        if stored is not None and stored.position != row.position:
            batch.delete(row_key(stored))
        batch.put(row_key(row), row_value(row))
        batch.put(message_key(PLACE, row.key), NUMBER.pack(row.position))

    def _stored(self, key: MessageKey) -> MetadataRow | None:
        place = self._database.get(message_key(PLACE, key))
        if place is None:
            return None
        row_key = row_start(key.thread_id, NUMBER.unpack(place)[0]) + key.message_id
        value = self._database.get(row_key)
        return None if value is None else row_of(row_key, value)


class RocksBodyStore(_RocksStore):
    """The port `BodyStore` in a RocksDB database."""

    def refusal(self, body: Body) -> str | None:
        return thread_refusal(body.thread_id) or size_refusal(max(len(body.content), len(body.text or b"")))

    async def get(self, keys: Sequence[MessageKey]) -> dict[MessageKey, Body]:
        with named_errors(self.folder, "read"):
            found = ((key, self._database.get(message_key(BODY, key))) for key in keys)
            return {key: body_of(key, value) for key, value in found if value is not None}

    async def commit(self, partition: int, bodies: Sequence[Body], pointer: int) -> None:
        batch = WriteBatch(raw_mode=True)
        with named_errors(self.folder, "read"):
            for body in bodies:
                key = message_key(BODY, body.key)
                stored = self._database.get(key)
                if stored is None or body_version(stored) < body.version:
                    batch.put(key, body_value(body))
        await self._write(batch, partition, pointer)


@contextmanager
def named_errors(folder: Path, verb: str) -> Iterator[None]:
    """RocksDB's errors are bare exceptions: give them a name and say what to do."""
    try:
        yield
    except Exception as error:
        advice = "look at its disk; if it is damaged, remove it: it is rebuilt from the queue as far as kept"
        if "lock" in str(error).lower():
            advice = "another process has it open: a store has exactly one worker"
        raise StoreError(f"the store {folder} cannot be {verb}: {error} ({advice})") from error


def _options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(2)
    options.set_keep_log_file_num(2)
    blocks = BlockBasedOptions()
    blocks.set_block_cache(Cache(_CACHE_BYTES))
    blocks.set_bloom_filter(10, False)
    options.set_block_based_table_factory(blocks)
    return options
