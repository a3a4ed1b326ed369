"""The wiring: which stages, tables, adapters and settings make a worker. Nothing else wires anything.

`pipeline_worker` is one process of the pipeline: a Faust app, a host for its shards, and the cluster connection both
use. Importing this module has no side effects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import faust

from streams.adapters.cluster import Cluster
from streams.codec import Codec
from streams.connection import Connection
from streams.delivery.customising import EndpointCustomiser
from streams.delivery.forms import FormCatalogue
from streams.delivery.stage import Delivery
from streams.engine.app import AppSettings, Fetching, feed, membership_of, new_app, serve
from streams.engine.host import Host, HostSettings
from streams.engine.housekeeping import keep_house
from streams.engine.pages import add_pages
from streams.engine.shard import Shard, ShardSettings
from streams.fanout.stage import FanoutStage
from streams.ingest.stage import IngestStage
from streams.ports import Restorer, Stage
from streams.sequencer.stage import SequencerStage
from streams.tables.inboxes import QueueRestorer
from streams.tables.ledger import LedgerRestorer
from streams.tables.tails import Tails
from streams.topology import Topology
from streams.topology.model import DEAD_LETTER_TOPIC, LEDGER_TOPIC, STATE_TOPIC


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What one worker process is told."""

    worker: str
    """Name of the worker, unique among those of its app, the same over restarts."""
    data_dir: Path
    connection: Connection
    web_port: int
    session_timeout_s: float = 10.0
    memory_bytes: int = 192 << 20


StagesOf = Callable[[Shard], Sequence[Stage]]


def assemble(
    settings: WorkerSettings,
    topology: Topology,
    codec: Codec,
    *,
    app_name: str,
    topics: Sequence[str],
    stages: StagesOf,
    restorers: Callable[[], Sequence[Restorer]],
) -> tuple[faust.App, Host]:
    """Return a Faust app and the host of its shards, running any set of stages."""
    folder = settings.data_dir / "workers" / f"{app_name}.{settings.worker}"
    app = new_app(
        AppSettings(
            app=app_name,
            worker=settings.worker,
            folder=folder,
            connection=settings.connection,
            topics=topics,
            session_timeout_s=settings.session_timeout_s,
            web_port=settings.web_port,
        )
    )
    cluster = Cluster(settings.connection)
    fetching = Fetching(app)

    async def members(group: str) -> set[str]:
        return {member.client_id for member in await cluster.group_members(group)}

    host = Host(
        HostSettings(
            app=app_name,
            worker=settings.worker,
            folder=folder / "shards",
            connection=settings.connection,
            state_topic=STATE_TOPIC,
            ledger_topic=LEDGER_TOPIC,
            input_topics=tuple(topics),
            shard=ShardSettings(
                shards=topology.shards,
                clock_topics=frozenset(topology.clock_topics),
                dead_letters=codec["DeadLetter"],
                dead_letters_topic=DEAD_LETTER_TOPIC,
                expiry_hold_ms=topology.timestamps.expiry_hold_ms,
            ),
            stages=stages,
            restorers=restorers,
            tombstones_kept_ms=topology.topics[STATE_TOPIC].delete_retention_ms or 86_400_000,
            memory_bytes=settings.memory_bytes,
        ),
        membership_of(app, members),
        fetching,
        cluster,
    )
    feed(app, topics, host)
    add_pages(app, host, fetching)

    async def run() -> None:
        async with cluster:
            house = asyncio.create_task(
                keep_house(host, topology.trimmed_topics, cluster.delete_records, fetching.hint)
            )
            try:
                await host.run()
            finally:
                house.cancel()

    async def stop() -> None:
        await host.stop()
        async with Cluster(settings.connection) as last_call:  # the worker's own may be closed by now
            await last_call.remove_static_member(app_name, f"{app_name}.{settings.worker}")

    serve(app, run, stop)
    return app, host


PIPELINE = "pipeline"
DAY_MS = 86_400_000


def pipeline_worker(settings: WorkerSettings, topology: Topology, codec: Codec) -> tuple[faust.App, Host]:
    """Return a worker of the pipeline: ingest, fanout, sequencer with delivery behind it, replay."""
    forms = (resources.files("streams.delivery") / "forms.yaml").read_text("utf-8")
    customiser = EndpointCustomiser(codec, Tails(codec), FormCatalogue.parse(forms))
    kept_ms = topology.topics["inbox.updates"].retention_ms - DAY_MS

    def stages(shard: Shard) -> Sequence[Stage]:
        delivery = Delivery(shard, codec, customiser, topology.routes, topology.default_route)
        return (
            SequencerStage(shard, codec, delivery, kept_ms),
            FanoutStage(shard, codec),
            IngestStage(shard, codec, topology.timestamps),
        )

    def restorers() -> Sequence[Restorer]:
        return LedgerRestorer(), QueueRestorer(codec)

    return assemble(
        settings,
        topology,
        codec,
        app_name=PIPELINE,
        topics=tuple(t for t in topology.inputs_of(PIPELINE) if t!='endpoint.commands'),
        stages=stages,
        restorers=restorers,
    )


WorkerOf = Callable[[WorkerSettings, Topology, Codec], faust.App]

APPS: dict[str, WorkerOf] = {
    PIPELINE: lambda settings, topology, codec: pipeline_worker(settings, topology, codec)[0],
}
"""What `lockstep worker --app` can run."""
