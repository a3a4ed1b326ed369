"""`lockstep feed`: a chat trace, or JSON lines from standard input, as requests.

Writes set-up, waits until it is processed, then writes the messages; see streams/client/trace.py for what a
repeated number means. Tested in tests/cli/test_kafka.py.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from streams.cli.context import Cluster, cluster_options, err, out, print_json, run_async
from streams.client.feeding import FeedReport, OnProgress, feed_requests
from streams.client.feeding import feed as feed_plan
from streams.client.jsonl import read_requests
from streams.client.outlet import Outlet
from streams.client.publisher import Publisher
from streams.client.trace import TracePlan, read_trace
from streams.errors import ConfigurationError
from streams.verify.drain import DrainCheck, wait_until_drained


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    limit: int | None
    rate: float | None
    duplicates: float
    endpoints: int
    seed: int
    prefix: str
    setup_timeout: float


@click.command(short_help="Write a chat trace, or JSON lines, as requests.")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--limit", type=click.IntRange(min=1), help="Rows to feed (default: all).")
@click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), help="Requests a second (default: all it can)."
)
@click.option(
    "--duplicates", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="Part repeated exactly."
)
@click.option(
    "--endpoints", type=click.IntRange(1, 64), default=1, show_default=True, help="Endpoints of each account."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Chooses bodies and repeats.")
@click.option("--prefix", default="", help="Put before account and thread names, to keep feeds apart.")
@click.option(
    "--setup-timeout",
    type=float,
    default=300.0,
    show_default=True,
    help="Seconds until set-up must be processed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
@cluster_options
def feed(cluster: Cluster, file: Path | None, as_json: bool, **options: Any) -> None:  # noqa: ANN401  # fields of Options
    r"""Feed FILE, a chat trace (.csv or .csv.gz); "-" reads JSON lines; none is the trace of LOCKSTEP_TRACE.

    \b
    Example:
      lockstep feed chat_trace.csv.gz --limit 50000 --duplicates 0.05 --endpoints 2
      echo '{"account_id": "ann", "thread_id": "t", "recipients": ["bob"], "post": "hello"}' | lockstep feed -
    """
    report = run_async(_feed(cluster, _file(file), Options(**options), is_quiet=as_json))
    if as_json:
        print_json(report)
    else:
        speed = report["messages"] / max(report["message_seconds"], 1e-9)
        out.print(
            f"wrote {report['requests']} requests ({report['setup_requests']} of set-up, {report['repeats']} "
            f"repeats) and {report['commands']} endpoint commands; {speed:,.0f} messages/s"
        )


def _file(file: Path | None) -> Path:
    named = file or os.environ.get("LOCKSTEP_TRACE")
    if not named:
        raise ConfigurationError(
            "No FILE is given and LOCKSTEP_TRACE is not set; name a trace, or - for JSON lines."
        )
    return Path(named)


async def _feed(cluster: Cluster, file: Path, options: Options, *, is_quiet: bool) -> dict[str, Any]:
    plan = None if str(file) == "-" else _plan(cluster, file, options)
    arguments = cluster.client_arguments()
    async with Publisher(arguments) as publisher:
        outlet = Outlet(publisher, cluster.topology)
        await outlet.open()
        with progress_bar(is_quiet=is_quiet) as on_progress:
            chosen: dict[str, Any] = {
                "seed": options.seed,
                "repeats": options.duplicates,
                "rate": options.rate,
                "on_progress": on_progress,
            }
            if plan is None:
                report = FeedReport()
                begun = time.monotonic()
                await feed_requests(read_requests(sys.stdin), outlet, report=report, **chosen)
                await publisher.flush()
                report.message_seconds = time.monotonic() - begun
                return report.to_json()
            run = secrets.token_hex(6)

            async def settle() -> None:
                await settled(cluster, options.setup_timeout, on_progress)

            report = await feed_plan(plan, outlet, flush=publisher.flush, settle=settle, run=run, **chosen)
    return {**report.to_json(), "repeated_numbers": plan.repeats()._asdict()}


def _plan(cluster: Cluster, file: Path, options: Options) -> TracePlan:
    return TracePlan(
        read_trace(file, options.limit),
        start_at_ms=time.time_ns() // 1_000_000,
        seed=options.seed,
        endpoints=options.endpoints,
        routes=tuple(cluster.topology.routes),
        prefix=options.prefix,
    )


async def settled(cluster: Cluster, timeout_seconds: float, on_progress: OnProgress) -> None:
    """Wait until the pipeline has processed everything; raises ConfigurationError when it does not."""
    async with DrainCheck(cluster.client_arguments(), cluster.topology) as check:
        lags = await wait_until_drained(
            check,
            timeout_seconds=timeout_seconds,
            on_lag=lambda lags: on_progress("waiting for set-up", -len(lags), None),
        )
    if lags:
        raise ConfigurationError(
            f"Set-up was written but not processed within {timeout_seconds:g} s (first: {lags[0].topic} "
            f"shard {lags[0].shard}); are workers running? See `lockstep status`."
        )


@contextmanager
def progress_bar(*, is_quiet: bool) -> Iterator[OnProgress]:
    """Give a function that shows (phase, done, total); nothing is shown when quiet."""
    if is_quiet:
        yield lambda _phase, _done, _total: None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        tasks: dict[str, Any] = {}

        def show(phase: str, done: int, total: int | None) -> None:
            if phase not in tasks:
                tasks[phase] = bar.add_task(phase, total=total)
            bar.update(tasks[phase], completed=max(done, 0), total=total)

        yield show
