"""State of a shard inside a unit of work: writes that are staged, not yet committed, and can be taken back.

EVERY write goes through here: tables, progress, clock, claims. A unit's writes are visible to its later reads, go to
the changelog and the local store only when the unit commits, and vanish when it does not. A record that fails takes
back its own writes and no others. Values read or committed are kept in a bounded cache in front of RocksDB.
Tested in tests/engine/test_overlay.py, tests/properties/ and the contract suite of ports.Shard.
"""

from __future__ import annotations

from streams.engine.store import Store, explained

_CACHE_ROWS = 50_000
"""Rows a shard keeps in memory in front of RocksDB; about 10 MiB at 200 bytes a row."""


class _Unset:
    """Stands for 'this unit has not written the key'."""


_UNSET = _Unset()


class Overlay:
    """Implements ports.State over a Store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cache: dict[bytes, bytes | None] = {}
        self.staged: dict[bytes, bytes | None] = {}
        """What the unit in the making has written; None is a deletion."""
        self.ranges: list[tuple[bytes, bytes]] = []
        self._undo: list[tuple[bytes, bytes | _Unset | None]] = []

    def get(self, key: bytes) -> bytes | None:
        staged = self.staged
        if key in staged:
            return staged[key]
        cache = self._cache
        if key in cache:
            return cache[key]
        try:
            value = self._store.get(key)
        except Exception as error:  # rocksdict raises bare Exception with RocksDB's text
            raise explained(self._store.path, error) from error
        if len(cache) >= _CACHE_ROWS:
            cache.clear()
        cache[key] = value
        return value

    def may_contain(self, key: bytes) -> bool:
        if key in self.staged:
            return self.staged[key] is not None
        return self._store.may_contain(key)

    def put(self, key: bytes, value: bytes) -> None:
        staged = self.staged
        self._undo.append((key, staged.get(key, _UNSET)))
        staged[key] = value

    def delete(self, key: bytes) -> None:
        staged = self.staged
        self._undo.append((key, staged.get(key, _UNSET)))
        staged[key] = None

    def delete_range(self, start: bytes, end: bytes) -> None:
        self.ranges.append((start, end))

    def mark(self) -> int:
        """Return where a record begins, for roll_back."""
        self._undo.clear()
        return len(self.ranges)

    def roll_back(self, mark: int) -> None:
        """Take back every write since the mark."""
        for key, previous in reversed(self._undo):
            if isinstance(previous, _Unset):
                del self.staged[key]
            else:
                self.staged[key] = previous
        self._undo.clear()
        del self.ranges[mark:]

    def committed(self, markers: dict[str, int]) -> None:
        """Write the unit to the local store, after Kafka has committed it, and start the next."""
        staged, ranges = self.staged, self.ranges
        self.staged, self.ranges, self._undo = {}, [], []
        self._store.write(staged.items(), markers, ranges)
        if len(self._cache) + len(staged) > _CACHE_ROWS:
            self._cache.clear()
        if ranges:
            self._cache = {
                key: value
                for key, value in self._cache.items()
                if not any(start <= key < end for start, end in ranges)
            }
        if len(staged) <= _CACHE_ROWS:
            self._cache.update(staged)
