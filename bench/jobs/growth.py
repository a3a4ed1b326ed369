"""J5: what a message costs when much is in state already, with more workers and with more shards; and memory."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.contenders.lockstep import LockstepPipeline, LockstepTwoHop
from bench.jobs.throughput import measured, throughput
from bench.load import Fed, Load, encoded
from bench.plan import Figure, Job, Options, Step
from bench.running import running

if TYPE_CHECKING:
    from bench.contenders.base import Contender
    from bench.sitting import Sitting

REPEATS_OF_OLD = 0.025
"""Share of the load that repeats a token which was in state before: the look-up that grows with it."""


def with_old(fresh: Sequence[Fed], old: Sequence[Fed], seed: int) -> list[Fed]:
    """Return the fresh records in their order, with the old ones strewn in; nothing may come of those."""
    chance = random.Random(seed)
    places = sorted(chance.randrange(len(fresh) + 1) for _ in old)
    merged: list[Fed] = []
    done = 0
    for place, one in zip(places, old, strict=True):
        merged += fresh[done:place]
        merged.append(one._replace(message=b""))
        done = place
    return merged + list(fresh[done:])


async def _grown(sitting: Sitting, contender: Contender, load: Load) -> dict[str, Any]:
    assert isinstance(contender, LockstepTwoHop)  # its state was written before it started
    async with running(sitting, contender, load) as run:
        prefill = contender.prefill
        assert prefill is not None, "it was made with tokens"
        after_restore_mib = run.sample().workers.rss_bytes / 2**20
        chance = random.Random(load.seed)
        numbers = [chance.randrange(prefill.tokens) for _ in range(int(load.messages * REPEATS_OF_OLD))]
        old = list(encoded((prefill.request(one) for one in numbers), contender.codec, sitting.partitions))
        found = await measured(run, with_old(run.encode(load), old, load.seed))
        return {**found, "rss_after_restore_mib": after_restore_mib}


def _sized(tokens: int, load: Load) -> Step:
    async def measure(sitting: Sitting, one: Contender) -> dict[str, Any]:
        return await _grown(sitting, one, load)

    return Step(lambda: LockstepTwoHop(tokens_before=tokens), LockstepTwoHop, measure, {"tokens": tokens})


def _scaled(workers: int, shards: int, load: Load) -> Step:
    async def measure(sitting: Sitting, one: Contender) -> dict[str, Any]:
        before, sitting.partitions = sitting.partitions, shards
        try:
            return await throughput(sitting, one, load)
        finally:
            sitting.partitions = before

    parameters = {"workers": workers, "shards": shards}
    return Step(lambda: LockstepPipeline(workers=workers), LockstepPipeline, measure, parameters)


def _steps(options: Options) -> Sequence[Step]:
    load = Load(messages=options.messages // 2, seed=options.seed, duplicates=0.025)
    scales = ((1, 4), (2, 4), (1, 12), (1, 48))
    return [
        *(_sized(tokens, load) for tokens in options.sizes),
        *(_scaled(workers, shards, load) for workers, shards in scales),
    ]


J5 = Job(
    name="j5",
    title="cost of a message as state grows, and with more workers and shards",
    note="Two hops on top of so many tokens (bench/prefill.py); 2.5 % repeats of the load and 2.5 % of old tokens. "
    "The whole pipeline with 1 and 2 workers, and with 12 and 48 shards.",
    figures=(
        Figure("cpu_seconds_per_million", "CPU-s per million"),
        Figure("messages_per_cpu_second", "messages per CPU-s"),
        Figure("messages_per_second", "messages/s"),
        Figure("rss_after_restore_mib", "RSS after restore MiB"),
        Figure("peak_rss_mib", "peak RSS MiB"),
        Figure("broker_cpu_seconds_per_million", "broker CPU-s per million"),
    ),
    steps=_steps,
    runs=lambda options: min(options.runs, 1),
    run_seconds=45,
)
