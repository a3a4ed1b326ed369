"""J4: SIGKILL with a lot of state, in the middle of work; how long until it serves again, with its store and without.

Ours gets its state by bench/prefill.py and has restored it once before; a peer gets it by working. The kill comes while
a load is being processed, so that a transaction is open. The clock starts when the process is gone; it stops when the
first of 200 probes that were waiting is committed on the last output, and again when all are.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.contenders.kafka_streams import KafkaStreams100
from bench.contenders.lockstep import LockstepPipeline
from bench.jobs.latency import arrivals
from bench.load import ACCOUNTS, Load
from bench.outputs import Ends
from bench.plan import Figure, Job, Options, Step
from bench.running import Run, running

if TYPE_CHECKING:
    from bench.contenders.base import Contender
    from bench.sitting import Sitting

PROBES = 200
IN_FLIGHT = 5_000
FILL_AT_ONCE = 100_000
SECONDS_MAX = 180.0


def _load(run: Run, messages: int, seed: int) -> Load:
    return Load(messages=messages, seed=seed, duplicates=0.0, names_recipient=run.contender.names_recipient)


async def recovered(run: Run, seed: int, *, keeps_store: bool) -> dict[str, float]:
    """Kill in mid-work, start again; return seconds until serving (ours), first output, all probes."""
    contender = run.contender
    in_flight, probes = run.encode(_load(run, IN_FLIGHT, seed)), run.encode(_load(run, PROBES, seed + 1))
    await run.feed(in_flight)
    await asyncio.sleep(0.3)
    await contender.crash()
    gone_s = time.monotonic()
    if not keeps_store:
        for folder in contender.state_folders():
            shutil.rmtree(folder, ignore_errors=True)
    seconds: dict[str, float] = {}
    await asyncio.to_thread(contender.start_worker)
    async with arrivals(run) as seen:
        await run.feed(probes)
        watching = asyncio.create_task(_served(contender, gone_s, seconds))
        wanted = {one.message for one in probes}
        while wanted - seen.keys():
            if time.monotonic() - gone_s > SECONDS_MAX:
                raise TimeoutError(f"{len(wanted - seen.keys())} probes did not come in {SECONDS_MAX:g} s")
            await asyncio.sleep(0.02)
        first_s = min(seen.values())  # of whatever is new: what was in flight comes before the probes
        seconds |= {
            "first_output_s": first_s - gone_s,
            "all_probes_s": max(seen[one] for one in wanted) - gone_s,
        }
        await watching
    return seconds


async def _served(contender: Contender, gone_s: float, seconds: dict[str, float]) -> None:
    if isinstance(contender, LockstepPipeline):
        await contender.serving()
        seconds["serving_s"] = time.monotonic() - gone_s


async def _measure(sitting: Sitting, contender: Contender, tokens: int, seed: int) -> dict[str, Any]:
    async with running(sitting, contender, Load(messages=0)) as run:
        rows = tokens
        if isinstance(contender, LockstepPipeline):
            assert contender.prefill is not None, "it was made with tokens"
            rows = contender.prefill.rows
        else:
            await _fill(run, tokens)
        with_store = await recovered(run, seed + 10, keeps_store=True)
        without = await recovered(run, seed + 20, keeps_store=False)
        async with Ends(sitting, contender.output_topics) as ends:
            await run.settled(ends, run.due())
        found: dict[str, Any] = {f"{key[:-2]}_with_store_s": value for key, value in with_store.items()}
        found |= {f"{key[:-2]}_without_store_s": value for key, value in without.items()}
        if "serving_s" in without:
            net_s = max(0.001, without["serving_s"] - with_store["serving_s"])
            found |= {
                "rows": rows,
                "rows_per_second": rows / without["serving_s"],
                "rows_per_second_net": rows / net_s,
            }
        return {**found, "peak_rss_mib": run.peak_rss_bytes / 2**20, "reason": await run.reason()}


async def _fill(run: Run, tokens: int) -> None:
    async with Ends(run.sitting, run.contender.output_topics) as ends:
        for number in range(0, tokens, FILL_AT_ONCE):
            await run.feed(run.encode(_load(run, min(FILL_AT_ONCE, tokens - number), 1_000 + number)))
        await run.settled(ends, run.due())


def _steps(options: Options) -> Sequence[Step]:
    tokens = max(options.sizes)

    async def measure(sitting: Sitting, one: Contender) -> dict[str, Any]:
        return await _measure(sitting, one, tokens, options.seed)

    return [
        Step(lambda: LockstepPipeline(tokens_before=tokens), LockstepPipeline, measure, {"tokens": tokens}),
        Step(KafkaStreams100, KafkaStreams100, measure, {"tokens": tokens}),
    ]


J4 = Job(
    name="j4",
    title="SIGKILL in mid-work with much state: back with the local store, and without",
    note=f"Lockstep: as many ledger rows and queue rows as tokens, and {ACCOUNTS:,} positions and threads; the whole "
    "pipeline, restarted by its supervisor. Seconds from the process's end. Rows/s: all that a full restore "
    "reads, over the seconds to serving (net: less the seconds with the store, which are the start of the process). "
    "A worker that does not come back: the job `takeover`.",
    figures=(
        Figure("serving_with_store_s", "serving, with store, s"),
        Figure("first_output_with_store_s", "first output, with store, s"),
        Figure("serving_without_store_s", "serving, without, s"),
        Figure("first_output_without_store_s", "first output, without, s"),
        Figure("rows_per_second", "restored rows/s"),
        Figure("rows_per_second_net", "restored rows/s, net"),
        Figure("peak_rss_mib", "peak RSS MiB"),
    ),
    steps=_steps,
    runs=lambda options: min(options.runs, 1),
    run_seconds=115,
)
