"""Whether a shard's local store is what its topics say: a digest of it before a wipe, and after the restore.

The digest after is taken when the shard is ours again and before it takes a record, so both stand at the same
progress and must be equal, whatever goes on around. Left out is what may differ without harm: claims (each opening
writes one), ledger rows that have expired and may or may not be swept yet, rows of `recent` whose tokens may have
expired with them, and queue rows below an inbox's first kept number. An inbox nobody wrote to for longer than
inbox.updates is kept has lost its oldest updates in the topic, and is told as different: that is no false alarm.
Tested in tests/engine/test_rebuilding.py and, on Kafka, in tests/e2e/test_instance.py.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterator
from typing import NamedTuple

from streams.engine.shard import Shard
from streams.engine.store import Store
from streams.errors import LockstepError
from streams.tables import CLAIMS, QUEUE, TABLES, TableSpec
from streams.tables.inboxes import is_kept, position_key
from streams.tables.ledger import unsettled_ranges

_DIGEST_BYTES = 16
_LENGTH_BYTES = 4
_ROWS_A_TURN = 2_000
"""Rows between two turns of the event loop: a few milliseconds."""


class ShardNotOpen(LockstepError):
    """The shard is not open on this worker now; ask `lockstep status` who has it, or try again."""

    code = "SHARD_NOT_OPEN"


class TableDigest(NamedTuple):
    """What one table of a store amounts to."""

    rows: int
    digest: str
    """BLAKE2b-128 over length-prefixed keys and values in key order, in hexadecimal."""


class Digest(NamedTuple):
    """What a store amounts to, at a progress."""

    tables: dict[str, TableDigest]

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables.values())

    @property
    def digest(self) -> str:
        """One digest over those of all tables."""
        whole = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        for name, table in sorted(self.tables.items()):
            whole.update(f"{name} {table.rows} {table.digest}\n".encode())
        return whole.hexdigest()


class Rebuilt(NamedTuple):
    """A store before its wipe and after its restore."""

    before: Digest
    after: Digest
    seconds: float

    @property
    def differing(self) -> list[str]:
        """Names of the tables that are not what they were."""
        return [name for name, table in self.before.tables.items() if self.after.tables[name] != table]


async def digest_of(store: Store, kept_since_ms: int) -> Digest:
    """Return the digest of a store that nobody writes to meanwhile.

    kept_since_ms: ledger rows of tokens before it have expired.
    """
    unsettled = unsettled_ranges(kept_since_ms)
    tables = {}
    for table in TABLES:
        if table is CLAIMS:
            continue
        rows, whole = 0, hashlib.blake2b(digest_size=_DIGEST_BYTES)
        for number, (key, value) in enumerate(_settled_rows(store, table)):
            if not any(start <= key < end for start, end in unsettled):
                rows += 1
                for part in (key, value):
                    whole.update(len(part).to_bytes(_LENGTH_BYTES, "big") + part)
            if not number % _ROWS_A_TURN:
                await asyncio.sleep(0)
        tables[table.name] = TableDigest(rows, whole.hexdigest())
    return Digest(tables)


def _settled_rows(store: Store, table: TableSpec) -> Iterator[tuple[bytes, bytes]]:
    """Yield a table's rows; of the queue only those that the inbox still keeps."""
    if table is not QUEUE:
        yield from store.rows(table.byte)
        return
    account, position = b"", None
    for key, value in store.rows(table.byte):
        if (owner := position_key(key)) != account:
            account, position = owner, store.get(owner)
        if position is None or is_kept(key, value, position):
            yield key, value


class Comparison:
    """A rebuild on its way: the digest before, and whoever waits for the one after."""

    def __init__(self, before: Digest, kept_since_ms: int) -> None:
        self._before = before
        self._kept_since_ms = kept_since_ms
        self._begun_at_s = time.monotonic()
        self._result: asyncio.Future[Rebuilt] = asyncio.get_running_loop().create_future()

    async def look(self, shard: Shard) -> None:
        """Take the digest of the restored store; called before the shard takes a record."""
        after = await digest_of(shard.store, self._kept_since_ms)
        if not self._result.done():
            self._result.set_result(Rebuilt(self._before, after, time.monotonic() - self._begun_at_s))

    def abandon(self) -> None:
        """Say that the shard went to another worker before it was restored here."""
        if not self._result.done():
            self._result.set_exception(ShardNotOpen("the shard moved to another worker during its rebuild"))

    async def result(self) -> Rebuilt:
        """Wait for the restore; raises ShardNotOpen when it was abandoned."""
        return await self._result
