"""The wiring: which stages, tables, adapters and settings make a worker. Nothing else wires anything.

`pipeline_worker` is one process of the pipeline: a Faust app, a host for its shards, and the cluster connection both
use. Importing this module has no side effects.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import faust

from streams.adapters.cluster import Cluster
from streams.adapters.kafka_dead_letters import KafkaDeadLetters
from streams.adapters.kafka_queue import KafkaQueue
from streams.adapters.rocks_store import RocksBodyStore, RocksMetadataStore
from streams.codec import Codec
from streams.connection import Connection
from streams.delivery.customising import EndpointCustomiser
from streams.delivery.forms import FormCatalogue
from streams.delivery.stage import Delivery
from streams.engine.app import (
    AppSettings,
    Fetching,
    feed,
    membership_of,
    new_app,
    run_beside,
    serve,
    unsettled_s_max,
)
from streams.engine.group_watch import watch_group
from streams.engine.host import Host
from streams.engine.housekeeping import keep_house
from streams.engine.json_page import add_json_page
from streams.engine.observed import add_observing_pages, view_of
from streams.engine.pages import add_pages, add_status_page, with_lag
from streams.engine.settings import HostSettings
from streams.engine.shard import Shard, ShardSettings
from streams.engine.stores import shards_in
from streams.engine.topic_watch import LastHeard, watch_topics
from streams.fanout.stage import FanoutStage
from streams.ingest.stage import IngestStage
from streams.observe.live import StageShown
from streams.observe.peers import Peers
from streams.observe.units import BornAt, Units
from streams.observe.worker import View
from streams.ports import Restorer, Stage
from streams.replay.stage import ReplayStage
from streams.sequencer.age import AppendAge
from streams.sequencer.stage import APPENDS, SequencerStage
from streams.split_store.figures import add_pointers
from streams.split_store.hosting import StoreHost
from streams.split_store.pages import PATH as THREADS_PATH
from streams.split_store.pages import ThreadPages
from streams.split_store.store import SplitStore
from streams.split_store.trimming import Trimmer
from streams.tables.inboxes import QueueRestorer
from streams.tables.ledger import LedgerRestorer
from streams.tables.tails import Tails
from streams.topology import Topology
from streams.topology.model import DEAD_LETTER_TOPIC, LEDGER_TOPIC, STATE_TOPIC, STORE_APP


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What one worker process is told."""

    worker: str
    """Name of the worker, unique among those of its app, the same over restarts."""
    data_dir: Path
    connection: Connection
    web_port: int
    web_host: str = "127.0.0.1"
    session_timeout_s: float = 10.0
    memory_bytes: int = 192 << 20
    standbys: int = 1
    """How many other workers keep a warm copy of a shard; the same for all workers of an app. 0: none."""


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
    born_at: Mapping[str, BornAt] | None = None,
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
            web_host=settings.web_host,
            standbys=settings.standbys,
            copies=shards_in(folder / "shards"),
        )
    )
    cluster = Cluster(settings.connection)
    fetching = Fetching(app)

    membership = membership_of(app, lambda group: _members(cluster, group))
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
            ledger_kept_ms=topology.timestamps.threshold_ms + topology.timestamps.clock_ahead_ms,
            memory_bytes=settings.memory_bytes,
        ),
        membership,
        fetching,
        cluster,
    )
    host.units = Units(
        topics,
        born_at,
        dead_letters_topic=DEAD_LETTER_TOPIC,
        read_dead_letter=lambda value: codec.decode_as("DeadLetter", value),
    )
    feed(app, topics, host)
    heard = LastHeard()
    add_pages(app, host, fetching, heard)
    view = view_of(host, fetching, heard)
    add_observing_pages(
        app, view, _stages_shown(topology), Peers(settings.data_dir, app_name, settings.worker)
    )

    async def run() -> None:
        async with cluster:
            await run_beside(
                host.run(),
                watch_topics(host, tuple(topology.topics), cluster, heard),
                watch_group(membership, unsettled_s_max=unsettled_s_max(app)),
                keep_house(host, topology.trimmed_topics, cluster, fetching.hint),
                view.pulse.run(),
                host.standbys.run(),
            )

    async def stop() -> None:
        await host.stop()
        await _leave(settings, app_name)

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
            ReplayStage(shard, codec, delivery.sender, topology.routes),
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
        topics=topology.inputs_of(PIPELINE),
        stages=stages,
        restorers=restorers,
        born_at={APPENDS: AppendAge(codec)},
    )


def embedded_stores(folder: Path) -> tuple[RocksMetadataStore, RocksBodyStore]:
    """Open the two databases of a split store."""
    return RocksMetadataStore(folder / "metadata"), RocksBodyStore(folder / "bodies")


def store_worker(
    settings: WorkerSettings,
    topology: Topology,
    codec: Codec,
    open_stores: Callable[[Path], tuple[RocksMetadataStore, RocksBodyStore]] = embedded_stores,
) -> faust.App:
    """Return the worker of the split store: two embedded databases under data_dir/store, one worker only."""
    connection = settings.connection
    (topic,) = topology.inputs_of(STORE_APP)
    folder = settings.data_dir / "store"
    app = new_app(
        AppSettings(
            app=STORE_APP,
            worker=settings.worker,
            folder=settings.data_dir / "workers" / f"{STORE_APP}.{settings.worker}",
            connection=connection,
            topics=(topic,),
            session_timeout_s=settings.session_timeout_s,
            web_port=settings.web_port,
            web_host=settings.web_host,
        )
    )
    metadata, bodies = open_stores(folder)
    queue = KafkaQueue(connection, topic)
    dead_letters = KafkaDeadLetters(
        connection,
        codec,
        DEAD_LETTER_TOPIC,
        topology.topics[DEAD_LETTER_TOPIC].record_bytes_max,
    )
    store = SplitStore(
        metadata=metadata,
        bodies=bodies,
        codec=codec,
        queue=queue,
        dead_letters=dead_letters,
        shards=topology.shards,
    )
    fetching = Fetching(app)
    cluster = Cluster(connection)
    membership = membership_of(app, lambda group: _members(cluster, group))
    host = StoreHost(store, topic, fetching)
    trimmer = Trimmer(store, queue, topology.topics[topic].kept_ms, now_ms=_now_ms, sleep=asyncio.sleep)
    finished = asyncio.Event()
    feed(app, (topic,), host)

    heard = LastHeard()

    def broker() -> str:
        return host.waits_for or heard.judge(trimmer.broker)

    def shards() -> list[dict[str, Any]]:
        return with_lag(host.status(), fetching)

    def status() -> dict[str, object]:
        return {
            **_identity(settings, STORE_APP),
            "broker": broker(),
            "shards": shards(),
            "counters": store.counters(),
        }

    view = View(
        worker=settings.worker,
        app=STORE_APP,
        broker=broker,
        has_joined=lambda: int(app.consumer_generation_id) > 0,
        shards=shards,
        counters=lambda: {f"split_store.{name}": value for name, value in store.counters().items()},
        more=lambda samples, rows: add_pointers(samples, rows, topic, fetching.end),
    )
    add_status_page(app, status)
    add_observing_pages(
        app, view, _stages_shown(topology), Peers(settings.data_dir, STORE_APP, settings.worker)
    )
    add_json_page(app, THREADS_PATH, ThreadPages(store).answer)

    async def run() -> None:
        try:
            async with cluster, queue, dead_letters:
                await host.run(
                    trimmer.run(),
                    watch_topics(host, (topic,), cluster, heard),
                    watch_group(membership, unsettled_s_max=unsettled_s_max(app)),
                    view.pulse.run(),
                )
        finally:
            await metadata.close()
            await bodies.close()
            finished.set()

    async def stop() -> None:
        host.stop()
        await finished.wait()
        await _leave(settings, STORE_APP)

    serve(app, run, stop)
    return app


async def _members(cluster: Cluster, group: str) -> set[str]:
    return {member.client_id for member in await cluster.group_members(group)}


async def _leave(settings: WorkerSettings, app_name: str) -> None:
    """Remove the static membership of a worker that leaves for good, so that its shards are handed over at once."""
    async with Cluster(settings.connection) as cluster:
        await cluster.remove_static_member(app_name, f"{app_name}.{settings.worker}")


def _stages_shown(topology: Topology) -> list[StageShown]:
    """Return the stages as the live page draws them."""
    return [
        StageShown(name, stage.app, stage.reads, topology.outputs_of(name))
        for name, stage in topology.stages.items()
    ]


def _now_ms() -> int:
    return int(time.time() * 1000)


def _identity(settings: WorkerSettings, app_name: str) -> dict[str, object]:
    return {"worker": settings.worker, "app": app_name, "pid": os.getpid()}


WorkerOf = Callable[[WorkerSettings, Topology, Codec], faust.App]

APPS: dict[str, WorkerOf] = {
    PIPELINE: lambda settings, topology, codec: pipeline_worker(settings, topology, codec)[0],
    STORE_APP: store_worker,
}
"""What `lockstep worker --app` can run."""
