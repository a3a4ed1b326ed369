"""What a process costs, and whether its loop keeps time (streams/observe/process.py)."""

from __future__ import annotations

import asyncio
import time

import pytest

from streams.observe.process import Process, Pulse


def test_a_process_knows_what_it_has_used() -> None:
    """Memory in bytes, processor time in seconds, the start as an instant."""
    usage = Process().usage()
    assert usage.memory_bytes > 1_000_000
    assert 0 < usage.cpu_s < 86_400
    assert 0 <= time.time() - usage.started_at_s < 86_400


async def test_a_loop_that_is_late_shows_while_it_is_late_and_for_a_while_after() -> None:
    """The delay is the worst of the last beats, the one that is due now among them."""
    now, seen = 0.0, []

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds + 2.0
        seen.append(pulse.delay_s)
        if len(seen) == 2:
            raise asyncio.CancelledError

    pulse = Pulse(sleep, lambda: now)
    with pytest.raises(asyncio.CancelledError):
        await pulse.run()
    assert seen == [2.0, 2.0]
    assert pulse.delay_s == 2.0
