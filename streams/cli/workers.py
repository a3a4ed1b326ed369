"""The workers of a running instance, asked over their web pages on loopback.

run.json says which workers there should be; a worker that does not answer within a moment is reported as
silent, never left out. Tested in tests/cli/test_workers.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp

from streams.cli.context import NotRunningError, read_run
from streams.errors import LockstepError

PIPELINE_APP = "pipeline"
_ANSWER_SECONDS_MAX = 5.0


class WorkerSilent(LockstepError):
    """A worker of the instance does not answer, or not with what was asked for."""

    code = "WORKER_SILENT"


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker as run.json names it."""

    name: str
    app: str
    pid: int | None
    web_port: int
    restarts: int


class Page(NamedTuple):
    """What a worker answered: status code and JSON."""

    status: int
    content: dict[str, Any]


def find_run(data_dir: Path) -> dict[str, Any]:
    """Return what run.json says; raises NotRunningError where no instance of `up` runs."""
    run = read_run(data_dir)
    if run is None:
        raise NotRunningError(
            f"No instance runs in {data_dir}: start one with `lockstep up`, or name its folder with "
            "--data-dir. Workers that `lockstep up` did not start are not listed anywhere; ask each one's own page, "
            "http://HOST:WEB_PORT/lockstep/status."
        )
    return run


def live_page_of(run: dict[str, Any]) -> str | None:
    """Return the address of the instance's live page, None while it has no worker; any worker shows all of them."""
    workers = sorted(workers_of(run), key=lambda one: one.app != PIPELINE_APP)
    return f"http://127.0.0.1:{workers[0].web_port}/live/" if workers else None


def workers_of(run: dict[str, Any], app: str | None = None) -> list[Worker]:
    """Return the workers of an instance, of one app or of all."""
    return [
        Worker(one["name"], one["app"], one["pid"], one["web_port"], one["restarts"])
        for one in run["workers"]
        if app in (None, one["app"])
    ]


class Pages:
    """Asks workers; use as `async with`."""

    def __init__(self, *, timeout_seconds: float = _ANSWER_SECONDS_MAX) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def get(self, worker: Worker, path: str) -> Page | None:
        """Return a page below /lockstep/, None where the worker does not answer with JSON."""
        return await self._ask("GET", worker, path)

    async def post(self, worker: Worker, path: str) -> Page | None:
        """Ask a worker to do something; returns when it is done."""
        return await self._ask("POST", worker, path)

    async def get_all(self, workers: Sequence[Worker], path: str) -> list[Page | None]:
        """Ask every worker at once."""
        return await asyncio.gather(*(self.get(worker, path) for worker in workers))

    async def get_each(self, workers: Sequence[Worker], path: str) -> list[dict[str, Any]]:
        """Return every worker's page; raises WorkerSilent when one does not answer."""
        pages = await self.get_all(workers, path)
        for worker, page in zip(workers, pages, strict=True):
            if page is None or page.status not in (200, 404):
                raise WorkerSilent(
                    f"{worker.name} (process {worker.pid}) does not answer on port {worker.web_port}; "
                    "see `lockstep status` and the logs folder."
                )
        return [page.content for page in pages if page is not None]

    async def _ask(self, method: str, worker: Worker, path: str) -> Page | None:
        address = f"http://127.0.0.1:{worker.web_port}/lockstep/{path}"
        try:
            async with self._session.request(method, address, headers={"X-Lockstep": "cli"}) as response:
                content = await response.json()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None
        return Page(response.status, content) if isinstance(content, dict) else None
