"""Doing one thing until it is done, with pauses that grow, are capped, jittered, and reset on success (W8).

Each half of each partition has a `Retry` of its own, so one that fails delays no other. Only what a retry
can mend is retried: a store or the broker that does not answer, or not in time. Everything else is
raised. Tested in tests/split_store/test_retry.py.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from streams.errors import BrokerUnavailable
from streams.store_ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

FIRST_S: Final = 0.1
"""The longest first pause; also the shortest time between two attempts that readers ask for."""
MAX_S: Final = 30.0
"""The longest pause: what an operator waits at most after mending a store that nobody reads from."""
CALL_S_MAX: Final = 10.0
"""A call that takes longer counts as timed out: it may have been applied."""
_DOUBLINGS_MAX: Final = 30


def pause_s(failures: int, chance: float) -> float:
    """Seconds to wait after so many failures in a row (from 1), chance in [0, 1).

    Between half and the whole of a ceiling that doubles up to MAX_S: never shorter than the pause before.
    """
    ceiling = min(MAX_S, FIRST_S * 2.0 ** min(failures - 1, _DOUBLINGS_MAX))
    return ceiling * (1 + chance) / 2


def _nothing() -> None:
    """Nobody listens."""


class Retry:
    """Runs attempts until one succeeds; `failures` and `problem` tell how the present one goes."""

    def __init__(
        self,
        *,
        sleep: Callable[[float], Awaitable[None]],
        chance: Callable[[], float],
        call_s_max: float = CALL_S_MAX,
    ) -> None:
        self._sleep = sleep
        self._chance = chance
        self._call_s_max = call_s_max
        self._nudged = asyncio.Event()
        self.failures = 0
        self.attempts_failed = 0
        """Failures since the beginning; never reset."""
        self.problem: str | None = None
        self.on_failure: Callable[[], None] = _nothing

    async def until_done(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return what `attempt` returns, once it does; it must be harmless to make twice."""
        while True:
            try:
                async with asyncio.timeout(self._call_s_max):
                    result = await attempt()
            except (StoreUnavailable, BrokerUnavailable, TimeoutError) as error:
                self.failures += 1
                self.attempts_failed += 1
                self.problem = str(error) or type(error).__name__
                self.on_failure()
            else:
                self.failures, self.problem = 0, None
                return result
            await self._pause(pause_s(self.failures, self._chance()))

    def nudge(self) -> None:
        """Somebody waits: make the next attempt soon, whatever the pause."""
        self._nudged.set()

    async def _pause(self, seconds: float) -> None:
        self._nudged.clear()
        await self._sleep(min(seconds, FIRST_S))
        if seconds <= FIRST_S or self._nudged.is_set():
            return
        rest = asyncio.ensure_future(self._sleep(seconds - FIRST_S))
        nudge = asyncio.ensure_future(self._nudged.wait())
        try:
            await asyncio.wait((rest, nudge), return_when=asyncio.FIRST_COMPLETED)
        finally:
            rest.cancel()
            nudge.cancel()
