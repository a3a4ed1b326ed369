"""The wiring: which stages, tables, adapters and settings make a worker. Nothing else wires anything.

`pipeline_worker` is one process of the pipeline: a Faust app, a host for its shards, and the cluster connection both
use. Importing this module has no side effects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncio

import faust

from streams.adapters.cluster import Cluster
from streams.codec import Codec
from streams.connection import Connection
from streams.engine.app import AppSettings, Fetching, feed, membership_of, new_app, serve
from streams.engine.host import Host, HostSettings
from streams.engine.housekeeping import keep_house
from streams.engine.pages import add_pages
from streams.engine.shard import Shard, ShardSettings
from streams.ports import Restorer, Stage
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
        await cluster.remove_static_member(app_name, f"{app_name}.{settings.worker}")

    serve(app, run, stop)
    return app, host
