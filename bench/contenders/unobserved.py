"""Switches off, in this process, all that a worker does only to be watched.

That is: the observer of committed units, the tuple that each input leaves for it, the counters of the stages, and the
pulse of the event loop. The engine's own few counters stay: it works by them. Only before a worker is wired, and only
in a worker of the bench. Tested in tests/bench/test_observing.py.
"""

from __future__ import annotations

import asyncio
from typing import Any

from streams.engine import shard
from streams.observe.process import Pulse
from streams.observe.units import Units


def switch_off() -> None:
    """Do it."""
    for owner, name, instead in INSTEAD:
        setattr(owner, name, instead)


def _nothing(*_: Any) -> None:
    """In place of whatever only observes."""


async def _rest(_: Pulse) -> None:
    """In place of the pulse, which runs until it is cancelled."""
    await asyncio.Event().wait()


INSTEAD: tuple[tuple[Any, str, Any], ...] = (
    (Units, "done", _nothing),
    (shard, "Served", _nothing),
    (shard.Shard, "count", _nothing),
    (Pulse, "run", _rest),
)
"""Owner, name, what takes its place."""
