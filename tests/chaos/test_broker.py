"""The broker dies under load and comes back on the same folder; workers wait, go on, and say nothing twice."""

from __future__ import annotations

import asyncio

import pytest

from tests.chaos.actions import kill_broker
from tests.chaos.harness import Harness

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
]


async def test_workers_outlive_the_broker(ready: Harness) -> None:
    """No worker process ends; commits whose outcome is unknown are decided by the fence."""
    lives = [worker.lives for worker in ready.workers]
    await kill_broker(ready)
    await ready.answered()
    await ready.judged()
    assert all(worker.is_alive for worker in ready.usual)
    assert [worker.lives for worker in ready.workers] == lives


async def test_a_worker_that_starts_while_the_broker_is_away_serves_once_it_is_back(ready: Harness) -> None:
    """Its first connection fails; it waits with a growing back-off."""
    victim = ready.usual[0]
    ready.broker.kill()
    victim.kill()
    victim.start()
    ready.broker.start()
    await ready.recovered()
    await ready.answered()
    await ready.judged()


async def test_workers_outlive_a_broker_that_dies_again_and_again(ready: Harness) -> None:
    """Nobody waits in between, a worker dies with it, another stands still over it: all are back by themselves."""
    killed, suspended = ready.usual
    lives = suspended.lives
    await kill_broker(ready)
    ready.broker.kill()
    killed.kill()
    killed.start()
    await asyncio.to_thread(ready.broker.start)
    suspended.suspend()
    try:
        await kill_broker(ready)
    finally:
        suspended.resume()
    await ready.serving()
    await ready.answered()
    await ready.judged()
    assert all(worker.is_alive for worker in ready.usual)
    assert suspended.lives == lives
