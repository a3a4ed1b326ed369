"""What it costs to be watched, of a whole run: J1b with all that observes switched off, and as it is, in turn.

As it is: with a scrape of /metrics a second, more often than any Prometheus asks. The two are run alternately, round by
round, so that what the machine does meanwhile meets both. `python -m bench.observing` asks the same of a single call.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

from bench.beside import beside
from bench.contenders.altered_worker import AS_IT_IS, UNOBSERVED
from bench.contenders.lockstep import LockstepPipeline
from bench.jobs.throughput import measured
from bench.jobs.two_hop import FIGURES
from bench.load import Load
from bench.plan import Job, Options, Step
from bench.running import running

if TYPE_CHECKING:
    from bench.contenders.base import Contender
    from bench.sitting import Sitting

SCRAPE_EVERY_SECONDS = 1.0


class LockstepUnobserved(LockstepPipeline):
    """The whole pipeline, and nobody looks."""

    name = "lockstep_unobserved"
    title = "Lockstep, the whole pipeline, observing nothing"

    def alteration(self) -> str:
        return UNOBSERVED


class LockstepObserved(LockstepPipeline):
    """The whole pipeline, scraped each second."""

    name = "lockstep_observed"
    title = "Lockstep, the whole pipeline, scraped each second"

    def alteration(self) -> str:
        return AS_IT_IS


@asynccontextmanager
async def _scraped(one: LockstepPipeline) -> AsyncIterator[None]:
    """Ask every worker for its metrics, each second."""
    assert one.instance is not None, "started"
    addresses = [f"http://127.0.0.1:{process.web_port}/metrics" for process in one.instance.processes]

    async def scrape() -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            while True:
                for address in addresses:
                    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                        async with session.get(address) as answer:
                            await answer.read()
                await asyncio.sleep(SCRAPE_EVERY_SECONDS)

    async with beside(scrape()):
        yield


async def _measure(sitting: Sitting, one: Contender, load: Load) -> dict[str, Any]:
    assert isinstance(one, LockstepPipeline)
    async with running(sitting, one, load) as run:
        records = run.encode(load)
        async with _scraped(one) if isinstance(one, LockstepObserved) else contextlib.nullcontext():
            return await measured(run, records)


def _steps(options: Options) -> list[Step]:
    load = Load(messages=options.messages, seed=options.seed, names_recipient=False)

    async def measure(sitting: Sitting, one: Contender) -> dict[str, Any]:
        return await _measure(sitting, one, load)

    return [Step(one, one, measure) for one in (LockstepUnobserved, LockstepObserved)]


OBSERVING = Job(
    name="observing",
    title="what metrics cost the whole pipeline",
    note="J1b in a worker of the bench that observes nothing (no observer of units, no counters of stages, no pulse), "
    "and in one as it is, whose /metrics is read each second; in turn, round by round.",
    figures=FIGURES,
    steps=_steps,
    compares=(LockstepUnobserved.name, LockstepObserved.name),
    in_all=False,
)
