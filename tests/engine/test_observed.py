"""The pages of a worker for machines, over HTTP (streams/engine/observed.py)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faust
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer

from streams.engine.observed import _add_more, add_observing_pages
from streams.observe.exposition import Samples
from streams.observe.live import StageShown
from streams.observe.peers import Peers
from streams.observe.worker import View


@dataclass
class Scene:
    """A worker that is what a test says, and a client of its pages."""

    broker: str = "up"
    state: str = "open"
    shards: list[dict[str, Any]] = field(
        default_factory=lambda: [{"shard": 0, "state": "open", "detail": "", "inputs": {}}]
    )

    def view(self) -> View:
        return View(
            worker="worker-0",
            app="pipeline",
            broker=lambda: self.broker,
            has_joined=lambda: True,
            shards=lambda: self.shards,
            counters=lambda: {"ingest.accepted": 3},
            more=lambda _samples, _rows: None,
        )


@pytest_asyncio.fixture
async def scene() -> Scene:
    return Scene()


@pytest_asyncio.fixture
async def client(scene: Scene, tmp_path: Path) -> AsyncIterator[TestClient[Any, Any]]:
    app = faust.App("observed", broker="kafka://127.0.0.1:9")
    stages = [StageShown("ingest", "pipeline", ("ingest.requests",), ("thread.operations",))]
    add_observing_pages(app, scene.view(), stages, Peers(tmp_path, "pipeline", "worker-0"))
    app.web.init_server()
    async with TestClient(TestServer(app.web.web_app)) as opened:
        yield opened


async def test_prometheus_finds_text_of_its_own_kind(client: TestClient[Any, Any]) -> None:
    """The content type says which version of the text it is."""
    response = await client.get("/metrics")
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    assert "lockstep_ingest_accepted_total 3.0" in await response.text()


def test_copies_are_counted_and_the_lag_of_those_that_follow_is_shown_by_shard() -> None:
    """A copy that is not open has no lag: it would look as if it were at the end."""
    samples = Samples()
    _add_more(samples, (), [{"shard": 2, "behind": 7}, {"shard": 3, "behind": None}])
    assert samples.values == {
        "lockstep_standby_wanted": {(): 2},
        "lockstep_standby_followed": {(): 1},
        "lockstep_standby_lag_offsets": {("2",): 7},
    }


async def test_health_is_503_with_the_reason_while_the_broker_is_away(
    scene: Scene, client: TestClient[Any, Any]
) -> None:
    """A supervisor that would kill the process asks without the broker."""
    assert (await client.get("/health")).status == 200
    scene.broker = "waiting: gone"
    response = await client.get("/health")
    assert (response.status, (await response.json())["reasons"]) == (503, ["broker: waiting: gone"])
    assert (await client.get("/health?broker=ignore")).status == 200


async def test_ready_is_503_until_every_shard_is_open(scene: Scene, client: TestClient[Any, Any]) -> None:
    """What is asked is the state of this moment."""
    scene.shards[0]["state"] = "opening"
    response = await client.get("/ready")
    assert (response.status, (await response.json())["reasons"]) == (503, ["shard 0 is opening"])
    scene.shards[0]["state"] = "open"
    assert (await client.get("/ready")).status == 200


async def test_the_live_page_is_served_whole_and_may_run_nothing_else(client: TestClient[Any, Any]) -> None:
    """Its address as people type it leads there; what it loads is its own, and the browser is told so."""
    page = await client.get("/live")
    assert (page.status, page.url.path, page.content_type) == (200, "/live/", "text/html")
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    for loaded in re.findall(r'(?:href|src)="(live[^"]+)"', await page.text()):
        assert (await client.get(f"/live/{loaded}")).status == 200
    assert (await client.get("/live/../pyproject.toml")).status == 404
    assert (await client.get("/live/other.js")).status == 404


async def test_the_figures_of_the_live_page_are_those_of_the_view(client: TestClient[Any, Any]) -> None:
    """A worker that no instance names is alone."""
    found = await (await client.get("/lockstep/live")).json()
    assert (found["own"]["worker"], found["own"]["counters"]) == ("worker-0", {"ingest.accepted": 3})
    assert (found["others"], found["shards"]) == ([], None)
    assert found["stages"][0]["writes"] == ["thread.operations"]
