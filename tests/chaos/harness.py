"""A whole instance under chaos: one real broker, real worker processes, traffic, a reader beside it, the verifier.

`judged` is what every test ends with: the traffic pauses, the instance drains, the reader has seen everything without
a breach, and the verifier finds nothing wrong with all that was ever written, so that what one fault left behind is
still found many faults later. Everything waits by polling with deadlines that are generous on a busy machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from streams.adapters.cluster import Cluster
from streams.broker import EmbeddedKafka
from streams.cli.context import Cluster as CommandCluster
from streams.cli.instance import worker_pages
from streams.cli.stores import open_store, store_pointers
from streams.cli.verify import verify_cluster
from streams.connection import Connection
from streams.topology import load_topology
from streams.verify.drain import DrainCheck, wait_until_drained
from streams.verify.report import Report
from tests.chaos.processes import Worker
from tests.chaos.reader import Reader
from tests.chaos.traffic import Traffic
from tests.chaos.waiting import NotInTime, until, until_answered

SHARDS = 4
SERVING_SECONDS_MAX = 90.0
DRAIN_SECONDS_MAX = 150.0
ASKED_SECONDS_MAX = 120.0
REQUESTS_A_SECOND = 60.0
USUAL_WORKERS = 2


class Harness:
    """Use as `async with`; begins with every worker running and the set-up processed."""

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        pipeline_workers: int = 3,
        requests_a_second: float = REQUESTS_A_SECOND,
    ) -> None:
        self.folder = folder
        self.topology = load_topology(shards=SHARDS)
        self.broker = EmbeddedKafka(folder / "kafka")
        self._seed = seed
        self._requests_a_second = requests_a_second
        self._pipeline_workers = pipeline_workers
        self._stack = AsyncExitStack()
        self.pipeline: list[Worker] = []
        """All that a storm may use; `usual` are those that run."""
        self.judgements = 0

    async def __aenter__(self) -> Self:
        try:
            await self._begin()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _begin(self) -> None:
        await asyncio.to_thread(self.broker.start)
        self._stack.push_async_callback(asyncio.to_thread, self.broker.stop)
        self.connection = Connection(bootstrap=self.broker.bootstrap)
        async with Cluster(self.connection) as cluster:
            await cluster.create_topics(self.topology)
        self.pipeline = [
            self._worker("pipeline", f"worker-{number}") for number in range(self._pipeline_workers)
        ]
        self.store = self._worker("store", "store-0")
        for worker in (*self.usual, self.store):
            worker.start()
        await self.serving()
        arguments = self.connection.client_arguments()
        self.reader = await self._stack.enter_async_context(Reader(arguments, self.topology))
        self.traffic = await self._stack.enter_async_context(
            Traffic(arguments, self.topology, seed=self._seed, requests_a_second=self._requests_a_second)
        )
        await self.traffic.set_up()
        await self.drained()
        self._flow = asyncio.create_task(self.traffic.run())
        self._stack.push_async_callback(self._end_flow)
        self.traffic.resume()

    @property
    def workers(self) -> list[Worker]:
        """Every worker, whether it runs or not."""
        return [*self.pipeline, self.store]

    @property
    def usual(self) -> list[Worker]:
        """The pipeline workers that run when nothing is wrong."""
        return self.pipeline[:USUAL_WORKERS]

    async def recovered(self) -> None:
        """Start what is dead, continue what is suspended, stop what is too many, wait until everything serves."""
        if not self.broker.is_running:
            await asyncio.to_thread(self.broker.start)
        for worker in self.workers:
            if worker.is_suspended:
                worker.resume()
            if worker in self.pipeline[USUAL_WORKERS:]:
                await worker.stop()
            elif not worker.is_alive:
                worker.start()
        await self.serving()

    # -- Waiting -----------------------------------------------------------------------------------------------------

    async def serving(self) -> None:
        """Wait until every shard of both apps is open, and every pipeline worker that runs has one of them."""
        async with self._explained():
            await until_answered(self._serves, "every shard is open", SERVING_SECONDS_MAX)

    async def open_shards(self, worker: Worker) -> set[int]:
        """The shards that a worker shows as open; none when it does not answer."""
        page = await self.page(worker)
        return {one["shard"] for one in page.get("shards", ()) if one["state"] == "open"}

    async def standbys(self, worker: Worker) -> dict[int, int | None]:
        """The shards of which a worker keeps copies -> how far each is behind."""
        page = await self.page(worker)
        return {one["shard"]: one["behind"] for one in page.get("standbys", ())}

    async def page(self, worker: Worker) -> dict[str, Any]:
        """A worker's status page, {} when it does not answer."""
        if not worker.is_alive or worker.is_suspended:
            return {}
        (page,) = await worker_pages([worker.web_port])
        return page or {}

    async def answered(self, more: int = 3) -> None:
        """Wait until so many more requests were answered: the pipeline is at work."""
        wanted = self.traffic.asked + more
        async with self._explained():
            await until(
                lambda: self.traffic.asked >= wanted or self._flow.done(),
                "requests are answered",
                ASKED_SECONDS_MAX,
            )
        self._raise_failures()

    async def fed(self, requests: int) -> None:
        """Wait until so many more requests were written: a beat that goes with the load, not with the clock."""
        wanted = self.traffic.requests + requests
        await until(
            lambda: self.traffic.requests >= wanted or self._flow.done(),
            f"{requests} requests are written",
            ASKED_SECONDS_MAX,
        )
        self._raise_failures()

    async def drained(self) -> None:
        """Wait until nothing remains to be done, the store included."""
        cluster = self._cluster()
        with open_store(cluster) as store:
            pointers = store_pointers(cluster, store)
            async with DrainCheck(cluster.client_arguments(), self.topology, pointers) as check:
                lags = await wait_until_drained(check, timeout_seconds=DRAIN_SECONDS_MAX)
        assert not lags, f"not drained: {lags}\n{await self._explanation()}"

    # -- Judging -----------------------------------------------------------------------------------------------------

    async def quiet(self) -> None:
        """Pause the traffic, until `traffic.resume`, and wait until nothing remains to be done."""
        self.traffic.pause()
        async with self._explained():
            await until(
                lambda: self.traffic.is_idle or self._flow.done(),
                "what is asked is answered",
                ASKED_SECONDS_MAX,
            )
        self._raise_failures()
        await self.traffic.flush()
        await self.drained()

    async def judged(self) -> Report:
        """Pause, drain, judge everything since the beginning, go on; raises when anything is wrong."""
        await self.quiet()
        ends = await self.reader.ends()

        async def has_seen_all() -> bool:
            return self.reader.failure is not None or await self.reader.is_at(ends)

        await until_answered(has_seen_all, "the reader has seen everything", DRAIN_SECONDS_MAX)
        self._raise_failures()
        report = await verify_cluster(self._cluster(), lambda _topic, _done, _total: None)
        assert report.ok, f"{report.offenders}\n{report.counters}"
        self.judgements += 1
        self.traffic.resume()
        return report

    def _raise_failures(self) -> None:
        if self._flow.done():
            self._flow.result()
            raise AssertionError("the traffic ended")
        if self.reader.failure is not None:
            raise self.reader.failure
        assert self.reader.follower.breaches == [], self.reader.follower.breaches[:5]

    # -- Small -------------------------------------------------------------------------------------------------------

    def _worker(self, app: str, name: str) -> Worker:
        worker = Worker(app, name, bootstrap=self.broker.bootstrap, data_dir=self.folder, shards=SHARDS)
        self._stack.callback(worker.close)
        return worker

    def _cluster(self) -> CommandCluster:
        return CommandCluster(self.connection, self.folder, self.topology)

    async def _serves(self) -> bool:
        found = [await self.open_shards(worker) for worker in self.pipeline if worker.is_alive]
        in_store = await self.open_shards(self.store)
        return all(found) and len(set().union(*found)) == SHARDS == len(in_store)

    async def _end_flow(self) -> None:
        self._flow.cancel()
        await asyncio.gather(self._flow, return_exceptions=True)

    @asynccontextmanager
    async def _explained(self) -> AsyncIterator[None]:
        """Tell with what did not happen in time what each worker said last, and what it waits for."""
        try:
            yield
        except NotInTime as error:
            raise NotInTime(f"{error}\n{await self._explanation()}") from None

    async def _explanation(self) -> str:
        told = []
        for worker in self.workers:
            if worker.lives:
                state = "suspended" if worker.is_suspended else "alive" if worker.is_alive else "dead"
                tail = worker.tail()  # before its stacks stand there
                told.append(f"====== {worker.name}, {state}\n{tail}\n{await worker.stacks()}")
        return "\n".join(told)
