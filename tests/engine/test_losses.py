"""A shard goes on over records that nobody read only when an operator accepted just that loss."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.engine.losses import Loss, Losses, NoSuchLoss
from streams.engine.shard import Shard, parse_progress, progress_key
from streams.errors import TrimmedBelowProgress
from tests.engine.test_shard import TOPIC, commit, new_shard, record

ID = "0" * 32
LOSS = Loss(0, TOPIC, 8, 10)


def opened(folder: Path, losses: Losses, log_start: int) -> Shard:
    """The shard as an opening leaves it; raises TrimmedBelowProgress."""
    shard, _ = new_shard(folder)
    try:
        losses.settle(shard, {TOPIC: log_start})
        shard.begin_input(TOPIC, log_start, 50, ID)
    except BaseException:
        shard.store.close()
        raise
    return shard


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store whose shard has read up to 8."""
    shard = opened(tmp_path, Losses(), 7)
    shard.take(TOPIC, 7, [record(7)])
    shard.run(100, lambda: False)
    commit(shard)
    shard.store.close()
    return tmp_path


def test_what_was_lost_is_told_and_passed_over_once_it_is_accepted(folder: Path) -> None:
    """The next unit writes the new progress down, though no record came; then nothing is lost any more."""
    losses = Losses()
    with pytest.raises(TrimmedBelowProgress, match="accept-loss"):
        opened(folder, losses, 10)
    assert losses.all() == [LOSS]
    losses.accept(LOSS)
    shard = opened(folder, losses, 10)
    assert losses.all() == []
    assert shard.inputs[TOPIC].fetched_to == 10
    assert shard.has_unit
    commit(shard)
    row = shard.store.get(progress_key(TOPIC))
    assert row is not None
    assert parse_progress(row)[0] == 10
    shard.store.close()
    again = opened(folder, Losses(), 10)
    assert not again.has_unit
    again.store.close()


def test_what_is_trimmed_after_the_acceptance_is_a_loss_of_its_own(folder: Path) -> None:
    losses = Losses()
    with pytest.raises(TrimmedBelowProgress):
        opened(folder, losses, 10)
    losses.accept(LOSS)
    with pytest.raises(TrimmedBelowProgress):
        opened(folder, losses, 12)
    assert losses.all() == [LOSS._replace(log_start=12)]


@pytest.mark.parametrize(
    "other",
    [
        LOSS._replace(shard=1),
        LOSS._replace(topic="x"),
        LOSS._replace(progress=7),
        LOSS._replace(log_start=11),
    ],
)
def test_a_loss_that_is_not_there_cannot_be_accepted(folder: Path, other: Loss) -> None:
    """Nothing is given up beforehand, nor on the word of another moment."""
    losses = Losses()
    with pytest.raises(NoSuchLoss):
        losses.accept(LOSS)
    with pytest.raises(TrimmedBelowProgress):
        opened(folder, losses, 10)
    with pytest.raises(NoSuchLoss):
        losses.accept(other)


def test_losses_of_a_shard_that_went_away_are_forgotten(folder: Path) -> None:
    losses = Losses()
    with pytest.raises(TrimmedBelowProgress):
        opened(folder, losses, 10)
    losses.keep({1})
    assert losses.all() == []
