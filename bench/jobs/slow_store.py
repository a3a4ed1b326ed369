"""The split store answers slowly under a steady load: delivery must not notice, and the store must come back.

The store is its own app behind its own topic, so what it does not keep up with lies in Kafka. Counted in messages:
those that got their place in a thread, less the rows and the bodies that are written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from bench.beside import beside
from bench.contenders.altered_worker import SLOW_STORE
from bench.contenders.lockstep import LockstepPipeline
from bench.contenders.slow_stores import Switch
from bench.jobs.latency import ACCOUNTS, paced
from bench.load import Load
from bench.machine import usage
from bench.plan import Figure, Job, Options, Step
from bench.running import running
from bench.watching import counters, fault_in, judged
from streams.topology.model import STORE_APP

if TYPE_CHECKING:
    from bench.contenders.base import Contender
    from bench.sitting import Sitting

WRITE_SECONDS = 8.0
"""Of each write while the store is slow. A write takes up to 500 records of one shard, so four shards do 250
messages/s; and it stays below the store's own time-out of 10 s: slow, not down."""
CATCH_UP_SECONDS_MAX = 180.0
_LOOK_SECONDS = 0.1
_RSS_SECONDS = 0.5
HALVES = ("bodies_without_metadata", "metadata_without_body")
"""What `lockstep verify` counts of a store; both must be 0."""


class LockstepStored(LockstepPipeline):
    """The whole pipeline with its split store, whose writes can be made slow."""

    name = "lockstep_stored"
    title = "Lockstep, the whole pipeline and its store"
    has_store: ClassVar[bool] = True

    @property
    def switch(self) -> Switch:
        """What makes the store slow."""
        assert self.folder is not None, "it runs"
        return Switch(self.folder / "store-is-slow")

    def alteration(self) -> str:
        return f"{SLOW_STORE}={self.switch.path}"


class Behind(NamedTuple):
    """Messages that each half has yet to write."""

    metadata: int
    bodies: int


def behind(counted: dict[str, int]) -> Behind:
    """Return how far the store is behind, by the counters of workers none of which was restarted."""
    admitted = counted.get("fanout.admitted", 0)
    return Behind(admitted - counted.get("rows", 0), admitted - counted.get("bodies", 0))


async def caught_up(one: LockstepPipeline) -> float:
    """Wait until both halves have everything; return seconds. Raises TimeoutError."""
    began_s = time.monotonic()
    while any(behind(await counters(one))):
        if time.monotonic() - began_s > CATCH_UP_SECONDS_MAX:
            raise TimeoutError(f"the store did not catch up in {CATCH_UP_SECONDS_MAX:g} s")
        await asyncio.sleep(_LOOK_SECONDS)
    return time.monotonic() - began_s


@asynccontextmanager
async def _rss_of_store(one: LockstepPipeline) -> AsyncIterator[list[int]]:
    """Yield a list that gets the resident bytes of the store's app, twice a second."""
    seen: list[int] = []

    async def watch() -> None:
        while True:
            seen.append(usage(one.processes_of(STORE_APP)).rss_bytes)
            await asyncio.sleep(_RSS_SECONDS)

    async with beside(watch()):
        yield seen


async def _measure(sitting: Sitting, one: Contender, options: Options, *, is_slow: bool) -> dict[str, Any]:
    assert isinstance(one, LockstepStored)
    async with running(sitting, one, Load(messages=0, accounts=ACCOUNTS)) as run:
        await caught_up(one)
        async with _rss_of_store(one) as rss:
            if is_slow:
                one.switch.turn_on(WRITE_SECONDS)
            try:
                found = await paced(run, options.rate / 2, options.seconds, options.seed)
                left = behind(await counters(one))
            finally:
                one.switch.turn_off()
            if found["reason"] is not None:
                return found
            seconds = await caught_up(one)
        await one.drained()
        report = await judged(one)
        return {
            **found,
            "metadata_behind": left.metadata,
            "bodies_behind": left.bodies,
            "caught_up_after_s": seconds,
            "store_peak_rss_mib": max(rss) / 2**20,
            **{name: report[name] for name in HALVES},
            "reason": await run.reason() or fault_in(report),
        }


def _step(options: Options, *, is_slow: bool) -> Step:
    async def measure(sitting: Sitting, one: Contender) -> dict[str, Any]:
        return await _measure(sitting, one, options, is_slow=is_slow)

    return Step(LockstepStored, LockstepStored, measure, {"store": "slow" if is_slow else "quick"})


SLOW_STORE_JOB = Job(
    name="slow-store",
    title="a split store whose writes take long, under a steady load",
    note="Delivery at half the usual rate with a quick store, then with one whose every write takes "
    f"{WRITE_SECONDS:g} s (a bench-only wrapper around both embedded stores, behind their ports): latency must be the "
    "same. Behind: messages that the store's halves had yet to write when the load ended (10 s of warm-up and the "
    "measured seconds); then the store is quick again. Checked by both checkers, the stores by `lockstep verify`.",
    figures=(
        Figure("p99_ms", "p99 ms"),
        Figure("p50_ms", "p50 ms"),
        Figure("metadata_behind", "metadata behind, messages"),
        Figure("bodies_behind", "bodies behind, messages"),
        Figure("caught_up_after_s", "caught up after s"),
        Figure("store_peak_rss_mib", "the store's peak RSS MiB"),
        Figure("bodies_without_metadata", "bodies without metadata"),
        Figure("metadata_without_body", "metadata without body"),
    ),
    steps=lambda options: [_step(options, is_slow=False), _step(options, is_slow=True)],
    runs=lambda _: 1,
    in_all=False,
)
