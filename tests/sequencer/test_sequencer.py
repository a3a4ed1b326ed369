"""The sequencer stage over a shard in memory (streams/sequencer/stage.py)."""

from __future__ import annotations

from typing import Any

from streams.adapters.memory import MemoryRecord, MemoryShard
from streams.codec.primitives import place_bytes
from streams.errors import RecordError
from streams.ids import shard_of
from streams.ports import DONE, CanonicalUpdate
from streams.sequencer.stage import SequencerStage
from streams.sequencer.trimming import TRIM_ROWS
from streams.tables import QUEUE
from streams.tables.inboxes import Inbox, InboxesTable, QueueRestorer
from tests.fixtures.pipeline import (
    CODEC,
    DAY_MS,
    NOW_MS,
    append_record,
    decoded,
    optional_token,
    post,
    replace_value,
)

KEPT_MS = 29 * DAY_MS


class Deliveries(list[CanonicalUpdate]):
    """Takes what the sequencer hands on; fails when it is told to."""

    fails = False

    def deliver(self, update: CanonicalUpdate) -> None:
        if self.fails:
            raise RecordError("planted")
        self.append(update)


class Sequencing:
    """A shard and its sequencer."""

    def __init__(self, **shard: Any) -> None:
        self.shard = MemoryShard(**{"now_ms": NOW_MS, **shard})
        self.sink = Deliveries()
        self.stage = SequencerStage(self.shard, CODEC, self.sink, KEPT_MS)
        self.inboxes = InboxesTable(self.shard.state)

    def append(self, account: str, nonce: int = 1, **fields: Any) -> None:
        assert self.shard.run(self.stage, append_record(account, nonce=nonce, **fields)) == DONE

    def updates(self, account: str) -> list[dict[str, Any]]:
        return [one for one in decoded(self.shard.outputs, "inbox.updates") if one["account_id"] == account]


def test_appends_to_one_inbox_get_dense_numbers_and_inboxes_are_independent() -> None:
    """Q1: strictly +1 per account, whatever stands between."""
    run = Sequencing()
    for nonce, account in enumerate(["ann", "bob", "ann", "ann", "bob"]):
        run.append(account, nonce)
    assert [(one["epoch"], one["seq_first"], one["seq"]) for one in run.updates("ann")] == [
        (1, 1, 1),
        (1, 2, 2),
        (1, 3, 3),
    ]
    assert [one["seq"] for one in run.updates("bob")] == [1, 2]
    assert [one["thread_position"] for one in run.updates("ann")] == [0, 2, 3]


def test_the_canonical_update_is_the_append_under_its_number() -> None:
    """Q2: the log holds one entry for all endpoints, as fanout wrote it; row and sink get the same."""
    run = Sequencing()
    token = {"timestamp_ms": NOW_MS, "nonce": 2**62}
    run.append("ann", 7, token=token, content=post(b"hi"))
    (update,) = run.updates("ann")
    appended = CODEC.decode_as(
        "InboxAppend", append_record("ann", nonce=7, token=token, content=post(b"hi")).value
    )
    assert {name: update[name] for name in appended} == appended
    (delivered,) = run.sink
    assert (delivered.account_id, delivered.epoch, delivered.seq) == ("ann", 1, 1)
    assert delivered.token == optional_token(token)
    assert delivered.place == place_bytes("ann", 1, 1)
    row = run.inboxes.update("ann", 1, 1)
    assert row is not None
    assert row.endswith(delivered.tail)
    assert run.inboxes.get("ann") == Inbox(1, 2, 1)
    (output,) = run.shard.outputs
    assert (output.key, output.partition) == (b"ann", 0)


def test_what_fails_after_the_number_was_given_leaves_no_number_behind() -> None:
    """Q13: number, row, update and delivery are one unit: the next append gets the number that failed."""
    run = Sequencing()
    run.append("ann", 1)
    rows = dict(run.shard.state.rows)
    run.sink.fails = True
    run.append("ann", 2)
    assert run.shard.state.rows == rows
    assert len(run.updates("ann")) == 1
    run.sink.fails = False
    run.append("ann", 3)
    assert [(one["seq"], one["thread_position"]) for one in run.updates("ann")] == [(1, 1), (2, 3)]


def test_a_unit_that_is_run_again_gives_the_same_numbers_and_bytes() -> None:
    """Q13: after an abort the same appends meet the same state; nothing else counts."""
    first, second = Sequencing(), Sequencing()
    for run in (first, second):
        for nonce in range(4):
            run.append("ann", nonce)
    assert first.shard.outputs == second.shard.outputs
    assert first.shard.state.rows == second.shard.state.rows


def test_an_update_that_does_not_fit_its_topic_keeps_its_number_as_a_tombstone() -> None:
    """The inbox has no gap, endpoints are told, and the append is kept whole as a dead letter."""
    record = append_record("ann", nonce=1, content=post(b"x" * 300))
    assert record.value is not None
    run = Sequencing(record_bytes_max=len(record.value) + len(b"ann") + 512)
    run.append("ann", 0)
    run.append("ann", 1, content=post(b"x" * 300))
    run.append("ann", 2)
    assert [(one["seq"], one["kind"]) for one in run.updates("ann")] == [
        (1, "post"),
        (2, "tombstone"),
        (3, "post"),
    ]
    tombstone = run.updates("ann")[1]
    assert tombstone["content"] == ("lockstep.Tombstone", {"reason": "OVERSIZE"})
    assert (tombstone["thread_id"], tombstone["thread_position"], tombstone["sender_id"]) == ("t", 1, "ann")
    assert [(dead.code, dead.record) for dead in run.shard.dead] == [("OVERSIZE", record)]
    assert CODEC["InboxUpdate"].split("message_id").decode_tail(run.sink[1].tail)["kind"] == "tombstone"


def old_inbox(count: int) -> Sequencing:
    run = Sequencing()
    for nonce in range(count):
        run.append("ann", nonce)
    run.shard.now_ms = NOW_MS + KEPT_MS + 1
    return run


def test_updates_older_than_the_queue_keeps_them_are_forgotten_as_appends_come() -> None:
    """The first kept number moves in a unit; rows below it are gone, and a rebuild agrees."""
    run = old_inbox(79)
    assert run.inboxes.get("ann").seq_first_kept == 1
    run.append("ann", 80)
    first = 1 + TRIM_ROWS
    assert run.inboxes.get("ann") == Inbox(1, 81, first)
    kept = [seq for seq in range(1, 81) if run.inboxes.update("ann", 1, seq) is not None]
    assert kept == list(range(first, 81))
    restored = MemoryShard()
    InboxesTable(restored.state).put("ann", run.inboxes.get("ann"))
    records = [MemoryRecord(one.topic, one.key, one.value) for one in run.shard.outputs]
    QueueRestorer(CODEC).restore(records, restored.state)
    assert restored.state.rows == run.shard.state.rows


def test_nothing_is_forgotten_while_expiry_is_held() -> None:
    """D20: after a jump of the clock the queue keeps everything until the hold is over."""
    run = old_inbox(79)
    run.shard.is_expiry_held = True
    run.append("ann", 80)
    assert run.inboxes.get("ann").seq_first_kept == 1
    run.shard.is_expiry_held = False
    for nonce in range(16):
        run.append("ann", nonce, server_at_ms=run.shard.now_ms)
    assert run.inboxes.get("ann").seq_first_kept == 1 + TRIM_ROWS


def test_young_updates_and_the_newest_stay() -> None:
    """Only what is due goes, and never the update that was just appended."""
    run = Sequencing()
    for nonce in range(200):
        run.append("ann", nonce)
    assert run.inboxes.get("ann").seq_first_kept == 1
    run = old_inbox(31)
    run.append("ann", 32)
    assert run.inboxes.get("ann") == Inbox(1, 33, 1)


def test_rows_that_a_trimmed_log_no_longer_restored_count_as_old() -> None:
    """A row that is gone does not stop the first kept number from moving."""
    run = old_inbox(79)
    for key in [key for key in run.shard.state.rows if key[:1] == QUEUE.byte]:
        del run.shard.state.rows[key]
    run.append("ann", 80)
    assert run.inboxes.get("ann").seq_first_kept == 1 + TRIM_ROWS


def test_what_is_no_append_of_this_shard_is_a_dead_letter() -> None:
    """Undecodable bytes, another record, no key, another key, another shard's account: no number is given."""
    run = Sequencing(number=shard_of("ann", 4), shards=4)
    good = append_record("ann")
    assert good.value is not None
    other = next(name for name in "abcdefgh" if shard_of(name, 4) != run.shard.number)
    bad = {
        "UNDECODABLE": [
            replace_value(good, None),
            replace_value(good, b"junk"),
            replace_value(good, good.value[:12]),
        ],
        "UNKNOWN_SCHEMA": [replace_value(good, b"\xc3\x01" + bytes(8) + good.value[10:])],
        "MISSING_KEY": [MemoryRecord(good.topic, key, good.value) for key in (None, b"bob", b"\xff")],
        "WRONG_PARTITION": [append_record(other)],
    }
    for code, records in bad.items():
        for record in records:
            run.shard.run(run.stage, record)
            assert run.shard.dead[-1].code == code
    assert not run.shard.outputs
    assert not run.shard.state.rows
