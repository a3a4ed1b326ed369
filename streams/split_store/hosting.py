"""Hosts the split store in a worker: follows the group's assignment and feeds what is fetched.

Takes the place that the engine's host has in a worker of the pipeline. Progress is the store's own two pointers; a
partition is held until it is open. Guarantees that the store gets each record once per opening, in order, without a
hole: a batch that the host framework dropped in a rebalance is fetched again.

What a partition may die of by name (a full disk, a damaged store, a queue trimmed above its pointers) closes it, shows
in the status, and is tried again after pauses that grow; the other partitions go on. Everything else is a bug and ends
the worker, which its supervisor starts again. Tested in tests/split_store/test_hosting.py.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from streams.errors import LockstepError
from streams.split_store.retry import pause_s

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence

    from streams.errors import TopicsChanged
    from streams.ports import Record
    from streams.split_store.store import PartitionStatus, SplitStore

log = structlog.get_logger("split_store")


class Fetching(Protocol):
    """Steers the consumer."""

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Fetch from an offset on."""
        ...

    def hold(self, topic: str, partition: int) -> None:
        """Fetch nothing of a partition until the next `seek`."""
        ...


class StoreHost:
    """Feeds one split store."""

    def __init__(
        self,
        store: SplitStore,
        topic: str,
        fetching: Fetching,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._topic = topic
        self._fetching = fetching
        self._sleep = sleep
        self._chance = chance
        self._expected: dict[int, int] = {}
        """Open partition -> the offset that comes next."""
        self._keepers: dict[int, asyncio.Task[None]] = {}
        """Assigned partition -> what keeps it open."""
        self._leaving: dict[int, set[asyncio.Task[None]]] = {}
        """Partition -> its former keepers, until they have closed it."""
        self._problems: dict[int, str] = {}
        """Partition -> what stopped it last."""
        self._reached: dict[int, int] = {}
        """Partition -> its lower pointer when it was stopped last."""
        self._failure: BaseException | None = None
        self._ended = asyncio.Event()
        self.topics_missing: Sequence[str] = ()
        """What the cluster has lost of its topics; kept by engine.topic_watch."""
        self._change = ""
        self._changed: asyncio.Future[None] | None = None
        """Fails when the queue is deleted or made anew; whoever keeps a partition open waits for it."""

    # -- What the transport asks (engine.transport.Feeding) ---------------------------------------------------

    def reconcile(self, assigned: Iterable[int], standbys: Iterable[int] = ()) -> None:  # noqa: ARG002  # it has none
        """Open what is new, close what is gone, go on with the rest."""
        wanted = frozenset(assigned)
        for number in self._keepers.keys() - wanted:
            self._let_go(number)
        for number in wanted:
            if number in self._expected:
                self._fetching.seek(self._topic, number, self._expected[number])
                continue
            self._fetching.hold(self._topic, number)
            if number not in self._keepers:
                before = frozenset(self._leaving.get(number, ()))
                self._keepers[number] = self._watched(self._keep_open(number, before))

    def wants(self, topic: str, partition: int) -> bool:  # noqa: ARG002  # there is one topic
        """Whether more may be fetched."""
        return self._is_open(partition) and self._store.has_room(partition)

    def take(self, topic: str, partition: int, start: int, records: Sequence[Record]) -> None:
        """Hand records to the store; fetch again what is missing before them."""
        if not self._is_open(partition):
            return
        expected = self._expected[partition]
        if start > expected:
            self._fetching.seek(topic, partition, expected)
            return
        fresh = [record for record in records if record.offset >= expected]
        if fresh:
            self._store.take(partition, fresh)
            self._expected[partition] = fresh[-1].offset + 1

    def topics_changed(self, error: TopicsChanged) -> None:
        """Stop every open partition: what it would be told next may be of another queue."""
        self._change = str(error)
        changed, self._changed = self._changed, None
        if changed is not None and not changed.done():
            changed.set_exception(error)
            changed.exception()  # not an error of whoever made it, when nobody waits

    # -- Life -------------------------------------------------------------------------------------------------

    async def run(self, *beside: Coroutine[Any, Any, None]) -> None:
        """Serve until `stop`, with what is to run beside it; raises the bug that ended any of it."""
        others = [self._watched(one) for one in beside]
        try:
            await self._ended.wait()
        finally:
            for task in others:
                task.cancel()
            for number in list(self._keepers):
                self._let_go(number)
            leaving = [task for tasks in self._leaving.values() for task in tasks]
            await asyncio.gather(*others, *leaving, return_exceptions=True)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End `run`."""
        self._ended.set()

    def _watched(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        task.add_done_callback(self._end_by_bug)
        return task

    def _end_by_bug(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (bug := task.exception()) is None:
            return
        log.error("split_store.failed", reason=repr(bug))
        self._failure = self._failure or bug
        self._ended.set()

    # -- Partitions -------------------------------------------------------------------------------------------

    def _is_open(self, number: int) -> bool:
        return number in self._expected and self._store.is_running(number)

    def _let_go(self, number: int) -> None:
        self._expected.pop(number, None)
        self._problems.pop(number, None)
        self._reached.pop(number, None)
        keeper = self._keepers.pop(number)
        self._leaving.setdefault(number, set()).add(keeper)
        keeper.add_done_callback(self._leaving[number].discard)
        keeper.cancel()

    async def _keep_open(self, number: int, before: frozenset[asyncio.Task[None]]) -> None:
        """Open a partition, again whenever it was stopped, once its former keepers have closed it."""
        if before:
            await asyncio.wait(before)
        failures = 0
        try:
            while True:
                try:
                    self._opened(number, await self._store.open(number))
                    await self._stopped_or_changed(number)
                except LockstepError as error:
                    failures = 1 if self._moved_on(number) else failures + 1
                    await self._stopped(number, error)
                await self._sleep(pause_s(failures, self._chance()))
        finally:
            await self._store.close(number)

    async def _stopped_or_changed(self, number: int) -> None:
        """Wait for what stops an open partition, from within or from without, and raise it."""
        self._changed = changed = self._changed or asyncio.get_running_loop().create_future()
        stopped = asyncio.ensure_future(self._store.stopped(number))
        try:
            await asyncio.wait({stopped, changed}, return_when=asyncio.FIRST_COMPLETED)
            (changed if changed.done() else stopped).result()
        finally:
            stopped.cancel()
            await asyncio.gather(stopped, return_exceptions=True)

    def _opened(self, number: int, start: int) -> None:
        self._expected[number] = start
        self._fetching.seek(self._topic, number, start)

    async def _stopped(self, number: int, error: LockstepError) -> None:
        self._expected.pop(number, None)
        self._fetching.hold(self._topic, number)
        self._problems[number] = f"{error.code}: {error}"
        log.warning("split_store.partition_stopped", shard=number, code=error.code, reason=str(error))
        await self._store.close(number)

    def _moved_on(self, number: int) -> bool:
        """Whether something was stored since the partition was stopped before."""
        pointers = self._store.pointers().get(number)
        if pointers is None:
            return False
        reached, self._reached[number] = self._reached.get(number, -1), pointers.lowest
        return pointers.lowest > reached

    # -- Status -----------------------------------------------------------------------------------------------

    @property
    def waits_for(self) -> str | None:
        """What has to come back before anything can be stored, or None."""
        return f"waiting: {self._change}" if self.topics_missing else None

    def status(self) -> list[dict[str, Any]]:
        """Return the state of each assigned partition, as /lockstep/status shows it."""
        status = self._store.status()
        return [self._status_of(number, status.get(number)) for number in sorted(self._keepers)]

    def _status_of(self, number: int, one: PartitionStatus | None) -> dict[str, Any]:
        problem = self._problem_of(number, one)
        state = "open" if self._is_open(number) else "failed" if problem else "opening"
        shown: dict[str, Any] = {
            "shard": number,
            "state": state,
            "detail": problem,
            "inputs": {},
            "problems": {},
        }
        if one is None:
            return shown
        shown["inputs"][self._topic] = {
            "progress": one.pointers.lowest,
            "metadata": one.pointers.metadata,
            "bodies": one.pointers.bodies,
            "fetched": self._expected.get(number),
        }
        shown["problems"] = {
            half: {"failures": failures, "detail": detail}
            for half, failures, detail in (
                ("metadata", one.metadata_failures, one.metadata_problem),
                ("bodies", one.body_failures, one.body_problem),
            )
            if detail is not None
        }
        return shown

    def _problem_of(self, number: int, one: PartitionStatus | None) -> str:
        """What is wrong: what stopped the partition, until it moves on; else what is being tried again."""
        if one is None:
            return self._problems.get(number, "")
        if one.pointers.lowest > self._reached.get(number, -1):
            self._problems.pop(number, None)
        return self._problems.get(number) or one.metadata_problem or one.body_problem or ""
