"""UpdateBatch records made of encoded updates (streams/replay/batches.py)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.limits import REPLAY_BATCH_BYTES, REPLAY_BATCH_UPDATES
from streams.replay.batches import Batch, BatchWriter, cut
from streams.tables.endpoints import Parameters
from tests.fixtures.pipeline import CODEC, CUSTOMISER, append_record, canonical


def framed(seq: int) -> bytes:
    record = append_record("bob", nonce=seq)
    assert record.value is not None
    _, tail = CODEC["InboxAppend"].split("message_id").read(record.value)
    return CUSTOMISER.customise("phone", Parameters(), canonical("bob", 1, seq, tail)).value


def test_a_batch_reads_as_avro_wrote_it() -> None:
    """The bytes equal those of the schema-driven writer, and the updates those that were put in."""
    updates = [framed(seq) for seq in range(5, 8)]
    value = BatchWriter(CODEC).encode(
        Batch(5, updates), has_more=True, account_id="bob", endpoint_id="phone", epoch=1, command_id="c"
    )
    fields = CODEC.decode_as("UpdateBatch", value)
    assert CODEC["UpdateBatch"].encode(fields) == value
    assert fields["updates"] == [CODEC.decode_as("EndpointUpdate", one) for one in updates]
    names = ("seq_first", "seq", "has_more", "account_id", "endpoint_id", "epoch", "command_id")
    assert [fields[name] for name in names] == [5, 7, True, "bob", "phone", 1, "c"]


@given(st.lists(st.sampled_from([1, 4_000, REPLAY_BATCH_BYTES // 2, 2 * REPLAY_BATCH_BYTES]), max_size=400))
def test_batches_keep_order_and_limits(sizes: list[int]) -> None:
    """Q6: no update is lost or moved; a batch is bounded in updates, and in bytes if it holds two."""
    filler = bytes(REPLAY_BATCH_BYTES * 2)
    updates = [memoryview(filler)[:size] for size in sizes]
    batches = list(cut(11, updates))  # type: ignore[arg-type]  # views have the length of bytes without their cost
    assert [one for batch in batches for one in batch.updates] == updates
    seq = 11
    for batch in batches:
        assert batch.seq_first == seq
        seq = batch.seq + 1
        assert 1 <= len(batch.updates) <= REPLAY_BATCH_UPDATES
        assert len(batch.updates) == 1 or sum(map(len, batch.updates)) <= REPLAY_BATCH_BYTES


def test_halves_are_the_same_run() -> None:
    """Order and numbers stay."""
    first, second = Batch(5, [b"a", b"b", b"c"]).halves()
    assert (first, second) == (Batch(5, [b"a"]), Batch(6, [b"b", b"c"]))
    assert second.seq == 7
