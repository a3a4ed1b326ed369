"""`python -m bench`: chooses jobs, runs them in one sitting, writes the report."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import stamina
import stamina.instrumentation

from bench.catalogue import JOBS
from bench.plan import Options
from bench.plots import draw
from bench.report import completed, render
from bench.sequence import console, run_jobs

REPORTS = Path(__file__).parent / "reports"
NICE = 5


def _examples() -> str:
    lines = [f"  {name:<14} {job.title}" for name, job in JOBS.items()]
    return "\b\nJobs:\n" + "\n".join(lines)


@click.command(
    epilog="\b\nExamples:\n"
    "  python -m bench all                       everything, three rounds\n"
    "  python -m bench all --quick               the short form\n"
    "  python -m bench j1 --runs 1 --messages 50000\n"
    "  python -m bench j1 --only lockstep --only kafka_streams\n"
    "  python -m bench j5 --sizes 100000,1000000,10000000\n\n" + _examples()
)
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...")
@click.option("--quick", is_flag=True, help="Smaller, one round, Faust left out: below eight minutes.")
@click.option(
    "--runs", type=click.IntRange(1), help="Rounds; the steps are interleaved.  [default: 3; quick: 1]"
)
@click.option(
    "--messages", type=click.IntRange(1_000), default=200_000, show_default=True, help="Of J1 and J6."
)
@click.option("--rate", type=float, default=1_000.0, show_default=True, help="Messages a second of J3.")
@click.option("--seconds", type=float, default=20.0, show_default=True, help="How long J3 measures.")
@click.option(
    "--sizes",
    default="100000,1000000",
    show_default=True,
    help="Tokens in state for J4 (the largest) and J5.",
)
@click.option("--minutes", type=float, default=20.0, show_default=True, help="Of the soak.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of every load.")
@click.option(
    "--only", multiple=True, metavar="NAME", help="A contender or a peer; may be given more than once."
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=REPORTS, show_default="bench/reports", help="Where to."
)
def main(jobs: Sequence[str], out: Path, quick: bool, runs: int | None, sizes: str, **more: Any) -> None:
    """Measure Lockstep and its peers on one broker, in one sitting, with every output checked.

    JOB is `all` or any of the jobs below. Writes TIME.json, TIME.md and plots. Exits with 1 when an output was wrong.
    """
    if strange := [one for one in jobs if one != "all" and one not in JOBS]:
        raise click.UsageError(f"there is no job {strange[0]!r}; there are: all, {', '.join(JOBS)}")
    chosen = [
        job
        for job in JOBS.values()
        if job.name in jobs or ("all" in jobs and job.in_all and (job.in_quick or not quick))
    ]
    numbers = tuple(int(one) for one in sizes.split(","))
    options = Options(is_quick=quick, runs=runs or (1 if quick else 3), sizes=numbers, **more)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # its retries on fresh topics are no news
    stamina.instrumentation.set_on_retry_hooks([])  # nor are ours
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it otherwise
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # the same way out
    os.nice(max(0, NICE - os.nice(0)))
    try:
        report = completed(asyncio.run(run_jobs(chosen, options)))
    except KeyboardInterrupt:
        console.print("\nstopped; nothing is left running, nothing was written")
        sys.exit(130)
    written = write(report, out)
    console.print(f"wrote {written}")
    sys.stdout.write(written.read_text("utf-8"))
    if any(row["reasons"] for job in report["jobs"].values() for row in job["rows"]):
        sys.exit(1)


def write(report: dict[str, Any], out: Path) -> Path:
    """Write JSON, plots and Markdown; return the last."""
    out.mkdir(parents=True, exist_ok=True)
    stem = report["at"].replace(":", "")
    (out / f"{stem}.json").write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    plots = draw(report, out, stem)
    path = out / f"{stem}.md"
    path.write_text(render(report, plots), "utf-8")
    return path


if __name__ == "__main__":
    main()
