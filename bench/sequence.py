"""Runs jobs in one sitting, interleaved: round 1 of every step, then round 2.

A run that fails says why and has no figures; the sitting goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from bench.contenders.base import LeftOut
from bench.figures import shown
from bench.machine import described, moment
from bench.sitting import Sitting

if TYPE_CHECKING:
    from bench.plan import Job, Options, Step

console = Console(stderr=True, highlight=False, soft_wrap=True)


async def run_jobs(jobs: Sequence[Job], options: Options) -> dict[str, Any]:
    """Return what was found, as the JSON report holds it (without ratios)."""
    found: dict[str, Any] = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "is_quick": options.is_quick,
        "machine": described(),
        "contenders": {},
        "jobs": {},
    }
    began_s = time.monotonic()
    plans = {job.name: [one for one in job.steps(options) if options.wants(one.contender)] for job in jobs}
    absent = await _absent([step for steps in plans.values() for step in steps], found["contenders"])
    async with Sitting() as sitting:
        for job in jobs:
            steps = [step for step in plans[job.name] if step.contender.name not in absent]
            found["jobs"][job.name] = {
                "title": job.title,
                "note": job.note,
                "figures": [list(one) for one in job.figures],
                "compares": job.compares,
                "runs": await _rounds(sitting, job, steps, options),
            }
    found["seconds"] = round(time.monotonic() - began_s)
    return found


async def _absent(steps: Sequence[Step], described: dict[str, Any]) -> set[str]:
    """Make every contender ready once; note what it is, or why it is left out."""
    absent: set[str] = set()
    for step in steps:
        name = step.contender.name
        if name in described:
            continue
        contender = step.make()
        about = described[name] = {"peer": contender.peer, "title": contender.title, "left_out": None}
        try:
            await contender.require()
            about["settings"] = dict(contender.settings)
            about["warm_up_messages"] = contender.warm_up_messages
        except LeftOut as reason:
            console.print(f"[yellow]left out[/] {contender.title}: {reason}")
            about["left_out"] = str(reason)
            absent.add(name)
    return absent


async def _rounds(
    sitting: Sitting, job: Job, steps: Sequence[Step], options: Options
) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = []
    rounds = job.runs(options)
    console.print(f"[bold]{job.name}[/] {job.title}")
    for number in range(1, rounds + 1):
        for step in steps:
            console.print(f"  {number}/{rounds} {step.label} ...", end="")
            began_s = time.monotonic()
            run = await _one(sitting, step)
            runs.append({"round": number, "label": step.label, "parameters": dict(step.parameters), **run})
            _tell(job, run, time.monotonic() - began_s)
    return runs


async def _one(sitting: Sitting, step: Step) -> dict[str, Any]:
    contender = step.make()
    before = moment()
    try:
        await contender.require()
        found = await step.measure(sitting, contender)
    except (asyncio.CancelledError, KeyboardInterrupt):
        raise
    except Exception as error:  # noqa: BLE001  # one contender's trouble must not end the sitting
        found = {"reason": f"{type(error).__name__}: {error}", "notes": getattr(error, "__notes__", [])}
    return {"contender": contender.name, **before, **found}


def _tell(job: Job, run: dict[str, Any], seconds: float) -> None:
    if run["reason"] is not None:
        console.print(f" [red]null[/] ({seconds:.0f} s): {run['reason']}")
        return
    said = ", ".join(f"{one.label} {shown(run.get(one.key))}" for one in job.figures[:4])
    console.print(f" {said} ({seconds:.0f} s, load {run['load']:.1f}, loop {run['loop_us']:.1f} us)")
