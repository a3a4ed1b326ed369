"""Brings what was read of a shard's own topics into its local store: at an opening, and in a standby.

Three topics hold all that a shard is: shard.state (state rows, progress, claims), shard.ledger, and inbox.updates. What
was read of them under read_committed goes into the store with the markers, in one batch: rows as they are, claims with
their offsets, and what the restorers derive. Applying a record again changes nothing.

Rows that the owner forgets without a word in the log (range deletes) are forgotten here by the same signs, or a store
that only follows would grow for ever: queue rows when the position of their inbox moves its first kept seq, and the
ledger, by `expire`, when the shard clock has moved on. Tested in tests/engine/test_applying.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from streams.engine.shard import parse_clock
from streams.engine.store import Store, explained
from streams.ports import Record, Restorer
from streams.tables import CLAIMS, CLOCK, POSITIONS
from streams.tables.inboxes import forgotten_range
from streams.tables.ledger import expired_ranges

OFFSET_BYTES = 8
"""A claim's offset stands before its value in the store."""
_KNOWN_ROWS = 16_384
"""Looked up rows that are kept for the next run: about 3 MiB. Positions and newest timestamps are asked for again."""
_LONG_RUN = 1_000
"""Rows of a run after which looked up rows are kept: a copy that is warm reads a few at a time, and has no cache."""
EXPIRE_EVERY_MS = 600_000
"""How far the shard clock moves between two expiries of a store that only follows."""

Observe = Callable[[int, bytes, bytes | None], None]
"""Takes a claim: offset, key, value."""


class _Rows:
    """Rows read but not yet written, and rows that were looked up; implements ports.Rows."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[bytes, bytes | None] = {}
        self.staged: dict[bytes, bytes | None] = {}

    def put(self, key: bytes, value: bytes) -> None:
        self.staged[key] = value

    def get(self, key: bytes) -> bytes | None:
        if key in self.staged:
            return self.staged[key]
        if key in self._known:
            return self._known[key]
        try:
            value = self._known[key] = self._store.get(key)
        except Exception as error:  # rocksdict raises bare Exception with RocksDB's text
            raise explained(self._store.path, error) from error
        return value

    def written(self) -> None:
        """What was staged is in the store now."""
        if len(self.staged) < _LONG_RUN or len(self._known) > _KNOWN_ROWS:
            self.forget_known()
        for key in self._known.keys() & self.staged.keys():
            self._known[key] = self.staged[key]
        self.staged = {}

    def forget_known(self) -> None:
        """Look everything up again."""
        self._known.clear()


class Applying:
    """Applies records of one shard to its store."""

    def __init__(
        self, store: Store, state_topic: str, restorers: Sequence[Restorer], observe: Observe | None = None
    ) -> None:
        """`observe` is told of every claim, before it is kept."""
        self._store = store
        self._rows = _Rows(store)
        self._state_topic = state_topic
        self._restorers = {restorer.topic: restorer for restorer in restorers}
        self._observe = observe
        self._expired_to_ms = 0
        self.topics = [state_topic, *self._restorers]

    def apply(
        self, fetched: Mapping[str, Sequence[Record]], markers: Mapping[str, int], *, is_logged: bool = True
    ) -> None:
        """Write what was read, topic -> records in log order, and up to where each topic is now in the store.

        The state topic comes first: by its positions the restorers leave out what is kept no longer.
        """
        rows = self._rows
        rows.staged = {}  # what a run that failed has left
        ranges: list[tuple[bytes, bytes]] = []
        self._apply_state(fetched.get(self._state_topic, ()), rows, ranges)
        for topic, records in fetched.items():
            if topic != self._state_topic:
                self._restorers[topic].restore(records, rows)
        self._store.write(rows.staged.items(), markers, ranges, is_logged=is_logged)
        rows.written()

    def expire(self, kept_ms: int) -> None:
        """Forget tokens that are older than `kept_ms` by the shard clock, when that has moved on enough.

        The owner does it by buckets when a request arrives; rows of expired tokens may be there or not.
        """
        clock = self._rows.get(CLOCK.byte)
        now_ms, hold_until_ms = (0, 0) if clock is None else parse_clock(clock)
        before_ms = now_ms - kept_ms
        if now_ms < hold_until_ms or before_ms < self._expired_to_ms + EXPIRE_EVERY_MS:
            return
        self._expired_to_ms = before_ms
        self._store.write((), {}, expired_ranges(before_ms))
        self._rows.forget_known()

    def _apply_state(self, records: Sequence[Record], rows: _Rows, ranges: list[tuple[bytes, bytes]]) -> None:
        staged = rows.staged
        for record in records:
            key, value = record.key, record.value
            if key is None:
                continue
            if key.startswith(CLAIMS.byte):
                if self._observe is not None:
                    self._observe(record.offset, key, value)
                if value is not None:
                    if rows.get(key) is not None:
                        continue
                    value = record.offset.to_bytes(OFFSET_BYTES, "big") + value
            elif key[:1] == POSITIONS.byte and value is not None:
                forgotten = forgotten_range(key, rows.get(key), value)
                if forgotten is not None:
                    ranges.append(forgotten)
            staged[key] = value
