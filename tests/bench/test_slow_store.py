"""A slow store writes late and nothing else; how far it is behind is counted in messages."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from bench.contenders import altered_worker
from bench.contenders.slow_stores import SlowBodyStore, SlowMetadataStore, Switch
from bench.jobs.slow_store import WRITE_SECONDS, Behind, LockstepStored, behind
from streams.split_store.retry import CALL_S_MAX

DELAY_SECONDS = 0.3
FOR_EVER_SECONDS = 60.0


@pytest.fixture
def switch(tmp_path: Path) -> Switch:
    return Switch(tmp_path / "store-is-slow")


@pytest.mark.parametrize("kind", [SlowMetadataStore, SlowBodyStore])
async def test_a_write_is_made_after_its_delay_and_at_once_without_one(
    kind: type[SlowMetadataStore | SlowBodyStore], tmp_path: Path, switch: Switch
) -> None:
    """What was written before is read meanwhile: only writes are late."""
    store = kind(tmp_path / "store", switch)
    await store.commit(0, [], 1)
    switch.turn_on(DELAY_SECONDS)
    began_s = time.monotonic()
    writing = asyncio.create_task(store.commit(0, [], 2))
    await asyncio.sleep(0)
    assert await store.pointer(0) == 1
    await writing
    assert time.monotonic() - began_s >= DELAY_SECONDS
    assert await store.pointer(0) == 2
    await store.close()


async def test_a_store_that_is_quick_again_finishes_the_writes_under_way(switch: Switch) -> None:
    """The time to catch up must not hold the rest of a delay."""
    switch.turn_on(FOR_EVER_SECONDS)
    waiting = asyncio.create_task(switch.wait())
    await asyncio.sleep(0)
    switch.turn_off()
    await asyncio.wait_for(waiting, FOR_EVER_SECONDS / 10)


def test_a_slow_write_is_below_the_stores_time_out() -> None:
    """Otherwise the job would measure a store that is down."""
    assert WRITE_SECONDS < CALL_S_MAX


def test_the_backlog_is_what_was_admitted_and_is_not_written() -> None:
    """By the counters of both apps together."""
    assert behind({"fanout.admitted": 10, "rows": 7, "bodies": 4}) == Behind(3, 6)
    assert not any(behind({"fanout.admitted": 2, "rows": 2, "bodies": 2}))


def test_the_contender_asks_for_an_alteration_that_there_is(tmp_path: Path) -> None:
    """A name that the altered worker does not know would be seen only in its log."""
    contender = LockstepStored()
    contender.folder = tmp_path
    name, _, switch = contender.alteration().partition("=")
    assert name in altered_worker.ALTERATIONS
    assert Path(switch).parent == tmp_path
