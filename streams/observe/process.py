"""What the process itself costs, and whether its event loop keeps time.

`Pulse` wakes up now and then and notes by how much it was late: whatever holds the loop up holds up the consumer's
heartbeat too. Tested in tests/observe/test_process.py.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import NamedTuple

import psutil

VERSION = version("lockstep-streams")
_BEAT_S = 0.5
_BEATS_KEPT = 20
"""Ten seconds."""


class Usage(NamedTuple):
    """What this process has used so far."""

    memory_bytes: int
    cpu_s: float
    started_at_s: float


class Process:
    """This process, as the operating system sees it."""

    def __init__(self) -> None:
        self._process = psutil.Process()

    def usage(self) -> Usage:
        """Ask the operating system: some tens of microseconds."""
        with self._process.oneshot():
            times = self._process.cpu_times()
            return Usage(
                self._process.memory_info().rss, times.user + times.system, self._process.create_time()
            )


class Pulse:
    """Measures by how much the event loop is late."""

    def __init__(
        self,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sleep = sleep
        self._now_s = now_s
        self._delays: deque[float] = deque(maxlen=_BEATS_KEPT)
        self._due_s: float | None = None

    @property
    def delay_s(self) -> float:
        """The worst delay of the last ten seconds, the beat that is due now among them."""
        overdue = 0.0 if self._due_s is None else self._now_s() - self._due_s
        return max(0.0, overdue, *self._delays)

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            self._due_s = self._now_s() + _BEAT_S
            await self._sleep(_BEAT_S)
            self._delays.append(self._now_s() - self._due_s)
