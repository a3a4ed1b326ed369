"""Lockstep as a contender: two stages on its engine (J1a), and the whole pipeline (J1b)."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import psutil

from bench.check import Sighting
from bench.contenders.base import Contender
from bench.feeding import feed
from bench.load import Fed, Load, set_up
from bench.prefill import Prefill, message_of
from streams.adapters.cluster import Cluster
from streams.broker.folder import free_port
from streams.cli.instance import Instance
from streams.cli.workers import PIPELINE_APP
from streams.topology import load_topology
from streams.verify.drain import DrainCheck, wait_until_drained

if TYPE_CHECKING:
    from bench.sitting import Sitting

SERVING_SECONDS_MAX = 120.0
DRAIN_SECONDS_MAX = 1_800.0
ALTERED = "bench.contenders.altered_worker"


class LockstepTwoHop(Contender):
    """Our engine doing what the peers do."""

    name = "lockstep_two_hop"
    peer = "lockstep"
    title = "Lockstep, two stages on its engine"
    output_topics = ("inbox.updates", "delivery.mobile")

    def __init__(self, tokens_before: int = 0) -> None:
        super().__init__()
        self._tokens_before = tokens_before
        self.prefill: Prefill | None = None

    @property
    def settings(self) -> Mapping[str, str]:
        return {
            "guarantee": "one transaction a unit of work over all shards; a unit is what arrived meanwhile",
            "stages": "bench/contenders/two_hop_stages.py on the product's reader, admission rule and tables",
            "else": "defaults of `lockstep worker`: one process, uvloop, 192 MiB of RocksDB memory",
        }

    async def start(self, sitting: Sitting, folder: Path) -> None:
        self._sitting, self._folder = sitting, folder
        topology = load_topology().with_shards(sitting.partitions)
        async with Cluster(sitting.connection) as cluster:
            await cluster.create_topics(topology)
        if self._tokens_before:
            self.prefill = Prefill(self._tokens_before, self.codec, sitting.partitions, has_queue=False)
            await self.prefill.write(sitting)
        self.start_worker()

    def start_worker(self) -> None:
        module = "bench.contenders.two_hop_worker"
        command = [sys.executable, "-m", module, "--bootstrap", self._sitting.bootstrap, "--name", "worker-0"]
        more = ["--data-dir", self._folder, "--web-port", free_port(), "--shards", self._sitting.partitions]
        self.spawn([*command, *map(str, more)], self._folder / "worker.log")

    def state_folders(self) -> Sequence[Path]:
        return [self._folder / "workers"]


class LockstepPipeline(Contender):
    """The whole pipeline: answers, threads of two, both inboxes, one endpoint each."""

    name = "lockstep_pipeline"
    peer = "lockstep"
    title = "Lockstep, the whole pipeline"
    names_recipient = False
    copies = 2
    warm_up_messages = 0  # 20,000 threads and endpoints are set up before
    output_topics = ("inbox.updates", "delivery.mobile")
    has_store: ClassVar[bool] = False

    def __init__(
        self, workers: int = 1, session_timeout_s: float = 10.0, tokens_before: int = 0, standbys: int = 1
    ) -> None:
        super().__init__()
        self._workers = workers
        self.standbys = standbys
        self._tokens_before = tokens_before
        self.prefill: Prefill | None = None
        self.started_s = 0.0
        """Seconds from the workers' start until every shard was open."""
        self._session_timeout_s = session_timeout_s
        self.instance: Instance | None = None
        self._update = self.codec["InboxUpdate"].split("thread_id")
        self._delivered = self.codec["EndpointUpdate"].split("thread_id")

    @property
    def settings(self) -> Mapping[str, str]:
        return {
            "stages": "ingest with answers, fanout in prepared threads of two, sequencer, delivery to one "
            "endpoint each (window 0): two updates and two deliveries a request",
            "workers": f"{self._workers}, as `lockstep up --workers {self._workers}` starts them",
        }

    async def start(self, sitting: Sitting, folder: Path) -> None:
        self.topology = load_topology().with_shards(sitting.partitions)
        self.instance = Instance(
            data_dir=folder,
            topology=self.topology,
            workers=self._workers,
            has_store=self.has_store,
            connection=sitting.connection,
            session_timeout_s=self._session_timeout_s,
            standbys=self.standbys,
        )
        if alteration := self.alteration():
            self.instance.program = (sys.executable, "-m", ALTERED, alteration)
        self.instance.begin()
        await self.instance.prepare()
        if self._tokens_before:
            self.prefill = Prefill(self._tokens_before, self.codec, sitting.partitions, has_queue=True)
            await self.prefill.write(sitting)
            self.records_before = self._tokens_before
        began_s = time.monotonic()
        self.instance.start_workers()
        await self.serving()
        self.started_s = time.monotonic() - began_s

    def alteration(self) -> str | None:
        """Return what bench/contenders/altered_worker.py alters in the workers; None is the product as it is."""
        return None

    async def serving(self) -> None:
        """Wait until every shard is open, as the supervisor sees it."""
        assert self.instance is not None, "started"
        if not await self.instance.await_serving(SERVING_SECONDS_MAX):
            raise RuntimeError("the workers do not serve")

    async def crash(self) -> None:
        assert self.instance is not None, "started"
        for one in self.instance.processes:
            if one.process is not None:
                one.process.kill()
                one.process.wait()

    def start_worker(self) -> None:
        """Let the supervisor do it, after its back-off."""
        assert self.instance is not None, "started"
        while not all(one.is_alive for one in self.instance.processes):
            self.instance.watch()
            time.sleep(0.01)

    def state_folders(self) -> Sequence[Path]:
        assert self.instance is not None, "started"
        return [self.instance.data_dir / "workers"]

    async def prepare(self, sitting: Sitting, load: Load) -> list[Fed]:
        """Make a thread of two and an attached endpoint for every account of the load."""
        now_ms = time.time_ns() // 1_000_000
        commands, first = set_up(load.accounts, self.codec, sitting.partitions, now_ms)
        await feed(sitting, "endpoint.commands", commands)
        await (
            self.drained()
        )  # what reaches an endpoint that is not attached yet is not owed to it on its route
        await feed(sitting, self.input_topic, first)
        await self.drained()
        return first

    async def drained(self) -> None:
        """Wait until the pipeline has processed everything."""
        assert self.instance is not None, "started"
        assert self.instance.connection is not None, "begun"
        async with DrainCheck(self.instance.connection.client_arguments(), self.instance.topology) as look:
            if lags := await wait_until_drained(look, timeout_seconds=DRAIN_SECONDS_MAX):
                raise RuntimeError(f"not drained: {lags[:3]}")

    def due_on(self, topic: str, due: dict[bytes, int]) -> tuple[dict[bytes, int], Mapping[str, int]]:
        if self.prefill is None:
            return due, {}
        if topic == self.output_topics[1]:
            return due, self.prefill.heads
        return due | {message_of(number): 1 for number in range(self.prefill.tokens)}, {}

    def processes(self) -> list[psutil.Process]:
        return self.processes_of(PIPELINE_APP)

    def processes_of(self, app: str) -> list[psutil.Process]:
        """The living workers of an app."""
        some = self.instance.processes if self.instance is not None else []
        return [
            psutil.Process(one.process.pid)
            for one in some
            if one.app == app and one.process is not None and one.is_alive
        ]

    async def stop(self) -> None:
        if self.instance is not None:
            await asyncio.to_thread(self.instance.end)
            self.instance = None

    def kill(self) -> None:
        if self.instance is not None:
            self.instance.end()
            self.instance = None

    def sight(self, topic: str, record: Any) -> Sighting:
        split = self._update if topic == self.output_topics[0] else self._delivered
        fields, _ = split.read(record.value)
        return Sighting(fields["account_id"], fields["seq"], fields["message_id"])
