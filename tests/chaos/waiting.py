"""Polling with a deadline, for what other processes do; never sleeping for a time that was guessed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

POLL_SECONDS = 0.05


class NotInTime(AssertionError):
    """Something that had to happen did not, within a deadline that is generous on a busy machine."""


async def until(is_so: Callable[[], bool], what: str, seconds: float) -> None:
    """Return once it is so; raise NotInTime after that many seconds."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise NotInTime(f"not within {seconds:g} s: {what}")
        await asyncio.sleep(POLL_SECONDS)


async def until_answered(is_so: Callable[[], Awaitable[bool]], what: str, seconds: float) -> None:
    """Like `until`, for a question that has to be awaited."""
    deadline = time.monotonic() + seconds
    while not await is_so():
        if time.monotonic() > deadline:
            raise NotInTime(f"not within {seconds:g} s: {what}")
        await asyncio.sleep(POLL_SECONDS)
