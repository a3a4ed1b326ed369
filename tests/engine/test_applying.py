"""What is read of a shard goes into its store, and what its owner forgot goes out (streams/engine/applying.py)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from streams.adapters.memory import MemoryRecord
from streams.codec import Codec
from streams.engine import applying as applying_module
from streams.engine.applying import EXPIRE_EVERY_MS, OFFSET_BYTES, Applying
from streams.engine.claims import claim_key, claim_value
from streams.engine.rebuilding import digest_of
from streams.engine.shard import _CLOCK
from streams.engine.store import Memory, Store
from streams.ids import Token
from streams.ports import Record
from streams.tables import CLOCK, LEDGER, POSITIONS, QUEUE, RECENT
from streams.tables.inboxes import _POSITION, Inbox, QueueRestorer
from streams.tables.ledger import DAY_MS, LedgerRestorer, client_of, ledger_key
from tests.fixtures.pipeline import Pipeline

STATE = "shard.state"
KEPT_MS = DAY_MS
NOW_MS = 20_000 * DAY_MS
CLIENT = client_of("ann", "phone")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store", Memory.of(8 << 20))
    yield opened
    opened.close()


def _records(topic: str, rows: Iterable[tuple[bytes, bytes | None]], start: int = 0) -> list[Record]:
    return [
        MemoryRecord(topic=topic, partition=0, offset=start + number, key=key, value=value, timestamp=0)
        for number, (key, value) in enumerate(rows)
    ]


def _position(inbox: Inbox) -> tuple[bytes, bytes]:
    return POSITIONS.byte + b"ann", _POSITION.pack(1, *inbox)


def _clock(now_ms: int, held_until_ms: int = 0) -> tuple[bytes, bytes]:
    return CLOCK.byte, _CLOCK.pack(1, now_ms, held_until_ms)


def _queue(*seqs: int) -> list[bytes]:
    return [QUEUE.byte + b"ann\0" + seq.to_bytes(8, "big") for seq in seqs]


def _tokens(*timestamps_ms: int) -> list[tuple[bytes, bytes]]:
    return [(ledger_key(CLIENT, Token(at_ms, 1)), b"\x0112345678") for at_ms in timestamps_ms]


def _apply(store: Store, topics: Mapping[str, list[Record]], applying: Applying | None = None) -> Applying:
    applying = applying or Applying(store, STATE, (LedgerRestorer(), QueueRestorer(Codec())))
    applying.apply(topics, {topic: records[-1].offset + 1 for topic, records in topics.items() if records})
    return applying


def test_rows_and_markers_are_in_the_store_together_and_applying_again_changes_nothing(store: Store) -> None:
    rows = _records(STATE, [(b"\x10a", b"1"), (b"\x10b", b"2"), (b"\x10a", None)])
    for _ in range(2):
        _apply(store, {STATE: rows})
        assert (list(store.rows(b"\x10")), store.marker(STATE)) == ([(b"\x10b", b"2")], 3)


def test_a_claim_is_kept_with_the_offset_of_its_first_record_and_whoever_observes_is_told(
    store: Store,
) -> None:
    seen: list[int] = []
    key, value = claim_key(1, "owner"), claim_value(3)
    applying = Applying(store, STATE, (), lambda offset, *_: seen.append(offset))
    for start in (5, 9):
        _apply(store, {STATE: _records(STATE, [(key, value)], start)}, applying)
    assert store.get(key) == (5).to_bytes(OFFSET_BYTES, "big") + value
    assert seen == [5, 9]


def test_queue_rows_go_when_the_position_of_their_inbox_says_so(store: Store) -> None:
    """The owner removes them by a range delete of which the log says nothing else."""
    _apply(store, {STATE: _records(STATE, [_position(Inbox(1, 9, 1))])})
    store.write([(key, b"\x01row") for key in _queue(*range(1, 9))], {})
    others = [QUEUE.byte + b"an\0" + bytes(8), QUEUE.byte + b"ann0\0" + bytes(8)]
    store.write([(key, b"\x01row") for key in others], {})
    _apply(store, {STATE: _records(STATE, [_position(Inbox(1, 9, 1)), _position(Inbox(1, 10, 6))], 1)})
    assert [key for key, _ in store.rows(QUEUE.byte)] == sorted([*others, *_queue(6, 7, 8)])


def test_updates_that_are_fetched_with_the_position_that_drops_them_are_left_out(store: Store) -> None:
    """Whatever the order of the topics in a fetch."""
    pipeline = Pipeline()
    for _ in range(5):
        pipeline.send("t", "bob", recipients=["ann"])
    outputs = pipeline.shards[0].shard.outputs
    updates = [(one.key, one.value) for one in outputs if one.topic == "inbox.updates" and one.key == b"ann"]
    position = _position(Inbox(1, 6, 4))
    _apply(store, {"inbox.updates": _records("inbox.updates", updates), STATE: _records(STATE, [position])})
    assert [key for key, _ in store.rows(QUEUE.byte)] == _queue(4, 5)


def test_a_position_that_moves_from_one_run_to_the_next_is_seen(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was looked up once is kept, and is what the store holds all the same."""
    monkeypatch.setattr(applying_module, "_LONG_RUN", 0)
    pipeline = Pipeline()
    for _ in range(5):
        pipeline.send("t", "bob", recipients=["ann"])
    outputs = pipeline.shards[0].shard.outputs
    updates = [(one.key, one.value) for one in outputs if one.topic == "inbox.updates" and one.key == b"ann"]
    applying = _apply(store, {STATE: _records(STATE, [_position(Inbox(1, 3, 1))])})
    _apply(store, {"inbox.updates": _records("inbox.updates", updates[:2])}, applying)
    _apply(store, {STATE: _records(STATE, [_position(Inbox(1, 6, 5))], 1)}, applying)
    _apply(store, {"inbox.updates": _records("inbox.updates", updates, 2)}, applying)
    assert [key for key, _ in store.rows(QUEUE.byte)] == _queue(5)


def test_tokens_expire_by_the_shard_clock_and_not_while_it_is_held(store: Store) -> None:
    """D20: the owner holds expiry after a jump, and so does who follows."""
    old, young = NOW_MS - KEPT_MS - EXPIRE_EVERY_MS, NOW_MS - KEPT_MS
    applying = _apply(
        store,
        {
            "shard.ledger": _records("shard.ledger", _tokens(old, young)),
            STATE: _records(STATE, [_clock(NOW_MS, NOW_MS + 1)]),
        },
    )
    assert store.count(LEDGER.byte) == 2
    applying.expire(KEPT_MS)
    assert store.count(LEDGER.byte) == 2
    _apply(store, {STATE: _records(STATE, [_clock(NOW_MS + 1, NOW_MS + 1)], 1)}, applying)
    applying.expire(KEPT_MS)
    assert [key for key, _ in store.rows(LEDGER.byte)] == [ledger_key(CLIENT, Token(young, 1))] * (
        young >= NOW_MS + 1 - KEPT_MS
    )


def test_days_of_recent_expire_as_whole_days(store: Store) -> None:
    applying = _apply(
        store,
        {
            "shard.ledger": _records("shard.ledger", _tokens(NOW_MS - 3 * DAY_MS, NOW_MS)),
            STATE: _records(STATE, [_clock(NOW_MS)]),
        },
    )
    assert store.count(RECENT.byte) == 2
    applying.expire(KEPT_MS)
    assert store.count(RECENT.byte) == 1


async def test_a_store_that_only_follows_holds_no_more_than_its_owners(store: Store, tmp_path: Path) -> None:
    """Days of tokens pass; what is there is bounded by the threshold, and equal where it is compared."""
    applying = Applying(store, STATE, (LedgerRestorer(),))
    for hour in range(24 * 5):
        now_ms = NOW_MS + hour * 3_600_000
        tokens = _tokens(*(now_ms - number for number in range(20)))
        _apply(
            store,
            {
                "shard.ledger": _records("shard.ledger", tokens, hour * 20),
                STATE: _records(STATE, [_clock(now_ms)], hour),
            },
            applying,
        )
        applying.expire(KEPT_MS)
    last_ms = NOW_MS + (24 * 5 - 1) * 3_600_000
    assert store.count(LEDGER.byte) <= 26 * 20
    owner = Store(tmp_path / "owner", Memory.of(8 << 20))
    owner.write(
        [row for row in store.rows(LEDGER.byte) if row[0] >= ledger_key(b"", Token(last_ms - KEPT_MS, 0))], {}
    )
    owner.write(list(store.rows(RECENT.byte)), {})
    owner.write(list(store.rows(CLOCK.byte)), {})
    assert (await digest_of(owner, last_ms - KEPT_MS)).tables == (
        await digest_of(store, last_ms - KEPT_MS)
    ).tables
    owner.close()
