"""The Faust app of a worker: agents that feed the host, web pages that show it, its start and its end.

One agent per input topic, each handing whole partition batches to the shard they belong to. The group's assignment
comes from our own assignor (assignor.py), so partition p of every input is on one worker. Pages:
/lockstep/status (JSON), /tables, /tables/<name>, /tables/<name>/<key>. Tested in tests/e2e.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faust
import structlog
from mode import Service
from yarl import URL

from streams.connection import Connection
from streams.engine.assignor import ShardAssignor
from streams.engine.client_repairs import repair_clients
from streams.engine.transport import Batch, BatchSchema, Consumer, Feeding, GroupMembership, Transport

log = structlog.get_logger("engine")

STOP_SECONDS_MAX = 4.0
"""Seconds that giving the shards away may take at a graceful stop; the whole stop stays below five."""
END_SECONDS_MAX = 15.0
"""Seconds after which a process that ends, in order or by an error, is ended whatever still holds it."""
UNSETTLED_REBALANCES = 3
"""A worker is stuck when it was out of its group for as long as so many rebalances, each with a dead member, take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSettings:
    """What the Faust app of a worker is made from."""

    app: str
    """Consumer group; one app is one group."""
    worker: str
    folder: Path
    connection: Connection
    topics: Sequence[str]
    session_timeout_s: float = 10.0
    web_host: str = "127.0.0.1"
    web_port: int = 6066
    standbys: int = 0
    """How many other workers keep a warm copy of a shard; what the group's leader was told counts for all."""
    copies: Sequence[int] = ()
    """Shards of which a copy lies on this worker's disk at its start."""


class Fetching:
    """Steers the app's consumer; implements steering.Fetching."""

    def __init__(self, app: faust.App) -> None:
        self._app = app

    def seek(self, topic: str, partition: int, offset: int) -> None:
        consumer = self._app.consumer
        assert isinstance(consumer, Consumer)  # our transport makes it
        consumer.seek_to(topic, partition, offset)

    def hold(self, topic: str, partition: int) -> None:
        consumer = self._app.consumer
        assert isinstance(consumer, Consumer)  # our transport makes it
        consumer.hold(topic, partition)

    async def hint(self, offsets: dict[tuple[str, int], int]) -> None:
        """Write progress as group offsets, for ordinary lag tools; nothing of ours reads them."""
        consumer = self._app.consumer
        assert isinstance(consumer, Consumer)  # our transport makes it
        await consumer.hint(offsets)

    def end(self, topic: str, partition: int) -> int | None:
        """Return the committed end of an assigned partition as of the last fetch."""
        consumer = self._app.consumer
        assert isinstance(consumer, Consumer)  # our transport makes it
        return consumer.end(topic, partition)

    def lag(self, topic: str, partition: int, progress: int, taken_to: int) -> int | None:
        """Return how many offsets lie between progress and the end; 0 when no record does; None before a fetch.

        taken_to: the offset behind the last record that was handed over.
        """
        end = self.end(topic, partition)
        if end is None:
            return None
        consumer = self._app.consumer
        assert isinstance(consumer, Consumer)  # our transport makes it
        if progress >= taken_to and consumer.is_at_end(topic, partition, taken_to):
            return 0
        return max(0, end - progress)


def new_app(settings: AppSettings) -> faust.App:
    """Return the app with its transport; agents are added by `feed`."""
    repair_clients()
    settings.folder.mkdir(parents=True, exist_ok=True)
    app = faust.App(
        settings.app,
        broker=f"kafka://{settings.connection.bootstrap.replace(',', ';')}",
        broker_client_id=f"{settings.app}.{settings.worker}",
        consumer_group_instance_id=f"{settings.app}.{settings.worker}",
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.session_timeout_s / 5,
        broker_rebalance_timeout=max(settings.session_timeout_s, 5.0),
        broker_request_timeout=max(settings.session_timeout_s + 5, 15.0),
        broker_max_poll_interval=300.0,
        datadir=settings.folder / "faust",
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_host=settings.web_host,
        web_bind=settings.web_host,
        web_port=settings.web_port,
        stream_buffer_maxsize=64,
        worker_redirect_stdouts=False,
        PartitionAssignor=ShardAssignor,
        table_standby_replicas=settings.standbys,
    )
    assert isinstance(app.assignor, ShardAssignor)  # as said above
    app.assignor.begin_with(settings.topics, settings.copies)
    app.transport = Transport(
        [URL(f"kafka://{settings.connection.bootstrap.split(',')[0]}")], app, settings.connection
    )
    return app


def unsettled_s_max(app: faust.App) -> float:
    """Seconds after which a worker that is not a settled member of its group is stuck."""
    return UNSETTLED_REBALANCES * float(app.conf.broker_session_timeout + app.conf.broker_rebalance_timeout)


def membership_of(app: faust.App, members: Callable[[str], Awaitable[Any]]) -> GroupMembership:
    """Return what the app's consumer knows of its group; `members` asks the cluster for the group's client ids."""
    return GroupMembership(app, members)


def feed(app: faust.App, topics: Sequence[str], feeding: Feeding) -> None:
    """Add one agent per topic, each handing its batches to `feeding`."""
    transport = app.transport
    assert isinstance(transport, Transport)  # made by new_app
    transport.feeding = feeding
    for topic in topics:
        channel = app.topic(topic, schema=BatchSchema(), acks=False)
        app.agent(channel, name=topic)(_agent(feeding))


def _agent(feeding: Feeding) -> Callable[[AsyncIterator[Batch]], Awaitable[None]]:
    async def agent(stream: AsyncIterator[Batch]) -> None:
        async for batch in stream:
            feeding.take(batch.topic, batch.partition, batch.start, batch.records)

    return agent


async def run_beside(main: Coroutine[Any, Any, None], *others: Coroutine[Any, Any, None]) -> None:
    """Run to the end of `main`; the others run until then. The first error of any of them ends all, and is raised.

    A cancellation that nobody here asked for is an error too: aiokafka lets those of its own tasks through, and
    a worker that ends without a word looks like one that has nothing to do.
    """
    tasks = [asyncio.ensure_future(one) for one in (main, *others)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if task.cancelled():
                raise RuntimeError(f"{task.get_coro()!r} was cancelled by none of us")
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def serve(app: faust.App, run: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine for as long as the app lives; `stop` is awaited, within a bound, before the consumer goes."""

    class Serving(Service):
        """Life of the host inside the app."""

        async def on_started(self) -> None:
            self.add_future(self._run())

        async def _run(self) -> None:
            try:
                await run()
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                log.exception("engine.worker_failed")
                _end_for_sure()
                await app.crash(error)
                raise

        async def on_stop(self) -> None:
            _end_for_sure()
            try:
                await asyncio.wait_for(stop(), STOP_SECONDS_MAX)
            except TimeoutError:
                log.warning("engine.stop_took_too_long")

    app.service(Serving)


def _end_for_sure() -> None:
    """End the process in a while, if it does not end by itself: what is stuck may hold up an orderly end too."""
    timer = threading.Timer(END_SECONDS_MAX, os._exit, (1,))
    timer.daemon = True
    timer.start()
