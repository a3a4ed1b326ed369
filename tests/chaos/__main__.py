"""Chaos by a seed: `python -m tests.chaos --seconds 120 --seed 7`, or `make chaos SECONDS=120 SEED=7`.

Prints the schedule step by step, the counters of every judgement, and ends with 1 as soon as something is wrong; the
folder with all logs is then kept and named. The same seed gives the same steps; how they meet the work under way is
up to the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from pathlib import Path

from streams.verify.report import Report
from tests.chaos.actions import ACTIONS
from tests.chaos.harness import Harness
from tests.chaos.schedule import Step, steps


async def run(folder: Path, seconds: float, seed: int) -> None:
    """Go through the schedule until the time is over, then judge once more; raises what is wrong."""
    begun = time.monotonic()
    async with Harness(folder, seed=seed) as harness:
        say(begun, f"everything serves, {harness.broker.bootstrap}")
        for step in steps(seed):
            if time.monotonic() - begun >= seconds:
                break
            await take(harness, step, begun)
        await harness.recovered()
        show(begun, harness, await harness.judged())
        for worker in harness.workers:
            await worker.stop()
        stops = [stopped for worker in harness.workers for stopped in worker.stop_seconds]
        say(begun, f"graceful stops took {', '.join(f'{one:.1f}' for one in sorted(stops))} s")


async def take(harness: Harness, step: Step, begun: float) -> None:
    """Take one step."""
    say(begun, f"step {step.number}: {step.action}, seed {step.seed}")
    told = await ACTIONS[step.action](harness, random.Random(step.seed))
    say(begun, f"  {told}")
    if step.is_judged:
        await harness.recovered()
        await harness.answered()
        show(begun, harness, await harness.judged())


def show(begun: float, harness: Harness, report: Report) -> None:
    """Print what was counted."""
    counted = ", ".join(f"{name} {value}" for name, value in report.counters.items() if value)
    say(begun, f"  ok: {counted}; {harness.reader.follower.seen} read beside, no breach")


def say(begun: float, text: str) -> None:
    """Print a line with the time since the beginning."""
    print(f"{time.monotonic() - begun:7.1f} s  {text}", flush=True)


def main() -> int:
    """Run as told; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=120.0, help="when the last step begins at the latest"
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument(
        "--data-dir", type=Path, help="where everything is written; kept. Default: a new folder"
    )
    options = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # that the broker is away is what we do to it
    again = f"repeat with: make chaos SECONDS={options.seconds:g} SEED={options.seed}"
    print(f"chaos for {options.seconds:g} s, seed {options.seed}; {again}", flush=True)
    folder = options.data_dir or Path(tempfile.mkdtemp(prefix="lockstep-chaos-"))
    try:
        asyncio.run(run(folder, options.seconds, options.seed))
    except Exception as error:
        print(
            f"NOT OK: {type(error).__name__}: {error}\nseed {options.seed}; {again}\nlogs: {folder}",
            flush=True,
        )
        raise
    print(f"ok, seed {options.seed}; everything is in {folder}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
