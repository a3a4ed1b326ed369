"""UpdateBatch records, put together from updates that are encoded already.

An Avro array is a count, its items one after the other, and a zero: so a batch is made without decoding what
was just customised. Guarantees that a batch holds at most REPLAY_BATCH_UPDATES updates and, unless it holds
one only, at most REPLAY_BATCH_BYTES of them. Tested in tests/replay/test_batches.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from streams.codec.primitives import long
from streams.limits import REPLAY_BATCH_BYTES, REPLAY_BATCH_UPDATES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from streams.codec import Codec


class Batch(NamedTuple):
    """A run of framed EndpointUpdates in order, the first of them number `seq_first`."""

    seq_first: int
    updates: Sequence[bytes]

    @property
    def seq(self) -> int:
        """The last number."""
        return self.seq_first + len(self.updates) - 1

    def halves(self) -> tuple[Batch, Batch]:
        """Return the same run in two."""
        middle = len(self.updates) // 2
        return (
            Batch(self.seq_first, self.updates[:middle]),
            Batch(self.seq_first + middle, self.updates[middle:]),
        )


def cut(seq_first: int, updates: Iterable[bytes]) -> Iterator[Batch]:
    """Yield a run of updates in batches that keep the limits; takes an update only when it is needed."""
    held: list[bytes] = []
    size = 0
    for update in updates:
        if held and (len(held) == REPLAY_BATCH_UPDATES or size + len(update) > REPLAY_BATCH_BYTES):
            yield Batch(seq_first, held)
            seq_first += len(held)
            held, size = [], 0
        held.append(update)
        size += len(update)
    if held:
        yield Batch(seq_first, held)


class BatchWriter:
    """Encodes batches; pure, safe to share."""

    def __init__(self, codec: Codec) -> None:
        self._head = codec["UpdateBatch"].split("updates")
        self._rest = codec["UpdateBatch"].split("has_more")
        self._frame_bytes = len(codec["EndpointUpdate"].frame)

    def encode(
        self, batch: Batch, *, has_more: bool, account_id: str, endpoint_id: str, epoch: int, command_id: str
    ) -> bytes:
        """Return the framed UpdateBatch."""
        rest = {
            "has_more": has_more,
            "account_id": account_id,
            "endpoint_id": endpoint_id,
            "epoch": epoch,
            "command_id": command_id,
        }
        items = (update[self._frame_bytes :] for update in batch.updates)
        updates = long(len(batch.updates)) + b"".join(items) + long(0)
        head = {"seq_first": batch.seq_first, "seq": batch.seq}
        return self._head.write(head, updates + self._rest.encode_tail(rest))
