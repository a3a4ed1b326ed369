"""An instance without workers: run.json in a folder, and pages as workers give them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

Answer = tuple[int, Any]
"""Status code and JSON of a page."""


@contextmanager
def fake_worker(pages: Mapping[str, Answer]) -> Iterator[int]:
    """Serve pages ("GET /lockstep/status" -> answer) on a port of loopback; what is not named is a 404."""
    ready, port = threading.Event(), 0
    loop = asyncio.new_event_loop()

    async def answer(request: web.Request) -> web.Response:
        status, content = pages.get(f"{request.method} {request.path_qs}", (404, {"error": "NO_PAGE"}))
        return web.json_response(content, status=status)

    async def serve() -> web.AppRunner:
        nonlocal port
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        return runner

    def run() -> None:
        runner = loop.run_until_complete(serve())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(10)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def write_run(folder: Path, ports: Mapping[str, int], *, shards: int = 2, app: str = "pipeline") -> None:
    """Write run.json as `up` does, for workers at these ports."""
    workers = [
        {"name": name, "app": app, "pid": 1, "web_port": port, "restarts": 0} for name, port in ports.items()
    ]
    run = {
        "pid": 1,
        "bootstrap": "127.0.0.1:9",
        "shards": shards,
        "serving": True,
        "kafka": {"pid": 2, "data_dir": str(folder)},
        "workers": workers,
    }
    (folder / "run.json").write_text(json.dumps(run))


def status_page(shards: Mapping[int, str], *, broker: str = "up", lag: int = 0) -> Answer:
    """The status page of a pipeline worker with these shards (number -> state)."""
    inputs = {"ingest.requests": {"progress": 5, "pending": 0, "end": 5 + lag, "lag": lag}}
    shown = [
        {
            "shard": number,
            "state": state,
            "detail": "",
            "rows_read": 0,
            "rows_total": 0,
            "inputs": inputs if state == "open" else {},
        }
        for number, state in shards.items()
    ]
    copies = [{"shard": 2, "behind": 3}, {"shard": 3, "behind": 0}]
    identity = {"worker": "worker-0", "app": "pipeline", "pid": 1}
    return 200, {**identity, "broker": broker, "shards": shown, "standbys": copies}
