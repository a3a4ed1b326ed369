"""Pauses between attempts (streams/split_store/retry.py)."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import BrokerUnavailable, StoreError
from streams.split_store.retry import FIRST_S, MAX_S, Retry, pause_s
from streams.store_ports import StoreTimedOut, StoreUnavailable

CHANCE = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 100_000), CHANCE, CHANCE)
def test_a_pause_grows_with_each_failure_up_to_a_cap(
    failures: int, chance: float, next_chance: float
) -> None:
    """W8: whatever the jitter, no pause is shorter than the one before, until the cap; none is longer."""
    now, later = pause_s(failures, chance), pause_s(failures + 1, next_chance)
    assert FIRST_S / 2 <= now <= MAX_S
    assert later >= now or later >= MAX_S / 2


@given(st.integers(1, 50), CHANCE, CHANCE)
def test_a_pause_is_jittered(failures: int, one: float, other: float) -> None:
    """W8: two workers that failed together do not come back together, unless chance is the same."""
    is_shorter = (1 + one) / 2 < (1 + other) / 2
    assert (pause_s(failures, one) < pause_s(failures, other)) == is_shorter


class Failing:
    """An attempt that fails so often."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    async def __call__(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def retrying(pauses: list[float]) -> Retry:
    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    return Retry(sleep=sleep, chance=lambda: 0.5)


async def test_failures_are_counted_and_forgotten_on_success() -> None:
    """W8: after a success the first pause is short again."""
    pauses: list[float] = []
    retry = retrying(pauses)
    failing = Failing(StoreUnavailable("x"), StoreTimedOut("y"), BrokerUnavailable("z"))
    assert await retry.until_done(failing) == "done"
    assert (retry.failures, retry.problem, retry.attempts_failed) == (0, None, 3)
    long_ago = sum(pauses)
    pauses.clear()
    await retry.until_done(Failing(StoreUnavailable("again")))
    assert pauses == [pause_s(1, 0.5)]
    assert sum(pauses) < long_ago


async def test_what_no_retry_mends_is_raised_at_once() -> None:
    """A damaged store stops its partition; it is not asked again and again."""
    pauses: list[float] = []
    with pytest.raises(StoreError):
        await retrying(pauses).until_done(Failing(StoreError("damaged")))
    assert pauses == []


async def test_a_call_that_never_ends_counts_as_timed_out() -> None:
    """A store that hangs is asked again."""
    attempts = 0

    async def hang_once() -> int:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            await asyncio.Event().wait()
        return attempts

    async def sleep(_seconds: float) -> None:
        return

    assert await Retry(sleep=sleep, chance=lambda: 0, call_s_max=0.01).until_done(hang_once) == 2


async def test_a_nudge_ends_a_long_pause_but_not_the_shortest() -> None:
    """Readers make the next attempt come soon, and no more often than every FIRST_S."""
    entered = asyncio.Event()
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if seconds != FIRST_S:
            entered.set()
            await asyncio.Event().wait()

    retry = Retry(sleep=sleep, chance=lambda: 0.5)
    retry.failures = 20
    task = asyncio.create_task(retry.until_done(Failing(StoreUnavailable("x"))))
    async with asyncio.timeout(10):
        await entered.wait()
        retry.nudge()
        assert await task == "done"
    assert pauses == [FIRST_S, pause_s(21, 0.5) - FIRST_S]
