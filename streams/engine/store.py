"""The local store of one shard: RocksDB, raw bytes, values and markers in one batch.

A store is a cache of the log: it holds the state rows up to its markers (topic -> offset up to which the topic's
committed records are in it), is never ahead of the log, and can be wiped at any moment. Values and markers are
written in one WriteBatch with the write-ahead log on and without fsync: consistent after SIGKILL; after a power
failure the worst is an older, still consistent store. All stores of a worker share one block cache and one
write-buffer manager, so that memory does not grow with the number of shards.
Tested in tests/engine/test_store.py.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rocksdict import (
    BlockBasedOptions,
    Cache,
    Checkpoint,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from streams.errors import StoreDamaged, StoreError, StoreFull

_MARKER = b"\x00marker\x00"
_TOPIC_ID = b"\x00topic_id\x00"
_WRITTEN_AT = b"\x00written_at_ms"
_FORMAT = b"\x00format"
_FORMAT_VERSION = b"1"
_BYTES = 8
_BLOOM_BITS = 10
_OPEN_FILES_MAX = 64  # a shard; twelve shards and Kafka's sockets stay far below 1,024
_DAMAGE = ("orruption", "checksum", "No such file or directory")
"""In RocksDB's text: what is in the files is wrong, or a file that others name is gone."""
FIRST_ROW = b"\x01"
"""Keys below belong to the store itself; table bytes start here."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What all stores of one worker share."""

    cache: Cache
    write_buffers: WriteBufferManager

    @classmethod
    def of(cls, total_bytes: int) -> Memory:
        """Divide a budget in bytes: a third for write buffers (charged to the cache), the rest for blocks."""
        cache = Cache(total_bytes)
        return cls(
            cache, WriteBufferManager.new_write_buffer_manager_with_cache(total_bytes // 3, False, cache)
        )


class Store:
    """One open RocksDB. Raises StoreError, with what to do, for a full disk or a damaged database."""

    def __init__(self, path: Path, memory: Memory) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = Rdict(str(path), _options(memory))
        except Exception as error:  # rocksdict raises bare Exception with RocksDB's text
            raise explained(path, error) from error
        self._logged, self._unlogged = _write_options(is_logged=True), _write_options(is_logged=False)
        self._has_unlogged = False
        self.get = self._db.get
        if self._db.get(_FORMAT) is None:
            self._db.put(_FORMAT, _FORMAT_VERSION)

    def may_contain(self, key: bytes) -> bool:
        """Return False only if RocksDB's Bloom filters and memory tables rule the key out."""
        return bool(self._db.key_may_exist(key))

    def write(
        self,
        rows: Iterable[tuple[bytes, bytes | None]],
        markers: Mapping[str, int],
        ranges: Iterable[tuple[bytes, bytes]] = (),
        *,
        is_logged: bool = True,
    ) -> None:
        """Write rows (None deletes), range deletes and markers in one atomic batch.

        Without the write-ahead log a batch costs half, and is gone after a SIGKILL with its markers; a later batch
        cannot survive it, since that flushes what came before to its files first.
        """
        batch = WriteBatch(raw_mode=True)
        for start, end in ranges:
            batch.delete_range(start, end)
        put, delete = batch.put, batch.delete
        for key, value in rows:
            if value is None:
                delete(key)
            else:
                put(key, value)
        for topic, offset in markers.items():
            put(_MARKER + topic.encode(), offset.to_bytes(_BYTES, "big"))
        put(_WRITTEN_AT, int(time.time() * 1000).to_bytes(_BYTES, "big"))
        try:
            if is_logged and self._has_unlogged:
                self._db.flush(True)
                self._has_unlogged = False
            self._db.write(batch, self._logged if is_logged else self._unlogged)
            self._has_unlogged = self._has_unlogged or not is_logged
        except Exception as error:  # rocksdict raises bare Exception with RocksDB's text
            raise explained(self.path, error) from error

    def marker(self, topic: str) -> int | None:
        """Return the offset up to which a topic is in the store, or None for a fresh store."""
        value = self._db.get(_MARKER + topic.encode())
        return None if value is None else int.from_bytes(value, "big")

    def written_at_ms(self) -> int | None:
        """Return when the store was last written, by this machine's clock; None for a fresh store."""
        value = self._db.get(_WRITTEN_AT)
        return None if value is None else int.from_bytes(value, "big")

    def topic_id(self, topic: str) -> str | None:
        """Return the id that a topic had when the store was filled from it."""
        value = self._db.get(_TOPIC_ID + topic.encode())
        return None if value is None else value.decode()

    def keep_topic_id(self, topic: str, topic_id: str) -> None:
        """Remember a topic's id, so that a topic which was deleted and made again is noticed."""
        self._db.put(_TOPIC_ID + topic.encode(), topic_id.encode())

    def rows(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows whose key starts with `prefix`, in key order."""
        for key, value in self._db.items(from_key=prefix or FIRST_ROW):
            assert isinstance(key, bytes)  # raw mode
            if not key.startswith(prefix):
                return
            yield key, value

    def count(self, prefix: bytes) -> int:
        """Return the number of rows of a table; reads them all."""
        return sum(1 for _ in self.rows(prefix))

    def disk_bytes(self) -> int:
        """Return the size of the database's files."""
        return sum(one.stat().st_size for one in self.path.glob("*") if one.is_file())

    def checkpoint(self, path: Path) -> None:
        """Make a consistent copy by hard links."""
        Checkpoint(self._db).create_checkpoint(str(path))

    def close(self) -> None:
        """Close quickly: background work is cancelled, the write-ahead log keeps what is not flushed."""
        self._db.cancel_all_background(True)
        with suppress(Exception):  # "Shutdown in progress": the flush that we do not want was refused
            self._db.close()


def wipe(path: Path) -> None:
    """Remove a store; it is rebuilt from the topics at the next opening."""
    shutil.rmtree(path, ignore_errors=True)


def _write_options(*, is_logged: bool) -> WriteOptions:
    options = WriteOptions()
    options.sync = False
    options.disable_wal = not is_logged  # type: ignore[method-assign,assignment]  # a property in fact
    return options


def _options(memory: Memory) -> Options:
    table = BlockBasedOptions()
    table.set_block_cache(memory.cache)
    table.set_bloom_filter(_BLOOM_BITS, False)
    table.set_cache_index_and_filter_blocks(True)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(table)
    options.set_write_buffer_manager(memory.write_buffers)
    options.set_write_buffer_size(16 << 20)
    options.set_max_open_files(_OPEN_FILES_MAX)
    options.set_keep_log_file_num(2)
    options.set_max_background_jobs(2)
    return options


def explained(path: Path, error: Exception) -> StoreError:
    """Return what RocksDB's text means: StoreFull, StoreDamaged, or a plain StoreError."""
    text = str(error)
    if "No space left" in text:
        return StoreFull(
            f"the disk under {path} is full: free some room, the worker goes on by itself ({text})"
        )
    if any(sign in text for sign in _DAMAGE):
        return StoreDamaged(f"the store {path} is damaged and will be rebuilt from the topics: {text}")
    return StoreError(f"the store {path} cannot be used: {text}")
