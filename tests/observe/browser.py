"""A browser for tests of the live page, and a worker that says what a test wants.

Any Chromium that is at hand will do; where there is none, the tests that want it are skipped by name.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Page, async_playwright, expect

from streams.observe.live import HEADERS, page_files
from streams.observe.metrics import LATENCY, UNIT_RECORDS, UNIT_SECONDS

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)
STAGES = [
    ("ingest", "pipeline", ["ingest.requests", "ingest.refusals"], ["thread.operations", "ingest.results"]),
    ("fanout", "pipeline", ["thread.operations"], ["thread.messages", "inbox.appends", "ingest.refusals"]),
    ("sequencer", "pipeline", ["inbox.appends"], ["inbox.updates"]),
    ("delivery", "pipeline", [], ["delivery.mobile", "delivery.web"]),
    ("replay", "pipeline", ["endpoint.commands"], ["replay.updates"]),
    ("split_store", "store", ["thread.messages"], []),
]


def chromium() -> str:
    """Where a Chromium is; skips the test where there is none."""
    named = os.environ.get("LOCKSTEP_CHROMIUM")
    found = named or next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(
            "no Chromium is here, so the live page was not looked at: install one (Debian: chromium), or set "
            "LOCKSTEP_CHROMIUM to its path"
        )
    return found


expect.set_options(timeout=20_000)  # a busy machine


class Worker:
    """Says what a test wants, at an address that stays the same over its deaths."""

    def __init__(self) -> None:
        self.began_at = time.monotonic()
        self.rate = 50.0
        """Requests a second; twice as many updates."""
        self.own: dict[str, Any] = {}
        """Changes to the figures of the worker that is asked."""
        self.others: list[dict[str, Any]] = []
        self.shards: int | None = None
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/live/"

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/lockstep/live", self._figures)
        app.router.add_get("/live/", self._file)
        app.router.add_get("/live/{name}", self._file)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _file(self, request: web.Request) -> web.Response:
        page = page_files()[request.match_info.get("name", "index.html")]
        return web.Response(text=page.content, content_type=page.content_type, headers=HEADERS)

    async def _figures(self, _: web.Request) -> web.Response:
        stages = [
            {"name": name, "app": app, "reads": reads, "writes": writes}
            for name, app, reads, writes in STAGES
        ]
        found = {"own": self.figures(), "others": self.others, "stages": stages, "shards": self.shards}
        return web.json_response(found)

    def figures(self, **changes: Any) -> dict[str, Any]:
        """What a worker of the pipeline says of itself, as streams/observe/live.py makes it."""
        clock_s = time.monotonic()
        passed_s = clock_s - self.began_at
        requests = int(passed_s * self.rate)
        written = dict.fromkeys(("thread.operations", "ingest.results", "thread.messages"), requests)
        written |= dict.fromkeys(("inbox.appends", "inbox.updates", "delivery.mobile"), 2 * requests)
        counts = [0] * (len(LATENCY.bounds) + 1)
        counts[3:7] = [requests, 4 * requests, 2 * requests, requests // 10]
        shown = {
            "worker": "worker-0",
            "app": "pipeline",
            "pid": 4711,
            "version": "0.1.0",
            "broker": "up",
            "at_ms": int(time.time() * 1_000),
            "clock_s": clock_s,
            "has_joined": True,
            "cpu_s": passed_s / 3,
            "started_at_ms": int(time.time() * 1_000 - 90_000) // 100_000 * 100_000,
            "memory_bytes": 120 << 20,
            "loop_delay_s": 0.004,
            "dead_letters": [],
            "counters": {"engine.units": int(passed_s * 12), "engine.dead_letters": 0},
            "shards": [self.shard(number) for number in range(4)],
            "standbys": [],
            "records_in": {"ingest.requests": requests, "inbox.appends": 2 * requests},
            "records_out": written,
            "unit_records": {
                "bounds": UNIT_RECORDS.bounds,
                "counts": [0, 0, 0, 0, requests],
                "sum": 40 * requests,
            },
            "unit_seconds": {
                phase: {"bounds": UNIT_SECONDS.bounds, "counts": [0, 0, requests], "sum": requests * seconds}
                for phase, seconds in (("run", 0.02), ("commit", 0.03), ("local", 0.002))
            },
            "latency": {"bounds": LATENCY.bounds, "counts": counts, "sum": 0.05 * requests},
        }
        return {**shown, **self.own, **changes}

    def shard(self, number: int, state: str = "open", **changes: Any) -> dict[str, Any]:
        """One shard."""
        inputs = {"ingest.requests": {"lag": 3, "pending": 1}, "inbox.appends": {"lag": 0, "pending": 0}}
        shown = {"shard": number, "state": state, "detail": "", "rows_read": 0, "rows_total": 0, "claim": 7}
        return {**shown, "inputs": inputs if state == "open" else {}, **changes}


@asynccontextmanager
async def browsing(
    worker: Worker, *, width: int = 1280, scheme: str = "light"
) -> AsyncIterator[tuple[Page, list[str]]]:
    """Open the page; yields it with everything that the browser complained of."""
    complaints: list[str] = []
    path = chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        page = await browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme="dark" if scheme == "dark" else "light"
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda one: complaints.append(one.text) if one.type == "error" else None)
        page.on("dialog", lambda one: complaints.append(f"dialog: {one.message}"))
        await page.goto(worker.address)
        try:
            yield page, complaints
        finally:
            await browser.close()
