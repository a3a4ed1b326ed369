"""A running instance: the broker, the workers, and run.json, which tells every other command where they are.

The instance restarts what dies: a worker after a growing back-off, the broker at once on the same folder and port.
Workers end with their supervisor, whatever happens to it: they hold the other end of a pipe. run.json is replaced as
a whole whenever something changes and removed at the end. Tested in tests/e2e/test_instance.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from streams.adapters.cluster import Cluster
from streams.adapters.cluster_shards import require_shards, shards_there
from streams.broker import EmbeddedKafka
from streams.connection import Connection
from streams.errors import ConfigurationError
from streams.observe.peers import RUN_FILE
from streams.topology import Topology

STOP_SECONDS_MAX = 6.0
"""After SIGTERM a worker gives its shards away; then it is killed."""
BACK_OFF_SECONDS_FIRST = 0.2
BACK_OFF_SECONDS_MAX = 10.0
HEALTHY_SECONDS = 30.0
"""A worker that lived this long starts again at once when it dies."""
_POLL_SECONDS = 0.1
STORE_APP = "store"


class AlreadyRunning(ConfigurationError):
    """Another instance runs in the data folder."""

    code = "ALREADY_RUNNING"


@dataclass
class WorkerProcess:
    """One worker as its supervisor sees it."""

    app: str
    name: str
    web_port: int
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    started_at_s: float = 0.0
    back_off_s: float = BACK_OFF_SECONDS_FIRST
    start_at_s: float = 0.0

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def forget(self) -> None:
        """Let go of a process that has ended, and of the pipe to it."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
        self.process = None


@dataclass(kw_only=True)
class Instance:
    """Broker and workers of one data folder."""

    data_dir: Path
    topology: Topology
    workers: int
    has_store: bool = True
    connection: Connection | None = None
    """None starts an embedded broker in the data folder."""
    adopts_shards: bool = False
    """Whether the partitions of topics that are there already win over the topology's shards."""
    session_timeout_s: float = 10.0
    standbys: int = 1
    worker_options: Sequence[str] = ()
    program: Sequence[str] = (sys.executable, "-m", "streams")
    """What takes `worker` and its options."""
    kafka: EmbeddedKafka | None = None
    processes: list[WorkerProcess] = field(default_factory=list)
    is_serving: bool = False
    is_described: bool = False
    """Whether run.json is ours: an instance that was refused must not take away the one that runs."""

    # -- Start and stop ----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start the broker and say where it is; raises AlreadyRunning."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._refuse_second()
        if self.connection is None:
            self.kafka = EmbeddedKafka(self.data_dir / "kafka")
            self.kafka.start()
            self.connection = Connection(bootstrap=self.kafka.bootstrap)
        self._write_run()

    async def prepare(self) -> None:
        """Create the topics that are missing; the cluster's shard count wins over topology.yaml's.

        Raises TopologyError, and creates nothing, when a number was asked for that the topics do not have.
        """
        assert self.connection is not None  # set by begin
        async with Cluster(self.connection) as cluster:
            shards = await shards_there(cluster, self.topology)
            if shards is not None and self.adopts_shards:
                self.topology = self.topology.with_shards(shards)
            elif shards not in (None, self.topology.shards):
                await require_shards(cluster, self.topology)
            await cluster.create_topics(self.topology)
        self._write_run()

    def start_workers(self) -> None:
        """Start every worker."""
        apps = [("pipeline", f"worker-{number}") for number in range(self.workers)]
        if self.has_store:
            apps.append((STORE_APP, "store-0"))
        self.processes = [WorkerProcess(app, name, _free_port()) for app, name in apps]
        for one in self.processes:
            self._start(one)
        self._write_run()

    def watch(self) -> None:
        """Restart what has died; call it every now and then."""
        changed = self._watch_kafka()
        now_s = time.monotonic()
        for one in self.processes:
            if one.is_alive:
                continue
            if one.process is not None:
                lived_s = now_s - one.started_at_s
                one.back_off_s = (
                    BACK_OFF_SECONDS_FIRST
                    if lived_s > HEALTHY_SECONDS
                    else min(2 * one.back_off_s, BACK_OFF_SECONDS_MAX)
                )
                one.start_at_s = now_s + (0.0 if lived_s > HEALTHY_SECONDS else one.back_off_s)
                one.forget()
                one.restarts += 1
                changed = True
            if now_s >= one.start_at_s:
                self._start(one)
                changed = True
        if changed:
            self._write_run()

    def end(self) -> None:
        """Stop workers, then the broker; nothing is left running."""
        for one in self.processes:
            if one.is_alive:
                assert one.process is not None  # is_alive
                one.process.send_signal(signal.SIGTERM)
        deadline_s = time.monotonic() + STOP_SECONDS_MAX
        for one in self.processes:
            if one.process is None:
                continue
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.process.wait(max(0.05, deadline_s - time.monotonic()))
            if one.is_alive:
                one.process.kill()
                one.process.wait()
            one.forget()
        if self.kafka is not None:
            self.kafka.stop()
        if self.is_described:
            (self.data_dir / RUN_FILE).unlink(missing_ok=True)

    # -- What it looks like ---------------------------------------------------------------------------------------

    async def await_serving(self, timeout_s: float) -> bool:
        """Wait until every shard is open; keeps restarting what dies. False when nothing moved for `timeout_s`.

        A restore of much state may take longer than that: as long as rows are read, it is waited for.
        """
        deadline_s, read_before = time.monotonic() + timeout_s, 0
        while time.monotonic() < deadline_s:
            self.watch()
            pages = await worker_pages([one.web_port for one in self.processes])
            read = sum(shard.get("rows_read", 0) for page in pages if page for shard in page["shards"])
            if read > read_before:
                deadline_s = time.monotonic() + timeout_s
            read_before = read
            if _serves(self.processes, pages, self.topology.shards):
                self.is_serving = True
                self._write_run()
                return True
            await asyncio.sleep(_POLL_SECONDS)
        return False

    def described(self) -> dict[str, Any]:
        """Return what run.json says; keys are stable."""
        assert self.connection is not None  # set by begin
        return {
            "pid": os.getpid(),
            "bootstrap": self.connection.bootstrap,
            "shards": self.topology.shards,
            "serving": self.is_serving,
            "kafka": None
            if self.kafka is None
            else {"pid": self.kafka.pid, "data_dir": str(self.kafka.data_dir)},
            "workers": [
                {
                    "name": one.name,
                    "app": one.app,
                    "pid": one.process.pid if one.process is not None else None,
                    "web_port": one.web_port,
                    "restarts": one.restarts,
                }
                for one in self.processes
            ],
        }

    # -- Small --------------------------------------------------------------------------------------------------------

    def _watch_kafka(self) -> bool:
        if self.kafka is None or self.kafka.is_running:
            return False
        self.kafka.start()
        return True

    def _start(self, one: WorkerProcess) -> None:
        assert self.connection is not None  # set by begin
        logs = self.data_dir / "logs"
        logs.mkdir(exist_ok=True)
        with (logs / f"{one.name}.log").open("ab") as log:
            one.process = subprocess.Popen(
                [
                    *(*self.program, "worker", "--app", one.app, "--name", one.name),
                    *("--bootstrap", self.connection.bootstrap, "--data-dir", str(self.data_dir)),
                    *("--web-port", str(one.web_port), "--shards", str(self.topology.shards)),
                    *("--session-timeout", str(self.session_timeout_s), "--standbys", str(self.standbys)),
                    "--stop-with-stdin",
                    *self.worker_options,
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops them in order
            )
        one.started_at_s = time.monotonic()

    def _refuse_second(self) -> None:
        path = self.data_dir / RUN_FILE
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid = json.loads(path.read_text("utf-8")).get("pid")
            if isinstance(pid, int) and _is_lockstep(pid):
                raise AlreadyRunning(
                    f"process {pid} runs an instance in {self.data_dir}; stop it with `lockstep down`"
                )

    def _write_run(self) -> None:
        path = self.data_dir / RUN_FILE
        scratch = path.with_suffix(".new")
        scratch.write_text(json.dumps(self.described(), indent=2) + "\n", "utf-8")
        scratch.replace(path)
        self.is_described = True


async def worker_pages(web_ports: Sequence[int], timeout_s: float = 2.0) -> list[dict[str, Any] | None]:
    """Return each worker's status page, None where it does not answer."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s)) as session:
        return await asyncio.gather(*(_page(session, port) for port in web_ports))


async def _page(session: aiohttp.ClientSession, port: int) -> dict[str, Any] | None:
    try:
        async with session.get(f"http://127.0.0.1:{port}/lockstep/status") as response:
            page = await response.json()
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None
    return page if isinstance(page, dict) else None


def _serves(processes: Sequence[WorkerProcess], pages: Sequence[dict[str, Any] | None], shards: int) -> bool:
    """Whether every shard of every app is open on some worker."""
    open_shards: dict[str, set[int]] = {one.app: set() for one in processes}
    for one, page in zip(processes, pages, strict=True):
        if page is not None:
            open_shards[one.app] |= {shard["shard"] for shard in page["shards"] if shard["state"] == "open"}
    return all(len(numbers) == shards for numbers in open_shards.values())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_lockstep(pid: int) -> bool:
    """Whether a process is alive and runs this program: a pid may have been given to somebody else since."""
    try:
        command = " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return False
    return "streams" in command or "lockstep" in command
