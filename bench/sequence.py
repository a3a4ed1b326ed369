"""Runs jobs in one sitting, interleaved: round 1 of every step, then round 2.

A run that fails says why and has no figures; the sitting goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
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
    plans = {job.name: job.schedule(options) for job in jobs}
    everything = [step for rounds in plans.values() for steps in rounds for step in steps]
    absent = await _absent(everything, found["contenders"])
    for line in estimate(jobs, plans, absent):
        console.print(line)
    async with Sitting() as sitting:
        for job in jobs:
            rounds = [_present(steps, absent) for steps in plans[job.name]]
            found["jobs"][job.name] = {
                "title": job.title,
                "note": job.note,
                "figures": [list(one) for one in job.figures],
                "compares": job.compares,
                "runs": await _rounds(sitting, job, rounds),
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


def _present(steps: Sequence[Step], absent: set[str]) -> list[Step]:
    return [step for step in steps if step.contender.name not in absent]


def estimate(
    jobs: Sequence[Job], plans: Mapping[str, Sequence[Sequence[Step]]], absent: set[str]
) -> list[str]:
    """Return what a sitting will take about, a line a job and the sum; at the default sizes."""
    lines, minutes = [], 0.0
    for job in jobs:
        runs = sum(len(_present(steps, absent)) for steps in plans[job.name])
        minutes += runs * job.run_seconds / 60
        lines.append(f"  {job.name:<12} {runs:>3} runs of about {job.run_seconds:g} s")
    return [f"about {max(1, round(minutes))} minutes at the default sizes:", *lines]


async def _rounds(sitting: Sitting, job: Job, rounds: Sequence[Sequence[Step]]) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = []
    console.print(f"[bold]{job.name}[/] {job.title}")
    for number, steps in enumerate(rounds, start=1):
        for step in steps:
            console.print(f"  {number}/{len(rounds)} {step.label} ...", end="")
            began_s = time.monotonic()
            run = await _one(sitting, step)
            took_s = time.monotonic() - began_s
            about = {"round": number, "label": step.label, "parameters": dict(step.parameters)}
            runs.append({**about, "run_seconds": round(took_s, 1), **run})
            _tell(job, run, took_s)
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
