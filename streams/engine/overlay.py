"""State of a shard inside a unit of work: writes that are staged, not yet committed, and can be taken back.

EVERY write goes through here: tables, progress, clock, claims. A unit's writes are visible to its later reads, go to
the changelog and the local store only when the unit commits, and vanish when it does not. A record that fails takes
back its own writes and no others. While one unit commits (it is sealed), the next is made on top of it. Values read or
committed are kept in a bounded cache in front of RocksDB, but for the tables that are written far more often than read.
Tested in tests/engine/test_overlay.py, tests/properties/ and the contract suite of ports.Shard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.engine.store import Store, explained
from streams.tables import TABLES

_GENERATION_ROWS = 25_000
"""Rows of one generation of the cache, of which a shard keeps two; both are about 10 MiB at 200 bytes a row."""
_WRITE_MOSTLY = frozenset(table.byte[0] for table in TABLES if not table.is_cached)


if TYPE_CHECKING:
    from collections.abc import Mapping


class _Mark:
    """What stands in the undo log beside values."""


_UNSET = _Mark()
"""The unit had not written the key."""
_RANGE = _Mark()
"""A range was added; the key is empty."""


class Overlay:
    """Implements ports.State over a Store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._young: dict[bytes, bytes | None] = {}
        self._old: dict[bytes, bytes | None] = {}
        """The generation before: what is read again moves to the young one, the rest goes with the next change."""
        self.staged: dict[bytes, bytes | None] = {}
        """What the unit in the making has written; None is a deletion."""
        self.ranges: list[tuple[bytes, bytes]] = []
        self.sealed: dict[bytes, bytes | None] = {}
        """What the unit has written that is being committed."""
        self._sealed_ranges: list[tuple[bytes, bytes]] = []
        self._undo: list[tuple[bytes, bytes | _Mark | None]] = []
        """What each write of the unit in the making replaced."""

    def get(self, key: bytes) -> bytes | None:
        staged = self.staged
        if key in staged:
            return staged[key]
        if key in self.sealed:
            return self.sealed[key]
        young = self._young
        if key in young:
            return young[key]
        value = self._old[key] if key in self._old else self._read(key)
        if key[0] not in _WRITE_MOSTLY:
            self._keep({key: value})
        return value

    def _read(self, key: bytes) -> bytes | None:
        try:
            return self._store.get(key)
        except Exception as error:  # rocksdict raises bare Exception with RocksDB's text
            raise explained(self._store.path, error) from error

    def _keep(self, rows: Mapping[bytes, bytes | None]) -> None:
        if len(self._young) + len(rows) > _GENERATION_ROWS:
            self._old, self._young = self._young, {}
        self._young.update(rows)

    def may_contain(self, key: bytes) -> bool:
        if key in self.staged:
            return self.staged[key] is not None
        if key in self.sealed:
            return self.sealed[key] is not None
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
        self._undo.append((b"", _RANGE))
        self.ranges.append((start, end))

    def mark(self) -> int:
        """Return where a record begins, for roll_back."""
        return len(self._undo)

    def roll_back(self, mark: int) -> None:
        """Take back every write since the mark."""
        undo = self._undo
        while len(undo) > mark:
            key, previous = undo.pop()
            if previous is _RANGE:
                self.ranges.pop()
            elif isinstance(previous, _Mark):
                del self.staged[key]
            else:
                self.staged[key] = previous

    def seal(self) -> None:
        """End the unit in the making: it is about to be committed. The one before it has been."""
        self.sealed, self._sealed_ranges = self.staged, self.ranges
        self.staged, self.ranges, self._undo = {}, [], []

    def committed(self, markers: dict[str, int]) -> None:
        """Write the sealed unit to the local store, after Kafka has committed it."""
        sealed, ranges = self.sealed, self._sealed_ranges
        self.sealed, self._sealed_ranges = {}, []
        self._store.write(sealed.items(), markers, ranges)
        cached = [span for span in ranges if span[0][0] not in _WRITE_MOSTLY]
        if cached:
            for cache in (self._young, self._old):
                for key in [key for key in cache if any(start <= key < end for start, end in cached)]:
                    del cache[key]
        self._keep({key: value for key, value in sealed.items() if key[0] not in _WRITE_MOSTLY})
