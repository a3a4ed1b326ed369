"""The ledger: which tokens each client has used inside the threshold, and what became of them.

Rows of `ledger` are keyed by timestamp, nonce, client, so that a span of time is one range of keys: whole
buckets expire by one range delete, and the width of a bucket (a setting) is no part of any key. A row is
its own changelog entry on shard.ledger.

Rows of `recent` hold a client's most recent timestamp in each day (days of the CLIENT's timestamps, a width
that is part of the format). A token is certainly new when no row of its day or a later one holds its
timestamp or a greater one; days before its own cannot matter. So a missing row proves that all tokens which
could stand there have expired, and whole days expire by one range delete too.

Guarantees: what `expire` removes is older than threshold + slack, and state is bounded by the messages
inside the threshold (`recent`: by the clients of that time and one day more). Not promised: that expired
rows are gone already. Tested in tests/tables/test_ledger.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import NamedTuple

from streams.errors import StoreError
from streams.ids import Token
from streams.ports import Record, Rows, State
from streams.tables import LEDGER, RECENT

DAY_MS = 86_400_000
"""Width of a `recent` row in time. Part of the format: with another one, rows would not be found."""

DIGEST_BYTES = 8
_VERSION = b"\x01"
_LEDGER_START = Struct(">BQQ")
_LEDGER_BOUND = Struct(">BQ")
_RECENT_START = Struct(">BI")
_RECENT_VALUE = Struct(">BQ")
_LEDGER_BYTE = LEDGER.byte[0]
_RECENT_BYTE = RECENT.byte[0]
_VERSION_BYTE = _VERSION[0]
_CODE_AT = 1 + DIGEST_BYTES
_TIMESTAMP_AT, _NONCE_AT, _CLIENT_AT = 1, 9, _LEDGER_START.size


class LedgerEntry(NamedTuple):
    """What is kept of a used token: its payload's digest, and why its thread refused it ("": it did not)."""

    digest: bytes
    refused_code: str


def client_of(account_id: str, endpoint_id: str) -> bytes:
    """Return the namespace of a client's tokens; ids hold no NUL, so no two clients share one."""
    return f"{account_id}\0{endpoint_id}".encode()


def ledger_key(client: bytes, token: Token) -> bytes:
    """Return the key of a token's row; timestamp and nonce must not be negative."""
    return _LEDGER_START.pack(_LEDGER_BYTE, *token) + client


def expired_ranges(before_ms: int) -> tuple[tuple[bytes, bytes], ...]:
    """Return the ranges of keys whose rows all belong to tokens with timestamps below `before_ms`.

    `recent` goes by whole days. Rows in these ranges may or may not be there: who compares two stores leaves
    them out.
    """
    return (
        (LEDGER.byte, _LEDGER_BOUND.pack(_LEDGER_BYTE, before_ms)),
        (RECENT.byte, _RECENT_START.pack(_RECENT_BYTE, before_ms // DAY_MS)),
    )


def unsettled_ranges(before_ms: int) -> tuple[tuple[bytes, bytes], ...]:
    """Return the ranges of keys in which a restored store may differ from the one that was there before.

    As `expired_ranges`, and the day of `before_ms` itself: a row of `recent` may stand for a token that expired.
    """
    ledger, (start, _) = expired_ranges(before_ms)
    return ledger, (start, _RECENT_START.pack(_RECENT_BYTE, before_ms // DAY_MS + 1))


class Ledger:
    """The ledger of one shard, as rules see it."""

    def __init__(self, state: State, bucket_ms: int) -> None:
        self._state = state
        self._bucket_ms = bucket_ms
        self.next_expiry_at_ms = 0
        """Shard clock at which `expire` has something to do; kept here only, and 0 in a new object."""

    def recent(self, client: bytes, since_ms: int, until_ms: int) -> int | None:
        """Return the client's most recent timestamp, if it lies in the days from `since_ms` to `until_ms`.

        None proves that the client used no token with a timestamp in [since_ms, until_ms] that has not
        expired.
        """
        day = until_ms // DAY_MS
        first = since_ms // DAY_MS
        while day >= first:
            value = self._state.get(_RECENT_START.pack(_RECENT_BYTE, day) + client)
            if value is not None:
                return _recent_of(value)
            day -= 1
        return None

    def may_contain(self, key: bytes) -> bool:
        """Return False only if the token of this key was certainly not used: the probabilistic look-up."""
        return self._state.may_contain(key)

    def find(self, key: bytes) -> LedgerEntry | None:
        """Return what is known of the token of this key: the exact look-up."""
        value = self._state.get(key)
        if value is None:
            return None
        if value[:1] != _VERSION:
            raise StoreError(f"ledger row {key.hex()} has version {value[:1].hex()}, 01 was expected")
        return LedgerEntry(value[1:_CODE_AT], value[_CODE_AT:].decode())

    def record(self, client: bytes, token: Token, digest: bytes, *, is_newest: bool) -> None:
        """Keep a token. `is_newest`: `recent` has just shown no timestamp of this client that is as late."""
        state = self._state
        timestamp_ms = token.timestamp_ms
        state.put(ledger_key(client, token), _VERSION + digest)
        recent_key = _RECENT_START.pack(_RECENT_BYTE, timestamp_ms // DAY_MS) + client
        if not is_newest:
            value = state.get(recent_key)
            if value is not None and _recent_of(value) >= timestamp_ms:
                return
        state.put(recent_key, _RECENT_VALUE.pack(_VERSION_BYTE, timestamp_ms))

    def mark_refused(self, key: bytes, code: str) -> bool:
        """Note that a token's thread refused it; return False, and change nothing, if it has expired."""
        entry = self.find(key)
        if entry is None:
            return False
        if entry.refused_code != code:
            self._state.put(key, _VERSION + entry.digest + code.encode())
        return True

    def expire(self, now_ms: int, horizon_ms: int) -> None:
        """Remove the buckets that ended `horizon_ms` (threshold and slack) before `now_ms`.

        Always from the start of the tables: a removal that was rolled back is made up for by the next.
        """
        before_ms = (now_ms - horizon_ms) // self._bucket_ms * self._bucket_ms
        self.next_expiry_at_ms = before_ms + self._bucket_ms + horizon_ms
        if before_ms <= 0:
            return
        for start, end in expired_ranges(before_ms):
            self._state.delete_range(start, end)


class LedgerRestorer:
    """The port `Restorer` for shard.ledger: rows as they are, and `recent` derived from them.

    It brings back expired rows that the topic still holds; the first `expire` of a new `Ledger` removes them.
    """

    topic = LEDGER.changelog.value

    def restore(self, records: Iterable[Record], rows: Rows) -> None:
        """Apply a run of committed records, in log order; idempotent."""
        days: dict[int, dict[bytes, bytes]] = {}
        start = end = b""
        newest: dict[
            bytes, bytes
        ] = {}  # of the day from start to end: client -> encoded timestamp, which sorts
        put = rows.put
        for record in records:
            key, value = record.key, record.value
            if not key or value is None or key[0] != _LEDGER_BYTE:
                continue
            put(key, value)
            timestamp = key[_TIMESTAMP_AT:_NONCE_AT]
            if not start <= timestamp < end:  # a run is hardly ever of more than two days
                day = int.from_bytes(timestamp, "big") // DAY_MS
                start, end = _timestamp_of(day), _timestamp_of(day + 1)
                newest = days.setdefault(day, {})
            client = key[_CLIENT_AT:]
            if timestamp > newest.get(client, b""):
                newest[client] = timestamp
        for day, clients in days.items():
            recent_start = _RECENT_START.pack(_RECENT_BYTE, day)
            for client, timestamp in clients.items():
                recent_key = recent_start + client
                known = rows.get(recent_key)
                if known is None or _recent_of(known) < int.from_bytes(timestamp, "big"):
                    put(recent_key, _VERSION + timestamp)


def _timestamp_of(day: int) -> bytes:
    return (day * DAY_MS).to_bytes(_NONCE_AT - _TIMESTAMP_AT, "big")


def _recent_of(value: bytes) -> int:
    version, timestamp_ms = _RECENT_VALUE.unpack(value)
    if version != _VERSION_BYTE:
        raise StoreError(f"a row of `recent` has version {version}, 1 was expected")
    return int(timestamp_ms)
