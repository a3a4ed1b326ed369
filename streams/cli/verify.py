"""`lockstep verify`: read the topics and the stores and say whether everything is right.

Tested in tests/cli/test_kafka.py.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import click
from rich.table import Table

from streams.cli.context import EXIT_NO, Cluster, cluster_options, out, print_json, run_async
from streams.cli.feed import progress_bar
from streams.cli.stores import open_store, store_findings
from streams.client.feeding import OnProgress
from streams.client.outlet import codec_of
from streams.verify import judge
from streams.verify.report import FAULTS, Report
from streams.verify.source import KafkaSource


@click.command(short_help="Prove that nothing is lost, doubled or out of order.")
@click.option("--json", "as_json", is_flag=True, help="Print all counters as JSON.")
@cluster_options
def verify(cluster: Cluster, as_json: bool) -> None:
    r"""Count requests, operations, inboxes and deliveries, and name the first offenders if anything is wrong.

    Ends with 1 when a fault was found. Judges what is processed: run `lockstep drain` first.

    \b
    Example:
      lockstep drain && lockstep verify --json
    """
    begun = time.monotonic()
    with progress_bar(is_quiet=as_json) as show:
        report = run_async(verify_cluster(cluster, show))
    if as_json:
        print_json(report.to_json())
    else:
        print_report(report, time.monotonic() - begun)
    if not report.ok:
        sys.exit(EXIT_NO)


async def verify_cluster(cluster: Cluster, on_progress: OnProgress) -> Report:
    """Judge a cluster and the store beside it."""
    async with KafkaSource(cluster.client_arguments()) as source:
        await source.capture(judge.judged_topics(cluster.topology))
        with open_store(cluster) as checker:
            findings = store_findings(checker)
        codec = codec_of(cluster.topology)
        return await judge.verify(source, cluster.topology, codec, store=findings, on_progress=on_progress)


def print_report(report: Report, seconds: float) -> None:
    """Print counters as a table, then the offenders, then the verdict."""
    table = Table("counter", "found", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for name, value in report.counters.items():
        table.add_row(name, _cell(name, value))
    out.print(table)
    for name, offenders in report.offenders.items():
        for offender in offenders:
            out.print(f"[red]{name}[/]: ", end="")
            out.print(offender, markup=False)
    if report.trimmed:
        out.print(
            f"judged without the oldest records of {', '.join(report.trimmed)}: they are no longer kept"
        )
    verdict = "[bold green]ok[/]" if report.ok else "[bold red]NOT OK[/]"
    out.print(f"{verdict} after {seconds:.1f} s")


def _cell(name: str, value: Any) -> str:  # noqa: ANN401  # a number or nothing
    if value is None:
        return "no store"
    return f"[bold red]{value:,}[/]" if name in FAULTS and value else f"{value:,}"
