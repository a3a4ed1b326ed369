"""A digest sees every row that a restore must bring back, and no other (streams/engine/rebuilding.py)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from itertools import count
from pathlib import Path

import pytest

from streams.engine.rebuilding import Comparison, Digest, ShardNotOpen, digest_of
from streams.engine.store import Memory, Store
from streams.ids import Token
from streams.tables import CLAIMS, MEMBERS, PROGRESS, QUEUE, RECENT
from streams.tables.inboxes import Inbox, InboxesTable
from streams.tables.ledger import DAY_MS, Ledger, client_of, ledger_key

NOW_MS = 20_000 * DAY_MS + DAY_MS // 2
KEPT_SINCE_MS = NOW_MS - DAY_MS
Rows = dict[bytes, bytes]
_NUMBERS = count()


class _State:
    """ports.State over a dict, as far as the tables write."""

    def __init__(self) -> None:
        self.rows: Rows = {}

    def get(self, key: bytes) -> bytes | None:
        return self.rows.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self.rows[key] = value

    def may_contain(self, key: bytes) -> bool:
        return key in self.rows

    def delete(self, key: bytes) -> None:
        self.rows.pop(key, None)

    def delete_range(self, start: bytes, end: bytes) -> None:
        raise NotImplementedError


def _queue(epoch: int, seqs: Iterable[int], inbox: Inbox) -> Rows:
    state = _State()
    table = InboxesTable(state)
    table.put("ann", inbox)
    for seq in seqs:
        table.append("ann", epoch, seq, b"tail")
    return state.rows


def _tokens(*timestamps_ms: int) -> Rows:
    state = _State()
    for timestamp_ms in timestamps_ms:
        Ledger(state, 3_600_000).record(
            client_of("ann", "phone"), Token(timestamp_ms, 1), b"12345678", is_newest=True
        )
    return state.rows


async def _digest(folder: Path, rows: Rows) -> Digest:
    store = Store(folder / str(next(_NUMBERS)), Memory.of(8 << 20))
    try:
        store.write(rows.items(), {"shard.state": 7})
        return await digest_of(store, KEPT_SINCE_MS)
    finally:
        store.close()


async def _is_equal(folder: Path, first: Rows, second: Rows) -> bool:
    one, other = await _digest(folder, first), await _digest(folder, second)
    return one.digest == other.digest


async def test_the_same_rows_in_another_order_are_equal(tmp_path: Path) -> None:
    rows = {PROGRESS.byte + b"t": b"1", MEMBERS.byte + b"x": b"2"}
    assert await _is_equal(tmp_path, rows, dict(reversed(rows.items())))


@pytest.mark.parametrize("table", [PROGRESS, MEMBERS, QUEUE])
async def test_a_row_that_is_lost_or_changed_is_seen(tmp_path: Path, table: object) -> None:
    rows = {PROGRESS.byte + b"t": b"1", MEMBERS.byte + b"x": b"2", **_queue(1, [4, 5], Inbox(1, 6, 4))}
    key = next(key for key in rows if key.startswith(table.byte))  # type: ignore[attr-defined]  # a TableSpec
    assert not await _is_equal(tmp_path, rows, {one: rows[one] for one in rows if one != key})
    assert not await _is_equal(tmp_path, rows, {**rows, key: rows[key] + b"!"})


async def test_keys_and_values_cannot_be_taken_for_each_other(tmp_path: Path) -> None:
    assert not await _is_equal(tmp_path, {MEMBERS.byte + b"ab": b"c"}, {MEMBERS.byte + b"a": b"bc"})


async def test_claims_are_left_out_since_each_opening_writes_one(tmp_path: Path) -> None:
    assert await _is_equal(tmp_path, {CLAIMS.byte + b"1": b"x"}, {CLAIMS.byte + b"2": b"y"})


async def test_tokens_that_have_expired_may_be_there_or_not(tmp_path: Path) -> None:
    """D14: what is older than the threshold is swept at leisure, and a restore may bring it back."""
    kept = _tokens(NOW_MS)
    assert await _is_equal(tmp_path, kept, {**_tokens(KEPT_SINCE_MS - 1), **kept})
    assert not await _is_equal(tmp_path, kept, {**kept, **_tokens(KEPT_SINCE_MS + 1)})


async def test_recent_is_compared_for_days_of_which_no_token_has_expired(tmp_path: Path) -> None:
    key = next(key for key in _tokens(NOW_MS) if key.startswith(RECENT.byte))
    without = {one: value for one, value in _tokens(NOW_MS).items() if one != key}
    assert not await _is_equal(tmp_path, _tokens(NOW_MS), without)
    day_of_expiry = struct.pack(">BI", RECENT.byte[0], KEPT_SINCE_MS // DAY_MS) + b"ann"
    assert await _is_equal(tmp_path, without, {**without, day_of_expiry: b"old"})


async def test_updates_that_an_inbox_no_longer_keeps_may_be_there_or_not(tmp_path: Path) -> None:
    inbox = Inbox(2, 9, 5)
    assert await _is_equal(tmp_path, _queue(2, [5, 6], inbox), _queue(2, [3, 4, 5, 6], inbox))
    assert not await _is_equal(tmp_path, _queue(2, [5, 6], inbox), _queue(2, [6], inbox))
    assert await _is_equal(tmp_path, _queue(1, [5], inbox), _queue(1, [], inbox))


async def test_whoever_waits_for_a_rebuild_is_told_when_the_shard_moves_away(tmp_path: Path) -> None:
    comparison = Comparison(await _digest(tmp_path, {}), KEPT_SINCE_MS)
    comparison.abandon()
    with pytest.raises(ShardNotOpen, match="moved"):
        await comparison.result()


def test_a_ledger_row_of_the_tests_is_one_of_the_ledger() -> None:
    assert ledger_key(client_of("ann", "phone"), Token(NOW_MS, 1)) in _tokens(NOW_MS)
