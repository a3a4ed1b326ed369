"""Hosts the split store in a worker: follows the group's assignment and feeds what is fetched.

Takes the place that the engine's host has in a worker of the pipeline. Progress is the store's own two pointers; a
partition is held until it is open. Guarantees that the store gets each record once per opening, in order, without a
hole: a batch that the host framework dropped in a rebalance is fetched again. Tested in
tests/split_store/test_hosting.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol

import structlog

from streams.errors import LockstepError
from streams.ports import Record
from streams.split_store.store import SplitStore

log = structlog.get_logger("split_store")

BACK_OFF_S_MAX = 5.0


class Fetching(Protocol):
    """Steers the consumer."""

    def seek(self, topic: str, partition: int, offset: int) -> None: ...

    def hold(self, topic: str, partition: int) -> None: ...


class StoreHost:
    """Feeds one split store."""

    def __init__(
        self,
        store: SplitStore,
        topic: str,
        fetching: Fetching,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._topic = topic
        self._fetching = fetching
        self._sleep = sleep
        self._expected: dict[int, int] = {}
        """Open partition -> the offset that comes next."""
        self._opening: dict[int, asyncio.Task[None]] = {}
        self._failure: BaseException | None = None
        self._ended = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()
        self.problems: dict[int, str] = {}
        """Partition -> why it is not open."""

    def reconcile(self, assigned: Iterable[int]) -> None:
        """Open what is new, close what is gone, go on with the rest."""
        wanted = frozenset(assigned)
        for number in self._expected.keys() - wanted:
            del self._expected[number]
            closing = asyncio.create_task(self._store.close(number))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        for number in self._opening.keys() - wanted:
            self._opening.pop(number).cancel()
        for number in wanted:
            if number in self._expected:
                self._fetching.seek(self._topic, number, self._expected[number])
            else:
                self._fetching.hold(self._topic, number)
                if number not in self._opening:
                    self._opening[number] = asyncio.create_task(self._open(number))
                    self._opening[number].add_done_callback(self._opened)

    def wants(self, topic: str, partition: int) -> bool:  # noqa: ARG002  # there is one topic
        """Whether more may be fetched."""
        return partition in self._expected and self._store.has_room(partition)

    def take(self, topic: str, partition: int, start: int, records: Sequence[Record]) -> None:
        """Hand records to the store; fetch again what is missing before them."""
        expected = self._expected.get(partition)
        if expected is None:
            return
        if start > expected:
            self._fetching.seek(topic, partition, expected)
            return
        fresh = [record for record in records if record.offset >= expected]
        if fresh:
            self._store.take(partition, fresh)
            self._expected[partition] = fresh[-1].offset + 1

    async def run(self) -> None:
        """Serve until `stop`; raises what an opening failed with, which is a bug."""
        await self._ended.wait()
        await self._close_all()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End `run`."""
        self._ended.set()

    async def _close_all(self) -> None:
        for task in self._opening.values():
            task.cancel()
        await asyncio.gather(*self._opening.values(), *self._closing, return_exceptions=True)
        await self._store.close_all()

    def status(self) -> list[dict[str, Any]]:
        """Return the state of each partition, as /lockstep/status shows it."""
        shown = []
        status = self._store.status()
        for number in sorted(self._expected.keys() | self.problems.keys() | self._opening.keys()):
            one = status.get(number)
            problem = self.problems.get(number) or (one and (one.metadata_problem or one.body_problem)) or ""
            pointers = None if one is None else one.pointers
            shown.append(
                {
                    "shard": number,
                    "state": "open" if number in self._expected else "opening",
                    "detail": problem,
                    "inputs": {
                        self._topic: {
                            "progress": None if pointers is None else pointers.lowest,
                            "metadata": None if pointers is None else pointers.metadata,
                            "bodies": None if pointers is None else pointers.bodies,
                            "fetched": self._expected.get(number),
                        }
                    },
                }
            )
        return shown

    def _opened(self, task: asyncio.Task[None]) -> None:
        """Let a bug end the worker instead of a partition in silence."""
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._failure = failure
            self._ended.set()

    async def _open(self, number: int) -> None:
        wait_s = 0.1
        while True:
            try:
                start = await self._store.open(number)
            except LockstepError as error:
                self.problems[number] = f"{error.code}: {error}"
                log.warning("split_store.opening_failed", shard=number, reason=str(error))
                await self._sleep(wait_s)
                wait_s = min(2 * wait_s, BACK_OFF_S_MAX)
            else:
                self.problems.pop(number, None)
                del self._opening[number]
                self._expected[number] = start
                self._fetching.seek(self._topic, number, start)
                return
