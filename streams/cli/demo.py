"""`lockstep demo`: a whole instance, generated traffic through it, and the proof that all of it arrived.

First most of the messages at full speed, which gives the rates; then, when those have drained, the rest at a calm
pace, which gives the latency of a system that is not flooded. Ends with 1 when `verify` finds a fault. Kept out of
the way: its own broker, and a data folder that is removed afterwards unless one was named.
Tested in tests/e2e/test_demo.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, TypeVar

import click
from rich.table import Table

from streams.cli.context import EXIT_NO, Cluster, err, fail, out, print_json, telling
from streams.cli.feed import progress_bar, settled
from streams.cli.instance import Instance
from streams.cli.stores import open_store, store_pointers
from streams.cli.verify import print_report, verify_cluster
from streams.client.feeding import FeedReport, OnProgress, feed, feed_requests
from streams.client.generator import GeneratedPlan
from streams.client.outlet import Outlet, codec_of
from streams.client.publisher import Publisher
from streams.client.requests import Request
from streams.client.watch import DeliveryWatch, Stopwatch
from streams.errors import LockstepError
from streams.topology import load_topology
from streams.verify.drain import DrainCheck, total, wait_until_drained
from streams.verify.report import Report

Result = TypeVar("Result")

REPEATS = 0.05
CALM_PART = 0.05
"""Part of the messages that is sent at the calm pace."""
CALM_MESSAGES_MAX = 1_000
CALM_RATE = 200.0
"""Messages a second of the calm part."""
_SERVING_SECONDS_MAX = 90.0
_DRAIN_SECONDS_MAX = 600.0
_ARRIVAL_SECONDS_MAX = 10.0
_WATCH_SECONDS = 0.2


class NotServing(LockstepError):
    """The instance did not come up, or stopped working."""

    code = "NOT_SERVING"


class _Stopped(KeyboardInterrupt):
    """SIGTERM arrived; ends the command as Ctrl-C does."""


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    messages: int
    workers: int
    shards: int | None
    seed: int


class Outcome(NamedTuple):
    """What the demonstration measured and proved."""

    feed: FeedReport
    fast_messages: int
    fast_deliveries: int
    fast_seconds: float
    calm: Stopwatch
    report: Report
    verify_seconds: float


class _Part:
    """The first messages of a plan, with all of its set-up; implements plans.Plan."""

    def __init__(self, plan: GeneratedPlan, messages: int) -> None:
        self._plan = plan
        self.messages_total = messages
        self.endpoints = plan.endpoints
        self.setup = plan.setup

    def messages(self) -> Iterator[Request]:
        return islice(self._plan.messages(), self.messages_total)


class _Marking:
    """Passes requests on and notes when; implements feeding.Sink."""

    def __init__(self, outlet: Outlet, stopwatch: Stopwatch) -> None:
        self._outlet = outlet
        self._stopwatch = stopwatch
        self.put_command = outlet.put_command

    async def put_request(self, request: Request) -> None:
        self._stopwatch.mark(request, time.monotonic())
        await self._outlet.put_request(request)


@click.command(short_help="Watch the pipeline at work: start, feed, drain, verify.")
@click.option(
    "--messages", type=click.IntRange(min=20), default=20_000, show_default=True, help="Messages to send."
)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Pipeline workers.")
@click.option("--shards", type=click.IntRange(1, 1024), help="Partitions of every topic.")
@click.option("--seed", type=int, default=0, show_default=True, help="Chooses groups, senders and repeats.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep everything there. Default: a temporary folder, removed at the end.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@telling
def demo(*, data_dir: Path | None, as_json: bool, **options: Any) -> None:  # noqa: ANN401  # fields of Options
    r"""Start Kafka and workers, send generated messages, drain, and verify every inbox.

    Ends with 1 when anything was lost, doubled or out of order.

    \b
    Example:
      lockstep demo
      lockstep demo --messages 2000 --workers 2 --json
    """
    signal.signal(signal.SIGTERM, _stop)
    with contextlib.ExitStack() as stack:
        if data_dir is None:
            temporary = tempfile.TemporaryDirectory(prefix="lockstep-demo-", ignore_cleanup_errors=True)
            data_dir = Path(stack.enter_context(temporary))
        is_ok = _demonstrate(data_dir.resolve(), Options(**options), as_json=as_json)
    if not is_ok:
        sys.exit(EXIT_NO)


def _demonstrate(data_dir: Path, options: Options, *, as_json: bool) -> bool:
    topology = load_topology()
    instance = Instance(
        data_dir=data_dir,
        topology=topology if options.shards is None else topology.with_shards(options.shards),
        workers=options.workers,
    )
    began_s = time.monotonic()
    try:
        with err.status("starting Kafka and the workers"):
            _bring_up(instance)
        serving_s = time.monotonic() - began_s
        if not as_json:
            kafka = instance.described()["kafka"]
            out.print(
                f"serving {instance.topology.shards} shards with {options.workers} worker(s) after "
                f"{serving_s:.1f} s; Apache Kafka is process {kafka['pid']}"
            )
        with progress_bar(is_quiet=as_json) as show:
            outcome = _stoppable(_run(instance, options, show))
    finally:
        with err.status("stopping"):
            instance.end()
    figures = _figures(outcome, options, serving_s)
    if as_json:
        print_json(figures)
    else:
        print_report(outcome.report, outcome.verify_seconds)
        out.print(_closing_table(figures))
    return outcome.report.ok


def _bring_up(instance: Instance) -> None:
    instance.begin()
    _stoppable(instance.prepare())
    instance.start_workers()
    if not _stoppable(instance.await_serving(_SERVING_SECONDS_MAX)):
        logs = _last_lines(instance.data_dir / "logs")
        fail(
            "NOT_SERVING",
            f"Not every shard opened within {_SERVING_SECONDS_MAX:.0f} s; the workers' last words:\n{logs}",
            EXIT_NO,
        )


def _stoppable(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine; SIGTERM cancels it, and everything is put away in order."""

    async def run() -> Result:
        task = asyncio.ensure_future(work)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await task

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        raise _Stopped from None
    finally:
        signal.signal(signal.SIGTERM, _stop)


async def _run(instance: Instance, options: Options, show: OnProgress) -> Outcome:
    assert instance.connection is not None  # set by begin
    cluster = Cluster(instance.connection, instance.data_dir, instance.topology, instance.described())
    supervising = asyncio.create_task(_supervise(instance))
    try:
        return await _feed_and_verify(cluster, options, show)
    finally:
        supervising.cancel()
        await asyncio.gather(supervising, return_exceptions=True)


async def _supervise(instance: Instance) -> None:
    """Restart what dies, as `up` does."""
    while True:
        instance.watch()
        await asyncio.sleep(_WATCH_SECONDS)


async def _feed_and_verify(cluster: Cluster, options: Options, show: OnProgress) -> Outcome:
    topology, arguments = cluster.topology, cluster.client_arguments()
    codec = codec_of(topology)
    plan = GeneratedPlan(
        options.messages,
        start_at_ms=time.time_ns() // 1_000_000,
        seed=options.seed,
        routes=tuple(topology.routes),
        prefix=f"demo-{secrets.token_hex(3)}-",
    )
    calm = min(CALM_MESSAGES_MAX, max(1, int(options.messages * CALM_PART)))
    fast = options.messages - calm
    async with (
        Publisher(arguments) as publisher,
        DeliveryWatch(arguments, topology.routes.values(), topology.shards, codec) as watch,
    ):
        outlet = Outlet(publisher, topology, codec)
        await outlet.open()
        deliveries_before = 0

        async def settle() -> None:
            nonlocal deliveries_before
            await settled(cluster, _DRAIN_SECONDS_MAX, show)
            deliveries_before = watch.deliveries

        report = await feed(
            _Part(plan, fast),
            outlet,
            flush=publisher.flush,
            settle=settle,
            run=secrets.token_hex(6),
            seed=options.seed,
            repeats=REPEATS,
            on_progress=show,
        )
        begun_s = time.monotonic() - report.message_seconds
        await _drained(cluster, show, "records left")
        fast_seconds = time.monotonic() - begun_s
        fast_deliveries = watch.deliveries - deliveries_before
        calm_requests = list(islice(plan.messages(), fast, None))  # made before the pace begins
        await feed_requests(
            calm_requests,
            _Marking(outlet, watch.stopwatch),
            report=report,
            total=options.messages,
            seed=options.seed + 1,
            repeats=REPEATS,
            rate=CALM_RATE,
            on_progress=lambda _phase, done, _total: show("at a calm pace", done - fast, calm),
        )
        await publisher.flush()
        await _drained(cluster, show, "records left at the end")
        await watch.all_arrived(_ARRIVAL_SECONDS_MAX)
    begun_s = time.monotonic()
    judged = await verify_cluster(cluster, show)
    return Outcome(
        report,
        fast,
        fast_deliveries,
        fast_seconds,
        watch.stopwatch,
        judged,
        time.monotonic() - begun_s,
    )


async def _drained(cluster: Cluster, show: OnProgress, phase: str) -> None:
    most = 0

    def on_lag(lags: Any) -> None:  # noqa: ANN401  # as wait_until_drained gives them
        nonlocal most
        left = total(lags)
        most = max(most, left)
        show(phase, most - left, most)

    with open_store(cluster) as store:
        pointers = store_pointers(cluster, store)
        async with DrainCheck(cluster.client_arguments(), cluster.topology, pointers) as check:
            lags = await wait_until_drained(check, timeout_seconds=_DRAIN_SECONDS_MAX, on_lag=on_lag)
    if lags:
        raise NotServing(
            f"After {_DRAIN_SECONDS_MAX:.0f} s {lags[0].topic} shard {lags[0].shard} still lags; keep the logs with "
            "--data-dir and see its logs folder."
        )


def _figures(outcome: Outcome, options: Options, serving_s: float) -> dict[str, Any]:
    seconds = max(outcome.fast_seconds, 1e-9)
    latency = outcome.calm
    return {
        "ok": outcome.report.ok,
        "messages": outcome.feed.messages,
        "repeats": outcome.feed.repeats,
        "endpoints": outcome.feed.endpoints,
        "endpoints_attached": outcome.feed.attached,
        "workers": options.workers,
        "serving_seconds": round(serving_s, 3),
        "feed_seconds": round(outcome.fast_seconds, 3),
        "messages_per_second": round(outcome.fast_messages / seconds, 1),
        "deliveries_per_second": round(outcome.fast_deliveries / seconds, 1),
        "latency": {
            "rate": CALM_RATE,
            "samples": len(latency.latencies_ms),
            "p50_ms": _rounded(latency.percentile_ms(0.5)),
            "p99_ms": _rounded(latency.percentile_ms(0.99)),
        },
        "verify_seconds": round(outcome.verify_seconds, 3),
        "verified": outcome.report.to_json(),
    }


def _closing_table(figures: dict[str, Any]) -> Table:
    latency, verified = figures["latency"], figures["verified"]
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right", style="bold")
    table.add_column()
    table.add_row(
        f"{figures['messages_per_second']:,.0f}", "messages/s, from the first request to all delivered"
    )
    table.add_row(f"{figures['deliveries_per_second']:,.0f}", "deliveries/s to attached endpoints")
    at = f"from request to readable delivery, at {latency['rate']:.0f} messages/s"
    table.add_row(f"{latency['p50_ms']} ms", f"latency p50, {at} ({latency['samples']} samples)")
    table.add_row(f"{latency['p99_ms']} ms", "latency p99")
    table.add_row(
        f"{verified['accepted']:,}", f"requests accepted; {verified['duplicates']:,} duplicates recognised"
    )
    table.add_row(f"{verified['updates']:,}", "inbox updates judged: each exactly once, in order")
    table.add_row(f"{verified['deliveries']:,}", "deliveries verified")
    table.add_row("[green]ok[/]" if figures["ok"] else "[red]NOT OK[/]", "the verifier's word")
    return table


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _last_lines(logs: Path) -> str:
    lines = [
        line
        for log in sorted(logs.glob("*.log"))
        for line in log.read_text("utf-8", "replace").splitlines()[-3:]
    ]
    return "\n".join(lines)


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # a signal handler's signature
    raise _Stopped
