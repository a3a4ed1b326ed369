"""Soak: half load for some minutes with a SIGKILL of a worker every 30 s; memory, disk, and the verdict at the end."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

from bench.contenders.lockstep import LockstepPipeline
from bench.feeding import feed_at_rate
from bench.jobs.latency import ACCOUNTS
from bench.jobs.load import CHUNK, capacity
from bench.load import Load
from bench.outputs import Ends
from bench.plan import Figure, Job, Options, Step
from bench.running import Run, running
from bench.watching import timeline, verified

if TYPE_CHECKING:
    from bench.contenders.base import Contender
    from bench.sitting import Sitting

KILL_EVERY_SECONDS = 30.0
WORKERS = 2
SHARE_OF_CAPACITY = 0.5
CHUNK_SECONDS = 10.0


async def _soak(sitting: Sitting, one: Contender, minutes: float, seed: int) -> dict[str, Any]:
    assert isinstance(one, LockstepPipeline)
    async with running(sitting, one, Load(messages=0, accounts=ACCOUNTS)) as run:
        rate = await capacity(run) * SHARE_OF_CAPACITY
        async with timeline(one) as points:
            kills: list[float] = []
            killing = asyncio.create_task(_kill_now_and_then(one, kills, random.Random(seed)))
            try:
                fed = await _feed(run, rate, minutes * 60)
            finally:
                killing.cancel()
                await asyncio.gather(killing, return_exceptions=True)
            while not all(child.is_alive for child in _instance(one).processes):
                _instance(one).watch()
                await asyncio.sleep(0.1)
            async with Ends(sitting, one.output_topics) as ends:
                await run.settled(ends, run.due())
            await one.drained()
        reason = await run.reason() or (await verified(one))[0]
    quarter = max(1, len(points) // 4)
    first, last = points[quarter : 2 * quarter] or points, points[-quarter:]
    return {
        "rate": rate,
        "messages": fed,
        "kills": len(kills),
        "rss_first_mib": _mean(first, "rss_mib"),
        "rss_last_mib": _mean(last, "rss_mib"),
        "disk_first_mib": _mean(first, "disk_mib"),
        "disk_last_mib": _mean(last, "disk_mib"),
        "peak_rss_mib": max(point["rss_mib"] for point in points),
        "timeline": points,
        "reason": reason,
    }


def _instance(one: LockstepPipeline) -> Any:
    assert one.instance is not None, "started"
    return one.instance


def _mean(points: list[dict[str, float]], key: str) -> float:
    return sum(point[key] for point in points) / len(points)


async def _feed(run: Run, rate: float, seconds: float) -> int:
    began_s, fed, seed = time.monotonic(), 0, 10_000
    while time.monotonic() - began_s < seconds:
        count = min(CHUNK, int(rate * CHUNK_SECONDS))
        records = run.encode(Load(messages=count, seed=seed, accounts=ACCOUNTS, names_recipient=False))
        run.messages += [record.message for record in records]
        await feed_at_rate(run.sitting, run.contender.input_topic, records, rate, {})
        fed, seed = fed + count, seed + 1
    return fed


async def _kill_now_and_then(one: LockstepPipeline, kills: list[float], chance: random.Random) -> None:
    next_s = time.monotonic() + KILL_EVERY_SECONDS
    while True:
        await asyncio.sleep(0.1)
        instance = _instance(one)
        instance.watch()
        if time.monotonic() >= next_s:
            victim = chance.choice(instance.processes)
            if victim.process is not None:
                victim.process.kill()
                kills.append(time.monotonic())
            next_s += KILL_EVERY_SECONDS


def _step(options: Options) -> Step:
    async def measure(sitting: Sitting, one: Contender) -> dict[str, Any]:
        return await _soak(sitting, one, options.minutes, options.seed)

    def make() -> LockstepPipeline:
        return LockstepPipeline(workers=WORKERS, session_timeout_s=6.0)

    return Step(make, LockstepPipeline, measure, {"workers": WORKERS, "minutes": options.minutes})


SOAK = Job(
    name="soak",
    title="half load with a SIGKILL of a worker every 30 s",
    note="Two workers, restarted by their supervisor. Memory and disk of the second quarter and of the last (a store "
    "grows with its tokens until they expire after a day). Checked by both checkers at the end.",
    figures=(
        Figure("rss_last_mib", "RSS last quarter MiB"),
        Figure("rss_first_mib", "RSS second quarter MiB"),
        Figure("disk_first_mib", "disk second quarter MiB"),
        Figure("disk_last_mib", "disk last quarter MiB"),
        Figure("rate", "messages/s"),
        Figure("messages", "messages"),
        Figure("kills", "kills"),
    ),
    steps=lambda options: [_step(options)],
    runs=lambda _: 1,
    in_all=False,
    run_seconds=1300,
)
