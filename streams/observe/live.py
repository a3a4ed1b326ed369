"""What the live page shows: one worker's figures as JSON, and the files of the page itself.

The page asks for it each second and makes rates of the differences; nothing is averaged here. `others` are the other
workers of the same `lockstep up` (streams/observe/peers.py); a worker that runs on its own shows itself.
Tested in tests/observe/test_live.py and, in a browser, tests/observe/test_page.py.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, NamedTuple

from streams.observe.process import VERSION
from streams.observe.worker import View


class PageFile(NamedTuple):
    """One file of the page."""

    content: str
    content_type: str


_TYPES = {"index.html": "text/html", "live.css": "text/css", "live.js": "text/javascript"}

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""The page runs its own script and asks its own worker, and nothing else, whatever a record may hold."""


@dataclass(frozen=True, slots=True)
class StageShown:
    """A stage as the picture draws it."""

    name: str
    app: str
    reads: Sequence[str]
    writes: Sequence[str]


def page_files() -> dict[str, PageFile]:
    """Return the page's files by name; read from the package once, at the start."""
    folder = resources.files("streams.observe") / "page"
    return {name: PageFile((folder / name).read_text("utf-8"), kind) for name, kind in _TYPES.items()}


def live(view: View) -> dict[str, Any]:
    """Return a worker's figures; keys are stable. Counters count from the start of the process."""
    usage = view.process.usage()
    shown: dict[str, Any] = {
        "worker": view.worker,
        "app": view.app,
        "pid": os.getpid(),
        "version": VERSION,
        "at_ms": int(time.time() * 1_000),
        "clock_s": time.monotonic(),
        "started_at_ms": int(usage.started_at_s * 1_000),
        "memory_bytes": usage.memory_bytes,
        "cpu_s": usage.cpu_s,
        "loop_delay_s": view.pulse.delay_s,
        "broker": view.broker(),
        "has_joined": view.has_joined(),
        "counters": dict(view.counters()),
        "shards": list(view.shards()),
        "standbys": list(view.standbys()),
    }
    units = view.units
    if units is not None:
        shown |= {
            "records_in": dict(units.records_in),
            "records_out": dict(units.records_out),
            "unit_records": units.sizes.shown(),
            "unit_seconds": {phase: one.shown() for phase, one in units.seconds.items()},
            "latency": units.latency.shown(),
            "dead_letters": list(reversed(units.dead_letters)),
        }
    return shown


def whole(
    own: Mapping[str, Any],
    others: Sequence[Mapping[str, Any]],
    stages: Sequence[StageShown],
    shards: int | None,
) -> dict[str, Any]:
    """Return what the page asks for; `shards`: how many each app has, None where only this worker is known."""
    return {
        "own": dict(own),
        "others": list(others),
        "stages": [
            {"name": one.name, "app": one.app, "reads": list(one.reads), "writes": list(one.writes)}
            for one in stages
        ],
        "shards": shards,
    }
