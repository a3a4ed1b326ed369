"""Where inboxes stand, their queues, and how a lost queue is rebuilt (streams/tables/inboxes.py)."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streams.adapters.memory import MemoryRecord, MemoryState
from streams.tables import QUEUE
from streams.tables.inboxes import NEW, Inbox, InboxesTable, QueueRestorer
from tests.fixtures.pipeline import CODEC, Pipeline
from tests.schemas.values import values_of

UPDATE = CODEC["InboxUpdate"]


def test_an_inbox_that_never_got_anything_begins_at_one() -> None:
    """Epoch 1, next number 1, head 0."""
    assert InboxesTable(MemoryState()).get("ann") == NEW == Inbox(1, 1, 1)
    assert NEW.head == 0
    assert NEW.appended().appended().trimmed(1) == Inbox(1, 3, 2)


def test_a_row_of_another_epoch_is_no_row() -> None:
    """A number is only good inside its epoch."""
    table = InboxesTable(MemoryState())
    table.append("ann", 1, 5, b"old")
    assert table.update("ann", 1, 5) == b"old"
    assert table.update("ann", 2, 5) is None
    assert table.update("ann", 1, 6) is None


def test_accounts_whose_names_begin_alike_share_no_row() -> None:
    """Forgetting the rows of one account leaves those of an account whose name continues it."""
    table = InboxesTable(MemoryState())
    table.append("a", 1, 1, b"a1")
    table.append("ab", 1, 1, b"ab1")
    table.forget_before("a", 100)
    assert table.update("a", 1, 1) is None
    assert table.update("ab", 1, 1) == b"ab1"


def queue_rows(state: MemoryState) -> dict[bytes, bytes]:
    return {key: value for key, value in state.rows.items() if key[:1] == QUEUE.byte}


def updates_of(pipeline: Pipeline) -> list[MemoryRecord]:
    outputs = pipeline.shards[0].shard.outputs
    return [MemoryRecord(one.topic, one.key, one.value) for one in outputs if one.topic == "inbox.updates"]


def test_a_restored_queue_is_the_one_that_was_lost() -> None:
    """Rows from inbox.updates equal those that the sequencer wrote; restoring twice changes nothing."""
    pipeline = Pipeline()
    for _ in range(5):
        pipeline.send("t", "ann", recipients=["bob"])
    restored = MemoryState()
    for _ in range(2):
        QueueRestorer(CODEC).restore(updates_of(pipeline), restored)
        assert queue_rows(restored) == queue_rows(pipeline.shards[0].shard.state)


def test_a_restore_leaves_out_what_was_trimmed() -> None:
    """Rows below the first kept seq stay out, those of other accounts come in."""
    pipeline = Pipeline()
    for _ in range(5):
        pipeline.send("t", "ann", recipients=["bob"])
    restored = MemoryState()
    table = InboxesTable(restored)
    table.put("bob", Inbox(1, 6, 4))
    QueueRestorer(CODEC).restore(updates_of(pipeline), restored)
    assert [table.update("bob", 1, seq) is not None for seq in range(1, 6)] == [False] * 3 + [True] * 2
    assert all(table.update("ann", 1, seq) for seq in range(1, 6))


@given(values_of(UPDATE.schema), st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_an_update_of_any_shape_is_restored_as_the_codec_reads_it(
    fields: dict[str, Any], epoch: int, seq: int
) -> None:
    """Long ids and big numbers, read by hand or by the codec: the same row."""
    value = UPDATE.encode({**fields, "epoch": epoch, "seq": seq})
    head, token_and_tail = UPDATE.split("token").read(value)
    expected, restored = MemoryState(), MemoryState()
    InboxesTable(expected).append(head["account_id"], epoch, seq, token_and_tail)
    QueueRestorer(CODEC).restore([MemoryRecord("inbox.updates", b"key", value)], restored)
    assert restored.rows == expected.rows
