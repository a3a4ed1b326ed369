"""Start of an instance, and what happens when one of two workers dies for good."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from bench.contenders.lockstep import LockstepPipeline
from bench.load import Load
from bench.plan import Figure, Job, Step
from bench.running import running
from bench.watching import generation
from streams.cli.instance import Instance, worker_pages
from streams.topology import load_topology

if TYPE_CHECKING:
    from bench.contenders.base import Contender
    from bench.sitting import Sitting

SERVING_SECONDS_MAX = 120.0
SESSION_SECONDS = 6.0
ACCOUNTS = 5_000


async def _start(sitting: Sitting, one: Contender) -> dict[str, Any]:  # noqa: ARG001  # it has a broker of its own
    """From nothing to every shard open, the broker's start included, with the jars in the cache."""
    began_s = time.monotonic()
    topology = load_topology().with_shards(sitting.partitions)
    instance = Instance(data_dir=sitting.new_folder(), topology=topology, workers=1, has_store=False)
    try:
        await asyncio.to_thread(instance.begin)
        await instance.prepare()
        instance.start_workers()
        is_serving = await instance.await_serving(SERVING_SECONDS_MAX)
        seconds = time.monotonic() - began_s
    finally:
        await asyncio.to_thread(instance.end)
    return {"serving_after_s": seconds, "reason": None if is_serving else "the instance does not serve"}


async def _takeover(sitting: Sitting, one: Contender) -> dict[str, Any]:
    """SIGKILL one of two workers that does not come back, and watch the other take its shards."""
    assert isinstance(one, LockstepPipeline)
    async with running(sitting, one, Load(messages=0, accounts=ACCOUNTS)) as run:
        assert one.instance is not None, "started"
        victim, other = one.instance.processes
        assert victim.process is not None, "it serves"
        before = await generation(one)
        kept = await _settled(other.web_port, sitting.partitions, one.standbys)
        victim.process.kill()
        killed_s = time.monotonic()
        noticed_s: float | None = None
        while True:
            (page,) = await worker_pages([other.web_port])
            if page is not None:
                if noticed_s is None and page["generation"] > before:
                    noticed_s = time.monotonic()
                if sum(shard["state"] == "open" for shard in page["shards"]) == sitting.partitions:
                    break
            if time.monotonic() - killed_s > SERVING_SECONDS_MAX:
                return {"reason": "the other worker did not take over"}
            await asyncio.sleep(0.02)
        served_s = time.monotonic()
        return {
            "noticed_after_s": (noticed_s or served_s) - killed_s,
            "serving_after_notice_s": served_s - (noticed_s or served_s),
            "records_read": sum(shard["rows_read"] for shard in page["shards"] if shard["shard"] not in kept),
            "reason": await run.reason(),
        }


async def _settled(web_port: int, shards: int, standbys: int) -> set[int]:
    """Wait until a worker has copied all shards but its own, where copies are kept; return its own."""
    deadline_s = time.monotonic() + SERVING_SECONDS_MAX
    while time.monotonic() < deadline_s:
        (page,) = await worker_pages([web_port])
        copies = [] if page is None else page["standbys"]
        if page is not None and all(copy["behind"] == 0 for copy in copies):
            own = {shard["shard"] for shard in page["shards"]}
            if not standbys or len(own) + len(copies) == shards:
                return own
        await asyncio.sleep(0.1)
    raise TimeoutError(f"the copies are not warm after {SERVING_SECONDS_MAX:g} s")


def _step(tokens: int, standbys: int) -> Step:
    return Step(
        lambda: LockstepPipeline(2, SESSION_SECONDS, tokens, standbys),
        LockstepPipeline,
        _takeover,
        {"workers": 2, "tokens": tokens, "standbys": standbys},
    )


START = Job(
    name="start",
    title="from nothing to serving",
    note="`lockstep up` with four shards and one worker: broker, topics, worker; the jars are in the cache.",
    figures=(Figure("serving_after_s", "serving after s"),),
    steps=lambda _: [Step(LockstepPipeline, LockstepPipeline, _start)],
    in_all=False,
    run_seconds=10,
)

TAKEOVER = Job(
    name="takeover",
    title="one of two workers dies and does not come back",
    note="The other half of J4: there a worker comes back to its store, here another one takes its shards, from warm "
    "copies (standbys 1) and without (standbys 0), with the state of J4 (`--sizes 0`: with none). A job of its own, "
    f"since it has two workers and other figures. Session time-out {SESSION_SECONDS:g} s. Noticed: the other worker "
    "sees a new generation of the group.",
    figures=(
        Figure("serving_after_notice_s", "serving after the notice, s"),
        Figure("noticed_after_s", "noticed after s"),
        Figure("records_read", "records read at the openings"),
    ),
    steps=lambda options: [_step(max(options.sizes), standbys) for standbys in (1, 0)],
    runs=lambda options: min(options.runs, 1),
    run_seconds=90,
)
