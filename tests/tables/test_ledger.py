"""The ledger keeps each token as long as it can come again, and not much longer."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.adapters.memory import MemoryRecord, MemoryState
from streams.errors import StoreError
from streams.ids import Token
from streams.tables import LEDGER, RECENT
from streams.tables.ledger import (
    DAY_MS,
    Ledger,
    LedgerEntry,
    LedgerRestorer,
    client_of,
    expired_ranges,
    ledger_key,
)

HOUR_MS = 3_600_000
NOW_MS = 1_700_000_000_000
HORIZON_MS = 24 * HOUR_MS + 300_000
ANN, BOB = client_of("ann", "phone"), client_of("bob", "phone")


def ledger(state: MemoryState | None = None, bucket_ms: int = HOUR_MS) -> Ledger:
    return Ledger(state or MemoryState(), bucket_ms)


def test_an_entry_is_found_as_it_was_recorded() -> None:
    """Digest and refused code come back; a mark keeps the digest."""
    table, key = ledger(), ledger_key(ANN, Token(NOW_MS, 5))
    assert (table.find(key), table.may_contain(key)) == (None, False)
    table.record(ANN, Token(NOW_MS, 5), b"digest01", is_newest=True)
    assert (table.find(key), table.may_contain(key)) == (LedgerEntry(b"digest01", ""), True)
    assert table.mark_refused(key, "THREAD_FULL")
    assert table.find(key) == LedgerEntry(b"digest01", "THREAD_FULL")
    assert not table.mark_refused(ledger_key(ANN, Token(NOW_MS, 6)), "THREAD_FULL")


def test_the_formats_of_rows_never_change() -> None:
    """Rows outlive a release: on disk, and on shard.ledger."""
    state = MemoryState()
    ledger(state).record(ANN, Token(NOW_MS, 2**63 - 1), b"digest01", is_newest=True)
    assert {key.hex(): value.hex() for key, value in state.rows.items()} == {
        "300000018bcfe568007fffffffffffffff" + ANN.hex(): "01" + b"digest01".hex(),
        "3100004cdb" + ANN.hex(): "010000018bcfe56800",
    }


def test_a_row_of_another_version_stops_the_worker() -> None:
    """A row that a newer release wrote is never taken for something else."""
    state = MemoryState()
    state.rows[ledger_key(ANN, Token(NOW_MS, 1))] = b"\x02digest01"
    with pytest.raises(StoreError, match="version 02"):
        ledger(state).find(ledger_key(ANN, Token(NOW_MS, 1)))


@given(st.lists(st.tuples(st.sampled_from([ANN, BOB]), st.integers(0, 3 * DAY_MS)), max_size=12), st.data())
def test_recent_is_the_greatest_timestamp_of_the_client(
    tokens: list[tuple[bytes, int]], data: st.DataObject
) -> None:
    """D6: over all days asked for, in whatever order tokens were recorded."""
    table = ledger()
    for nonce, (client, timestamp_ms) in enumerate(tokens):
        known = table.recent(client, timestamp_ms, 3 * DAY_MS)
        table.record(
            client, Token(timestamp_ms, nonce), b"digest01", is_newest=known is None or timestamp_ms > known
        )
    since_ms = data.draw(st.integers(0, 3 * DAY_MS))
    seen = [timestamp_ms for client, timestamp_ms in tokens if client == ANN]
    found = table.recent(ANN, since_ms, 3 * DAY_MS)
    newest = max(seen, default=-1)
    assert found == (newest if newest // DAY_MS >= since_ms // DAY_MS else None)


def test_whole_buckets_expire_and_no_token_that_can_come_again() -> None:
    """D11: a removal takes every token older than the horizon by a bucket, and none inside it."""
    state = MemoryState()
    table = ledger(state)
    for hours in range(30):
        table.record(ANN, Token(NOW_MS - hours * HOUR_MS, hours), b"digest01", is_newest=False)
    table.expire(NOW_MS, HORIZON_MS)
    kept = [
        hours for hours in range(30) if table.find(ledger_key(ANN, Token(NOW_MS - hours * HOUR_MS, hours)))
    ]
    assert kept == list(range(25))
    assert table.next_expiry_at_ms > NOW_MS
    table.expire(table.next_expiry_at_ms - 1, HORIZON_MS)
    assert len([key for key in state.rows if key.startswith(LEDGER.byte)]) == 25
    table.expire(table.next_expiry_at_ms, HORIZON_MS)
    assert len([key for key in state.rows if key.startswith(LEDGER.byte)]) == 24


def test_state_is_bounded_by_the_window(seed: int) -> None:
    """D11: over forty windows of new clients and tokens, the tables hold two windows of rows at most."""
    chance = random.Random(seed)
    state = MemoryState()
    table = ledger(state)
    a_window = 24 * 20
    for hour in range(24 * 40):
        now_ms = NOW_MS + hour * HOUR_MS
        if now_ms >= table.next_expiry_at_ms:
            table.expire(now_ms, HORIZON_MS)
        for _ in range(20):
            token = Token(now_ms - chance.randrange(HOUR_MS), chance.getrandbits(63))
            table.record(
                client_of(f"account{chance.getrandbits(40)}", "phone"), token, b"digest01", is_newest=True
            )
        ledger_rows = sum(key.startswith(LEDGER.byte) for key in state.rows)
        assert ledger_rows <= a_window + 3 * 20
        assert len(state.rows) - ledger_rows <= 2 * a_window + 3 * 20
    assert len(state.rows) > a_window


def test_a_removal_that_was_undone_is_made_up_for() -> None:
    """D11: rows that a rolled-back removal left are taken by the next one."""
    state = MemoryState()
    table = ledger(state)
    table.record(ANN, Token(NOW_MS, 1), b"digest01", is_newest=True)
    rows = dict(state.rows)
    table.expire(NOW_MS + 3 * DAY_MS, HORIZON_MS)
    assert state.rows == {}
    state.rows = rows
    table.expire(table.next_expiry_at_ms, HORIZON_MS)
    assert state.rows == {}


def test_another_width_of_buckets_finds_all_rows() -> None:
    """A changed setting makes no token new: the width is no part of any key."""
    state = MemoryState()
    ledger(state, HOUR_MS).record(ANN, Token(NOW_MS, 1), b"digest01", is_newest=True)
    other = ledger(state, 7 * HOUR_MS)
    assert other.find(ledger_key(ANN, Token(NOW_MS, 1))) is not None
    assert other.recent(ANN, NOW_MS, NOW_MS) == NOW_MS


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 2**63 - 1))
def test_a_removal_takes_what_lies_below_its_bound(before_ms: int, timestamp_ms: int, nonce: int) -> None:
    """D11: a ledger row goes exactly when its token is below the bound, a day only when all of it is."""
    state = MemoryState()
    ledger(state).record(ANN, Token(timestamp_ms, nonce), b"digest01", is_newest=True)
    for start, end in expired_ranges(before_ms):
        state.delete_range(start, end)
    left = {key[:1] for key in state.rows}
    assert (LEDGER.byte in left) == (timestamp_ms >= before_ms)
    assert (RECENT.byte in left) == (timestamp_ms // DAY_MS >= before_ms // DAY_MS)


@given(
    st.lists(st.tuples(st.sampled_from([ANN, BOB]), st.integers(0, 3 * DAY_MS), st.booleans()), max_size=12),
    st.integers(1, 5),
    st.integers(0, 12),
)
def test_a_restore_gives_the_rows_that_were_there(
    tokens: list[tuple[bytes, int, bool]], run: int, repeated: int
) -> None:
    """D14: rows of both tables are rebuilt from shard.ledger, in runs of any length, some of them twice."""
    state = MemoryState()
    table = ledger(state)
    changelog: list[MemoryRecord] = [
        MemoryRecord("shard.ledger", None, b"x"),
        MemoryRecord("shard.ledger", b"", b"x"),
    ]
    for nonce, (client, timestamp_ms, is_refused) in enumerate(tokens):
        table.record(client, Token(timestamp_ms, nonce), b"digest01", is_newest=False)
        key = ledger_key(client, Token(timestamp_ms, nonce))
        changelog.append(MemoryRecord("shard.ledger", key, state.rows[key]))
        if is_refused:
            table.mark_refused(key, "THREAD_FULL")
            changelog.append(MemoryRecord("shard.ledger", key, state.rows[key]))
    restored, restorer = MemoryState(), LedgerRestorer()
    restorer.restore(changelog[:repeated], restored)
    for start in range(0, len(changelog), run):
        restorer.restore(changelog[start : start + run], restored)
    assert restored.rows == state.rows
