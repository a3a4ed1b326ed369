"""Trims the queue: what is older than it need be, and stored in both halves (W9).

Kafka itself deletes nothing of this topic by age: a store that was down for longer than its records are kept would
then never have seen them. Instead the store's worker moves the log start now and then. Pure but for `keep_trimmed`,
whose rounds may fail at any time without harm. Not promised: that what may go is gone at once.
Tested in tests/split_store/test_trimming.py and, on real Kafka, tests/e2e/test_split_store_kafka.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import structlog

from streams.errors import LockstepError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from streams.split_store.stage import Pointers
    from streams.split_store.store import SplitStore

log = structlog.get_logger("split_store")

ROUND_S = 5.0
"""Between two rounds: also how old the broker's state in the status may be."""


class QueueLog(Protocol):
    """The queue's log, as far as trimming needs it. Every call raises BrokerUnavailable."""

    async def check(self) -> None:
        """Return if the broker answers."""
        ...

    async def first_younger(self, partitions: Collection[int], than_ms: int) -> Mapping[int, int | None]:
        """Return the first offset of an instant or later for each partition, None where there is none."""
        ...

    async def delete_below(self, offsets: Mapping[int, int]) -> None:
        """Delete what lies below an offset, for each partition named."""
        ...


def log_starts(pointers: Mapping[int, Pointers], younger: Mapping[int, int | None]) -> dict[int, int]:
    """Return where each log may begin: never above its lower pointer, nor above the first young record."""
    starts = {}
    for partition, of_partition in pointers.items():
        young = younger.get(partition)
        starts[partition] = of_partition.lowest if young is None else min(of_partition.lowest, young)
    return starts


class Trimmer:
    """Goes its rounds; `broker` says whether the last one got through: "up", or why not."""

    def __init__(
        self,
        store: SplitStore,
        queue: QueueLog,
        kept_ms: int | None,
        *,
        now_ms: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._store = store
        self._queue = queue
        self._kept_ms = kept_ms
        self._now_ms = now_ms
        self._sleep = sleep
        self._trimmed: dict[int, int] = {}
        self.broker = "connecting"

    async def run(self) -> None:
        """Go round until cancelled; without `kept_ms`, only look whether the broker answers."""
        while True:
            try:
                await self._queue.check()
                if self._kept_ms is not None:
                    await self.trim(self._kept_ms)
                self.broker = "up"
            except LockstepError as error:
                self.broker = f"waiting: {error}"
                log.warning("split_store.round_failed", reason=str(error))
            await self._sleep(ROUND_S)

    async def trim(self, kept_ms: int) -> None:
        """Move the log starts of the open partitions."""
        pointers = self._store.pointers()  # taken first: they may have moved on by the time of the deletion
        if not pointers:
            return
        younger = await self._queue.first_younger(pointers.keys(), self._now_ms() - kept_ms)
        starts = log_starts(pointers, younger)
        moved = {one: start for one, start in starts.items() if start > self._trimmed.get(one, 0)}
        if moved:
            await self._queue.delete_below(moved)
            self._trimmed |= moved
