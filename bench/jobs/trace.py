"""J2: the real group chat, one and two endpoints an account; judged by `lockstep verify`."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contenders.altered_worker import TIMED
from bench.contenders.base import LeftOut
from bench.contenders.lockstep import LockstepPipeline
from bench.contenders.stage_times import BATCHES, DELIVERY, LOCAL, SEQUENCER, costs_ns
from bench.plan import Figure, Job, Step
from bench.running import Run, Sample
from bench.watching import counters, verified
from streams.client.feeding import feed
from streams.client.outlet import Outlet
from streams.client.publisher import Publisher
from streams.client.trace import TracePlan, read_trace

if TYPE_CHECKING:
    from bench.contenders.base import Contender
    from bench.sitting import Sitting

REPEATS = 0.05
PARTS: Mapping[str, str] = {
    "ingest": "ingest",
    "fanout": "fanout",
    SEQUENCER: "sequencer",
    DELIVERY: "delivery",
    BATCHES: "writing Kafka's batches",
    LOCAL: "sealing and local batches",
}
"""Part of a worker that has a clock -> how the table calls it."""


def trace_path() -> Path:
    """Return the trace that LOCKSTEP_TRACE names; raises LeftOut."""
    named = os.environ.get("LOCKSTEP_TRACE")
    if not named or not Path(named).exists():
        raise LeftOut("the chat trace is not there; name it in LOCKSTEP_TRACE")
    return Path(named)


class LockstepTrace(LockstepPipeline):
    """The whole pipeline, fed by a trace."""

    name = "lockstep_trace"
    title = "Lockstep, the whole pipeline on the chat trace"

    @property
    def settings(self) -> Mapping[str, str]:
        clocks = "around the batches of each stage, on the CPU time of the thread (bench/contenders/stage_times.py)"
        return {**super().settings, "clocks": clocks}

    async def require(self) -> None:
        trace_path()

    def alteration(self) -> str:
        return TIMED


async def _measure(sitting: Sitting, one: Contender, rows: int, endpoints: int, seed: int) -> dict[str, Any]:
    assert isinstance(one, LockstepTrace)
    run = Run(sitting, one, sitting.new_folder())
    plan = TracePlan(
        read_trace(trace_path(), rows),
        start_at_ms=time.time_ns() // 1_000_000,
        seed=seed,
        endpoints=endpoints,
        routes=("mobile", "web"),
    )
    begun: list[tuple[Sample, dict[str, int]]] = []

    async def settle() -> None:
        await one.drained()
        begun.append((run.sample(), await counters(one)))

    try:
        await one.start(sitting, run.folder)
        async with Publisher(sitting.client_arguments()) as publisher:
            outlet = Outlet(publisher, one.topology)
            await outlet.open()
            report = await feed(
                plan, outlet, flush=publisher.flush, settle=settle, run="bench", seed=seed, repeats=REPEATS
            )
        await one.drained()
        ended, after = run.sample(), await counters(one)
        reason, verify_s = await verified(one)
    finally:
        await one.stop()
        await sitting.wipe()
    (sample, before), requests = begun[0], report.messages + report.repeats
    done = {name: after[name] - before.get(name, 0) for name in after}
    cpu_s = ended.workers.cpu_s - sample.workers.cpu_s
    seconds = ended.at_s - sample.at_s
    updates = done.get("fanout.appends", 0)
    deliveries = updates * endpoints  # every endpoint is attached, without a window
    return {
        "requests": requests,
        "messages_per_second": requests / seconds,
        "cpu_seconds_per_million": cpu_s / requests * 1e6,
        "updates_per_request": updates / requests,
        "deliveries_per_second": deliveries / seconds,
        "deliveries_per_cpu_second": deliveries / cpu_s,
        "broker_cpu_seconds_per_million": (ended.broker.cpu_s - sample.broker.cpu_s) / requests * 1e6,
        "peak_rss_mib": run.peak_rss_bytes / 2**20,
        **_by_part(done, requests, cpu_s),
        "verify_seconds": verify_s,
        "reason": reason,
    }


def _by_part(done: Mapping[str, int], requests: int, cpu_s: float) -> dict[str, float]:
    """Return CPU-seconds per million requests of each part; they add up to what the workers used in all.

    done: the workers' counters over the same stretch. Parts that the load does not ask for (replay) are in the rest.
    """
    costs = costs_ns(done)
    seconds = {part: costs.get(part, 0) / 1e9 for part in PARTS}
    seconds["rest"] = cpu_s - sum(seconds.values())
    return {f"{part}_cpu_seconds_per_million": one / requests * 1e6 for part, one in seconds.items()}


def _step(rows: int, endpoints: int, seed: int) -> Step:
    async def measure(sitting: Sitting, one: Contender) -> dict[str, Any]:
        return await _measure(sitting, one, rows, endpoints, seed)

    return Step(LockstepTrace, LockstepTrace, measure, {"endpoints": endpoints})


J2 = Job(
    name="j2",
    title="the real chat trace",
    note="The first rows of the trace with its members, sizes, bursts and repeated numbers, and 5 % added repeats; "
    "drained (the drain check looks every 0.1 s) and judged by `lockstep verify`. An update is one entry of one inbox, "
    "a delivery one update to one endpoint. The columns of parts add up to the CPU per million requests: thread CPU "
    "time around each stage's batches, delivery by every thirteenth call; the rest is the Kafka client, the event loop "
    "and other threads.",
    figures=(
        Figure("deliveries_per_cpu_second", "deliveries per CPU-s"),
        Figure("cpu_seconds_per_million", "CPU-s per million requests"),
        Figure("messages_per_second", "requests/s"),
        Figure("deliveries_per_second", "deliveries/s"),
        Figure("updates_per_request", "updates a request"),
        Figure("broker_cpu_seconds_per_million", "broker CPU-s per million"),
        Figure("peak_rss_mib", "peak RSS MiB"),
        *(Figure(f"{part}_cpu_seconds_per_million", f"of it {said}") for part, said in PARTS.items()),
        Figure("rest_cpu_seconds_per_million", "of it the rest"),
    ),
    steps=lambda options: [_step(options.messages // 10, endpoints, options.seed) for endpoints in (1, 2)],
    runs=lambda options: min(options.runs, 1),
)
