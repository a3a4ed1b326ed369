"""Clocks around the parts of a worker: they count CPU time only, and the parts add up."""

from __future__ import annotations

import asyncio
from time import thread_time_ns
from types import SimpleNamespace

import pytest

from bench.contenders.stage_times import (
    CLOCKS,
    COUNTED,
    DELIVERY,
    EVERY,
    PREFIX,
    SEQUENCER,
    Running,
    costs_ns,
    timed_delivery,
    timed_stage,
)
from bench.jobs.trace import PARTS, _by_part

BUSY_NS = 20_000_000


def be_busy() -> None:
    """Use the processor for a while."""
    until = thread_time_ns() + BUSY_NS
    while thread_time_ns() < until:
        pass


def test_what_gets_a_clock_is_there() -> None:
    """A name that the product gave up would be found only when the job is run."""
    assert all(hasattr(owner, name) for owner, name, _ in CLOCKS)


async def test_a_clock_of_a_coroutine_stands_still_while_it_waits() -> None:
    """What others do meanwhile is not its cost; what it returns comes back."""

    async def work() -> str:
        be_busy()
        waiting: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(others, waiting)
        return await waiting

    def others(waiting: asyncio.Future[str]) -> None:
        be_busy()
        be_busy()
        waiting.set_result("done")

    COUNTED.clear()
    assert await Running(work(), "part") == "done"
    assert BUSY_NS <= COUNTED[PREFIX + "part"] < 2 * BUSY_NS


async def test_a_cancellation_reaches_the_coroutine() -> None:
    """A commit that takes too long is cancelled within it."""
    seen = []

    async def work() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def wrapped() -> None:
        await Running(work(), "part")

    task = asyncio.create_task(wrapped())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]


def test_delivery_is_not_counted_in_the_sequencer_too() -> None:
    """It runs within the sequencer's batches."""
    counted = {PREFIX + SEQUENCER: 100, PREFIX + DELIVERY: 60, "fanout.appends": 9}
    assert costs_ns(counted) == {SEQUENCER: 40, DELIVERY: 60}


def test_the_parts_and_the_rest_add_up_to_the_cpu_of_the_workers() -> None:
    """So that a reader may compare them."""
    counted = {PREFIX + part: 10_000_000 for part in PARTS}
    counted[PREFIX + SEQUENCER] += counted[PREFIX + DELIVERY]
    found = _by_part(counted, requests=1_000, cpu_s=0.1)
    assert sum(found.values()) == pytest.approx(0.1 / 1_000 * 1e6)
    assert found["rest_cpu_seconds_per_million"] == pytest.approx((0.1 - 0.06) / 1_000 * 1e6)


def test_a_batch_is_timed_under_the_name_of_its_stage() -> None:
    """What the input's own function returns comes back."""

    def run_input(*_: object) -> int:
        be_busy()
        return 7

    shard = SimpleNamespace(_stages={"ingest.requests": SimpleNamespace(name="ingest")})
    COUNTED.clear()
    assert timed_stage(run_input)(shard, SimpleNamespace(topic="ingest.requests"), 10) == 7
    assert COUNTED[PREFIX + "ingest"] >= BUSY_NS


def test_every_update_is_delivered_and_one_of_thirteen_is_timed() -> None:
    """The one counts for all."""
    delivered = []
    deliver = timed_delivery(lambda _, update: delivered.append(update))
    COUNTED.clear()
    for number in range(2 * EVERY):
        deliver(None, number)
    assert delivered == list(range(2 * EVERY))
    assert COUNTED[PREFIX + DELIVERY] % EVERY == 0
