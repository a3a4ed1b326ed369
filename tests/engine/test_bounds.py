"""Nothing that a worker awaits while it recovers can hold it up for ever."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from streams.connection import Connection
from streams.engine import openings, producer, stuck
from streams.engine.openings import Openings
from streams.engine.producer import CommitInDoubt, TransactionalProducer, fence
from streams.engine.settings import ShardStatus
from streams.engine.stuck import drop_in_time
from streams.errors import WorkerStuck

SECONDS_MAX = 10
A_MOMENT_S = 0.01


async def for_ever() -> None:
    await asyncio.Event().wait()


class Hanging:
    """A client of aiokafka that waits for something that never comes."""

    def __init__(self, **_: object) -> None:
        self.client = SimpleNamespace(close=self._close)
        self.is_closed = False

    async def start(self) -> None:
        await for_ever()

    async def stop(self) -> None:
        await for_ever()

    async def begin_transaction(self) -> None:
        await for_ever()

    async def _close(self) -> None:
        self.is_closed = True


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds of a moment, so that no test waits for one."""
    monkeypatch.setattr(producer, "AIOKafkaProducer", Hanging)
    monkeypatch.setattr(producer, "_START_SECONDS_MAX", A_MOMENT_S)
    monkeypatch.setattr(producer, "_CLOSE_SECONDS_MAX", A_MOMENT_S)
    monkeypatch.setattr(openings, "STALL_SECONDS_MAX", A_MOMENT_S)
    monkeypatch.setattr(stuck, "DROP_SECONDS_MAX", A_MOMENT_S)


async def test_a_commit_without_an_outcome_is_in_doubt() -> None:
    """And so ends the transactional id, which the log decides."""
    async with asyncio.timeout(SECONDS_MAX):
        with pytest.raises(CommitInDoubt, match="no outcome within"):
            await TransactionalProducer(Connection(bootstrap="127.0.0.1:1"), "me", timeout_ms=10).commit([])


async def test_a_start_and_a_fence_end_by_themselves_and_close_what_they_opened() -> None:
    """With an error that those who call them try again for."""
    started = TransactionalProducer(Connection(bootstrap="127.0.0.1:1"), "me", timeout_ms=10)
    async with asyncio.timeout(SECONDS_MAX):
        with pytest.raises(TimeoutError):
            await started.start()
        await started.close()
        with pytest.raises(TimeoutError):
            await fence(Connection(bootstrap="127.0.0.1:1"), "rival", timeout_ms=10)
    inner: Any = started._producer
    assert inner.is_closed


async def test_shards_that_cannot_be_dropped_end_the_worker_by_name() -> None:
    async with asyncio.timeout(SECONDS_MAX):
        with pytest.raises(WorkerStuck, match="could not be dropped"):
            await drop_in_time(for_ever())


async def test_an_opening_that_reads_nothing_for_long_is_ended() -> None:
    """One that reads on, however slowly, is not."""
    ended = []

    async def hang(_number: int, _owner: str) -> None:
        try:
            await for_ever()
        finally:
            ended.append("opening")

    async def read_slowly(number: int, _owner: str) -> str:
        over_at = time.monotonic() + 5 * A_MOMENT_S
        while time.monotonic() < over_at:
            status[number].rows_read += 1
            await asyncio.sleep(0)
        return "a shard"

    status = {1: ShardStatus()}
    async with asyncio.timeout(SECONDS_MAX):
        stalled: Any = SimpleNamespace(_status=status, _try_open=hang)
        with pytest.raises(TimeoutError, match="nothing was read"):
            await Openings._try_open_unless_stalled(stalled, 1, "me")
        assert ended == ["opening"]
        slow: Any = SimpleNamespace(_status=status, _try_open=read_slowly)
        found: Any = await Openings._try_open_unless_stalled(slow, 1, "me")
        assert found == "a shard"
