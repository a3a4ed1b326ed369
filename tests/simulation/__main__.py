"""Command line of the simulation: `python -m tests.simulation --schedules 100000 --seed 1`."""

from __future__ import annotations

import sys
import time

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.simulation.planted import BUGS
from tests.simulation.run import Summary, run
from tests.simulation.schedule import Schedule

TRACE_LINES_SHOWN = 60
"""Lines before the end of the storm are seldom the cause; --whole-trace shows all."""


@click.command(epilog="Example: python -m tests.simulation --schedules 1 --seed 425 --plant last-claim")
@click.option("--schedules", default=10_000, show_default=True, help="How many schedules to run.")
@click.option(
    "--seed", default=1, show_default=True, help="Seed of the first; each next one is greater by 1."
)
@click.option("--plant", type=click.Choice(list(BUGS)), default="none", help="Plant a bug on purpose.")
@click.option("--first", is_flag=True, help="Stop at the first violation.")
@click.option("--whole-trace", is_flag=True, help="Show every step of the first schedule that violates.")
def main(schedules: int, seed: int, plant: str, *, first: bool, whole_trace: bool) -> None:
    """Simulate the claims of a shard under faults, and check that it never has two owners or loses a unit.

    Exit code 0: no violation; 1: there was one, and its seed and trace are printed.
    """
    bug = BUGS[plant]
    started_at = time.monotonic()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as progress:
        task = progress.add_task("schedules", total=schedules)

        def show(summary: Summary) -> None:
            progress.update(task, completed=summary.schedules, description=f"{summary.violated} violated")

        summary = run(
            range(seed, seed + schedules),
            bug,
            stops_at=lambda so_far: first and so_far.violated > 0,
            after_each=show,
        )
    report(summary, plant, time.monotonic() - started_at)
    if summary.first_violation is None:
        return
    outcome = Schedule(summary.first_violation.seed, bug, is_traced=True).run()
    lines = outcome.trace if whole_trace else around_violation(outcome.trace)
    click.echo("\n".join(("", *lines, "", *map(str, outcome.violations))))
    click.echo(f"\nagain: python -m tests.simulation --schedules 1 --seed {outcome.seed} --plant {plant}")
    sys.exit(1)


def report(summary: Summary, plant: str, seconds: float) -> None:
    """Print what was run, what it reached, and what came of it."""
    click.echo(f"planted     {plant}")
    click.echo(f"schedules   {summary.schedules:,} in {seconds:.0f} s")
    click.echo(f"units       {summary.units:,} committed, by {summary.owners:,} owners")
    click.echo(
        "reached     " + ", ".join(f"{count:,} {what}" for what, count in summary.counts.most_common())
    )
    click.echo(f"violated    {summary.violated:,} schedules")
    for law, schedules in summary.broken.most_common():
        click.echo(f"            {schedules:,} against {law.name}: {law}")
    if summary.first_violation is not None:
        click.echo(f"first seed  {summary.first_violation.seed}")


def around_violation(trace: tuple[str, ...]) -> tuple[str, ...]:
    """The last lines of the trace before the calm, and how many were left out."""
    end = next((number for number, line in enumerate(trace) if line.startswith("calm")), len(trace))
    start = max(0, end - TRACE_LINES_SHOWN)
    return (f"... {start} steps before; --whole-trace shows them", *trace[start:end])


if __name__ == "__main__":
    main()
