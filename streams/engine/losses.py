"""Records that were trimmed before a shard read them: what is known of it, and what an operator has accepted.

A shard whose progress lies below a topic's log start stays closed. Accepting names the loss exactly (shard, topic,
progress and log start), so that what is trimmed later is a loss of its own. The worker that owns the shard, and nobody
else, then moves the progress, in its next unit, under its claim. An acceptance lives as long as the worker does: where
that ends before the unit, the loss is there again and has to be accepted again.
Tested in tests/engine/test_losses.py and, on Kafka, in tests/e2e/test_trimmed_topics.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import structlog

from streams.engine.shard import Shard
from streams.errors import LockstepError

log = structlog.get_logger("engine")


class NoSuchLoss(LockstepError):
    """No shard of this worker waits for a loss of just these offsets; ask again what is lost."""

    code = "NO_SUCH_LOSS"


class Loss(NamedTuple):
    """What a shard will never read of a topic: offsets `progress` to `log_start` - 1, control records among them."""

    shard: int
    topic: str
    progress: int
    log_start: int


class Losses:
    """The losses of one worker's shards."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, str], Loss] = {}
        self._accepted: set[Loss] = set()

    def all(self) -> list[Loss]:
        """Return what shards wait for, in order."""
        return sorted(self._found.values())

    def accept(self, loss: Loss) -> None:
        """Let the shard go on at the log's start when it is opened next; raises NoSuchLoss."""
        if self._found.get((loss.shard, loss.topic)) != loss:
            raise NoSuchLoss(f"{loss.topic} of shard {loss.shard} does not wait for that loss now")
        self._accepted.add(loss)

    def keep(self, shards: Collection[int]) -> None:
        """Forget the other shards: whoever has them now finds their losses."""
        self._found = {place: loss for place, loss in self._found.items() if loss.shard in shards}

    def settle(self, shard: Shard, log_starts: Mapping[str, int]) -> None:
        """Note down what a shard that is being opened has lost, and pass over what was accepted."""
        for topic, one in shard.inputs.items():
            self._found.pop((shard.number, topic), None)
            if one.is_new or one.next_offset >= log_starts[topic]:
                continue
            loss = Loss(shard.number, topic, one.next_offset, log_starts[topic])
            if loss in self._accepted:
                log.error("engine.loss_accepted", **loss._asdict())
                shard.accept_loss(topic, loss.log_start)
            else:
                self._found[shard.number, topic] = loss
