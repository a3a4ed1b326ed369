"""`lockstep rebuild`: wipe local state, restore it from the topics, and compare.

Asks the worker that owns each shard; a shard serves nothing while it is restored. What is compared, and what may
differ without harm, stands in streams/engine/rebuilding.py. Tested in tests/cli/test_rebuild.py and
tests/e2e/test_instance.py.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from streams.cli.context import EXIT_NO, data_dir_option, out, print_json, run_async, telling
from streams.cli.feed import progress_bar
from streams.cli.workers import PIPELINE_APP, Pages, Worker, WorkerSilent, find_run, workers_of
from streams.client.feeding import OnProgress
from streams.errors import LockstepError

_POLL_SECONDS = 0.3
_DIGITS_SHOWN = 16


class ShardNotOpen(LockstepError):
    """A shard that was named is not open on any worker of the instance."""

    code = "SHARD_NOT_OPEN"


@click.command(short_help="Restore local state from the topics and compare.")
@click.option(
    "--shard", type=click.IntRange(min=0), help="Only this one (default: all, one after the other)."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=3600.0,
    show_default=True,
    help="Seconds a shard may take.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
@data_dir_option
@telling
def rebuild(*, data_dir: Path, shard: int | None, timeout: float, as_json: bool) -> None:
    r"""Wipe the local state of the pipeline's shards, restore it from the topics, and compare digests.

    Ends with 1 when a restored shard is not what it was. Other shards go on serving.

    \b
    Example:
      lockstep rebuild --shard 3
      lockstep rebuild --json
    """
    with progress_bar(is_quiet=as_json) as show:
        found = run_async(_rebuild(data_dir, shard, timeout, show))
    is_equal = all(one["equal"] for one in found)
    if as_json:
        print_json({"equal": is_equal, "shards": found})
    else:
        _tell(found)
    if not is_equal:
        sys.exit(EXIT_NO)


async def _rebuild(
    data_dir: Path, shard: int | None, timeout_s: float, show: OnProgress
) -> list[dict[str, Any]]:
    run = find_run(data_dir)
    async with Pages() as pages:
        owners = await _owners(pages, workers_of(run, PIPELINE_APP))
    wanted = range(run["shards"]) if shard is None else [shard]
    missing = [number for number in wanted if number not in owners]
    if missing:
        raise ShardNotOpen(
            f"No worker has shard {', '.join(map(str, missing))} open, so nothing was wiped; see `lockstep status`."
        )
    found = []
    for number in wanted:
        found.append(await _rebuild_one(owners[number], number, timeout_s, show))
        show("shards", len(found), len(wanted))
    return found


async def _owners(pages: Pages, workers: list[Worker]) -> dict[int, Worker]:
    owners = {}
    for worker, page in zip(workers, await pages.get_all(workers, "status"), strict=True):
        for one in [] if page is None else page.content["shards"]:
            if one["state"] == "open":
                owners[one["shard"]] = worker
    return owners


async def _rebuild_one(worker: Worker, number: int, timeout_s: float, show: OnProgress) -> dict[str, Any]:
    async with Pages(timeout_seconds=timeout_s) as pages, Pages() as looks:
        asking = asyncio.create_task(pages.post(worker, f"rebuild/{number}"))
        while not (await asyncio.wait({asking}, timeout=_POLL_SECONDS))[0]:
            page = await looks.get(worker, "status")
            for one in [] if page is None else page.content["shards"]:
                if one["shard"] == number and one["rows_total"]:
                    show(f"shard {number}", one["rows_read"], one["rows_total"])
        answer = asking.result()
    if answer is None:
        raise WorkerSilent(
            f"{worker.name} gave no answer about shard {number} within {timeout_s:.0f} s; the restore goes on, see "
            "`lockstep status`."
        )
    if answer.status != 200:
        raise ShardNotOpen(
            f"{answer.content.get('detail', answer.content)}; shards rebuilt before it are done."
        )
    return {"worker": worker.name, **answer.content}


def _tell(found: list[dict[str, Any]]) -> None:
    table = Table(
        "shard", "worker", "rows", "digest before", "after", "equal", "seconds", box=None, pad_edge=False
    )
    for one in found:
        table.add_row(
            str(one["shard"]),
            one["worker"],
            f"{one['rows_after']:,}" if one["equal"] else f"{one['rows_before']:,} -> {one['rows_after']:,}",
            one["digest_before"][:_DIGITS_SHOWN],
            one["digest_after"][:_DIGITS_SHOWN],
            "[green]yes[/]" if one["equal"] else f"[bold red]NO: {', '.join(one['differing'])}[/]",
            f"{one['seconds']:.1f}",
        )
    out.print(table)
