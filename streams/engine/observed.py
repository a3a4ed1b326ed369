"""A worker's pages for machines and people who look: /metrics, and what goes with it.

/metrics   every metric of streams/observe/metrics.py, as Prometheus scrapes them
/health    200 or 503: the loop keeps time and the broker is there; ?broker=ignore for what would kill the process
/ready     200 or 503: every shard that the worker should have is open
/live/     the live page, for people; it asks /lockstep/live each second (?own=1: without the other workers)

Only looks; nothing here takes part in processing. Tested in tests/engine/test_observed.py and tests/e2e.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import faust
from faust.web import Request, Response
from faust.web import View as Page

from streams.engine.app import Fetching
from streams.engine.host import Host
from streams.engine.pages import status_of
from streams.engine.topic_watch import LastHeard
from streams.observe.exposition import CONTENT_TYPE, Samples, exposition
from streams.observe.health import health, readiness
from streams.observe.live import HEADERS, StageShown, live, page_files, whole
from streams.observe.peers import ALONE, Peers
from streams.observe.worker import ShardRow, View, samples_of


def view_of(host: Host, fetching: Fetching, heard: LastHeard) -> View:
    """Return a worker of the pipeline as its pages see it."""
    return View(
        worker=host.settings.worker,
        app=host.settings.app,
        broker=lambda: heard.judge(host.broker),
        has_joined=lambda: host.membership.generation > 0,
        shards=lambda: status_of(host, fetching, heard)["shards"],
        counters=lambda: host.counters,
        more=lambda samples, rows: _add_more(samples, rows, host.standbys.status()),
        standbys=host.standbys.status,
        units=host.units,
    )


def _add_more(samples: Samples, rows: Sequence[ShardRow], copies: Sequence[Mapping[str, Any]]) -> None:
    _add_shards(samples, rows)
    followed = {copy["shard"]: copy["behind"] for copy in copies if copy["behind"] is not None}
    samples.set("lockstep_standby_wanted", len(copies))
    samples.set("lockstep_standby_followed", len(followed))
    for number, behind in followed.items():
        samples.set("lockstep_standby_lag_offsets", behind, number)


def _add_shards(samples: Samples, rows: Sequence[ShardRow]) -> None:
    for row in rows:
        number = row["shard"]
        samples.set("lockstep_shard_restored_records", row["rows_read"], number)
        samples.set("lockstep_shard_restore_size_records", row["rows_total"], number)
        if row["claim"] is not None:
            samples.set("lockstep_shard_claim_number", row["claim"], number)
            samples.set("lockstep_shard_expiry_held", row["is_expiry_held"], number)
        for topic, one in row["inputs"].items():
            samples.set("lockstep_shard_waiting_records", one["pending"], number, topic)


def add_observing_pages(app: faust.App, view: View, stages: Sequence[StageShown], peers: Peers) -> None:
    """Add the pages to a worker of any app."""
    _add_machine_pages(app, view)
    _add_live_page(app, view, stages, peers)


def _add_machine_pages(app: faust.App, view: View) -> None:

    @app.page("/metrics")
    class MetricsPage(Page):
        """GET the metrics."""

        async def get(self, request: Request) -> Response:  # noqa: ARG002  # Faust's signature
            return self.bytes(exposition(view.app, samples_of(view)), headers={"Content-Type": CONTENT_TYPE})

    @app.page("/health")
    class HealthPage(Page):
        """GET whether the worker is healthy."""

        async def get(self, request: Request) -> Response:
            answer = health(
                worker=view.worker,
                app=view.app,
                broker=view.broker(),
                loop_delay_s=view.pulse.delay_s,
                ignores_broker=request.query.get("broker") == "ignore",
            )
            return self.json(answer.content, status=answer.status)

    @app.page("/ready")
    class ReadyPage(Page):
        """GET whether the worker is ready."""

        async def get(self, request: Request) -> Response:  # noqa: ARG002  # Faust's signature
            answer = readiness(
                worker=view.worker, app=view.app, has_joined=view.has_joined(), shards=view.shards()
            )
            return self.json(answer.content, status=answer.status)

    del MetricsPage, HealthPage, ReadyPage  # registered by the decorator


def _add_live_page(app: faust.App, view: View, stages: Sequence[StageShown], peers: Peers) -> None:
    files = page_files()

    @app.page("/live")
    class LiveAddress(Page):
        """GET the page's address as people type it."""

        async def get(self, request: Request) -> Response:  # noqa: ARG002  # Faust's signature
            return self.text("see live/", status=302, headers={"Location": "live/"})

    @app.page("/live/")
    class LivePage(Page):
        """GET the page."""

        async def get(self, request: Request) -> Response:  # noqa: ARG002  # Faust's signature
            page = files["index.html"]
            return self.text(page.content, content_type=page.content_type, headers=dict(HEADERS))

    @app.page("/live/{name}")
    class LiveFile(Page):
        """GET what the page is made of."""

        async def get(self, request: Request, name: str) -> Response:  # noqa: ARG002  # Faust's signature
            page = files.get(name)
            if page is None:
                return self.json({"error": "NO_FILE"}, status=404)
            return self.text(page.content, content_type=page.content_type, headers=dict(HEADERS))

    @app.page("/lockstep/live")
    class LiveFigures(Page):
        """GET the figures of this worker, and of the others that the same instance runs."""

        async def get(self, request: Request) -> Response:
            others = ALONE if request.query.get("own") == "1" else await peers.ask()
            return self.json(whole(live(view), others.workers, stages, others.shards))

    del LiveAddress, LivePage, LiveFile, LiveFigures  # registered by the decorator
