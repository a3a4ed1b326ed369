"""Writes a plan: set-up, a pause until it is processed, then the messages, at full speed or at a rate.

Tested in tests/client/test_plans.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from streams.client.plans import Plan, commands_of, with_repeats

if TYPE_CHECKING:
    from streams.client.requests import Request

_SHARE_EVERY = 64  # records between two looks at the clock, and turns for other tasks
_AHEAD_SECONDS_MIN = 0.002

OnProgress = Callable[[str, int, int | None], None]
"""Called with (phase, done, total or None)."""


class Sink(Protocol):
    """Where a feed's records go."""

    async def put_request(self, request: Request) -> None: ...
    async def put_command(self, fields: dict[str, Any]) -> None: ...


@dataclass
class FeedReport:
    """What was written. `requests` = setup_requests + messages + repeats."""

    requests: int = 0
    setup_requests: int = 0
    messages: int = 0
    repeats: int = 0
    endpoints: int = 0
    attached: int = 0
    commands: int = 0
    setup_seconds: float = 0.0
    message_seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Stable keys."""
        return asdict(self)


async def feed(
    plan: Plan,
    sink: Sink,
    *,
    flush: Callable[[], Awaitable[None]],
    settle: Callable[[], Awaitable[None]],
    run: str,
    seed: int = 0,
    repeats: float = 0.0,
    rate: float | None = None,
    on_progress: OnProgress = lambda _phase, _done, _total: None,
) -> FeedReport:
    """Write a whole plan and return what was written.

    flush: returns when what was put is durable. settle: returns when the pipeline has processed it.
    run: keeps the command ids of this feed apart from those of others. rate: requests a second (None: all it
    can).
    """
    report = FeedReport()
    begun = time.monotonic()
    await _put_setup(plan, sink, run, report, on_progress)
    await flush()
    await settle()
    report.setup_seconds = time.monotonic() - begun
    await feed_requests(
        plan.messages(),
        sink,
        report=report,
        total=plan.messages_total,
        seed=seed,
        repeats=repeats,
        rate=rate,
        on_progress=on_progress,
    )
    await flush()
    report.message_seconds = time.monotonic() - begun - report.setup_seconds
    return report


async def feed_requests(
    requests: Iterable[Request],
    sink: Sink,
    *,
    report: FeedReport,
    total: int | None = None,
    seed: int = 0,
    repeats: float = 0.0,
    rate: float | None = None,
    on_progress: OnProgress = lambda _phase, _done, _total: None,
) -> None:
    """Write requests, with repeats among them, and count them in the report."""
    pace = _Pace(rate)
    for request, is_repeat in with_repeats(requests, repeats, seed):
        await sink.put_request(request)
        report.requests += 1
        report.repeats += is_repeat
        report.messages += not is_repeat
        await pace.step()
        if report.messages % _SHARE_EVERY == 0:
            on_progress("messages", report.messages, total)
    on_progress("messages", report.messages, total)


async def _put_setup(plan: Plan, sink: Sink, run: str, report: FeedReport, on_progress: OnProgress) -> None:
    pace = _Pace(None)
    for endpoint in plan.endpoints():
        for command in commands_of(endpoint, run):
            await sink.put_command(command)
            report.commands += 1
        report.endpoints += 1
        report.attached += endpoint.is_attached
        on_progress("set-up", report.endpoints + report.setup_requests, None)
        await pace.step()
    for request in plan.setup():
        await sink.put_request(request)
        report.setup_requests += 1
        report.requests += 1
        on_progress("set-up", report.endpoints + report.setup_requests, None)
        await pace.step()


class _Pace:
    """Holds a loop to a rate, and lets other tasks run when there is none."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._begun = time.monotonic()
        self._steps = 0

    async def step(self) -> None:
        self._steps += 1
        if self._rate is None:
            if self._steps % _SHARE_EVERY == 0:
                await asyncio.sleep(0)
            return
        ahead = self._steps / self._rate - (time.monotonic() - self._begun)
        if ahead > _AHEAD_SECONDS_MIN:
            await asyncio.sleep(ahead)
