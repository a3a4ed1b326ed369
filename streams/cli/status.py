"""`lockstep status`: workers, shards, progress and lag of an instance that `lockstep up` runs.

Ends with 1 when something does not serve: a worker is silent or waits for the broker, or a shard is not open
on any worker. The keys of --json are stable. Tested in tests/cli/test_status.py and tests/e2e/test_instance.py.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from streams.cli.context import EXIT_NO, data_dir_option, out, print_json, run_async, telling
from streams.cli.workers import Page, Pages, Worker, find_run, live_page_of, workers_of

_WATCH_SECONDS = 1.0
_COLOURS = {"serving": "green", "open": "green", "opening": "yellow", "waiting": "yellow"}
_ORDER = ("open", "opening", "failed")
"""Two workers may name one shard while it moves: the one that is further along is shown."""


@click.command(short_help="Show workers, shards, progress and lag.")
@click.option("--watch", is_flag=True, help="Show it anew every second until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@data_dir_option
@telling
def status(data_dir: Path, watch: bool, as_json: bool) -> None:
    r"""Show workers, shards, progress and lag. Ends with 1 when something does not serve.

    \b
    Example:
      lockstep status
      lockstep status --json | jq '.shards[] | select(.state != "open")'
    """
    if watch:
        run_async(_watch(data_dir, as_json=as_json))
        return
    found = run_async(status_of(data_dir))
    if as_json:
        print_json(found)
    else:
        out.print(_picture(found))
    if not found["serving"]:
        sys.exit(EXIT_NO)


async def status_of(data_dir: Path) -> dict[str, Any]:
    """Return the status of the instance in a data folder, as --json prints it."""
    run = find_run(data_dir)
    workers = workers_of(run)
    async with Pages() as pages:
        return described(run, workers, await pages.get_all(workers, "status"))


def described(run: dict[str, Any], workers: Sequence[Worker], pages: Sequence[Page | None]) -> dict[str, Any]:
    """Put together what run.json and the workers' pages say."""
    shown = [_worker(worker, page) for worker, page in zip(workers, pages, strict=True)]
    best: dict[tuple[str, int], dict[str, Any]] = {
        (worker.app, number): _unowned(worker.app, number)
        for worker in workers
        for number in range(run["shards"])
    }
    for worker, page in zip(workers, pages, strict=True):
        for shard in [] if page is None else page.content["shards"]:
            row = _shard(worker, shard)
            known = best.get((worker.app, row["shard"]))
            if known is None or known["worker"] is None or _rank(row) < _rank(known):
                best[worker.app, row["shard"]] = row
    shards = [best[place] for place in sorted(best)]
    return {
        "bootstrap": run["bootstrap"],
        "kafka": None if run["kafka"] is None else {"pid": run["kafka"]["pid"]},
        "serving": all(one["state"] == "serving" for one in shown)
        and all(one["state"] == "open" for one in shards),
        "live_page": live_page_of(run),
        "workers": shown,
        "shards": shards,
    }


def _worker(worker: Worker, page: Page | None) -> dict[str, Any]:
    content = None if page is None else page.content
    broker = None if content is None else content["broker"]
    state = "silent" if content is None else "serving" if broker == "up" else "waiting"
    return {
        "name": worker.name,
        "app": worker.app,
        "pid": worker.pid,
        "state": state,
        "broker": broker,
        "shards": []
        if content is None
        else [one["shard"] for one in content["shards"] if one["state"] == "open"],
        "standbys": [] if content is None else content.get("standbys", []),
        "restarts": worker.restarts,
        "web_port": worker.web_port,
    }


def _shard(worker: Worker, shard: dict[str, Any]) -> dict[str, Any]:
    return {
        "app": worker.app,
        "shard": shard["shard"],
        "worker": worker.name,
        "state": shard["state"],
        "detail": shard["detail"],
        "rows_read": shard.get("rows_read"),
        "rows_total": shard.get("rows_total"),
        "inputs": {
            topic: {"progress": one["progress"], "lag": one.get("lag"), "pending": one.get("pending")}
            for topic, one in shard["inputs"].items()
        },
    }


def _unowned(app: str, number: int) -> dict[str, Any]:
    return {
        "app": app,
        "shard": number,
        "worker": None,
        "state": "unowned",
        "detail": "no worker that answers has it",
        "rows_read": None,
        "rows_total": None,
        "inputs": {},
    }


def _rank(row: dict[str, Any]) -> int:
    return _ORDER.index(row["state"]) if row["state"] in _ORDER else len(_ORDER)


async def _watch(data_dir: Path, *, as_json: bool) -> None:
    if as_json:
        while True:
            print_json(await status_of(data_dir))
            await asyncio.sleep(_WATCH_SECONDS)
    with Live(console=out, auto_refresh=False) as live:
        while True:
            live.update(_picture(await status_of(data_dir)), refresh=True)
            await asyncio.sleep(_WATCH_SECONDS)


def _picture(found: dict[str, Any]) -> Group:
    kafka = found["kafka"]
    where = "an outside cluster" if kafka is None else f"embedded Kafka, process {kafka['pid']}"
    verdict = ("serving", "bold green") if found["serving"] else ("NOT SERVING", "bold red")
    page = f"live page: {found['live_page']}\n" if found["live_page"] else ""
    head = Text.assemble(verdict, f" on {found['bootstrap']} ({where})\n{page}")
    return Group(head, _workers_table(found["workers"]), Text(), _shards_table(found["shards"]))


def _workers_table(workers: Sequence[dict[str, Any]]) -> Table:
    names = ("worker", "app", "process", "state", "shards open", "standbys", "restarts")
    table = Table(*names, box=None, pad_edge=False)
    for one in workers:
        state = one["state"] if one["state"] != "waiting" else one["broker"]
        table.add_row(
            one["name"],
            one["app"],
            str(one["pid"] or "-"),
            Text(state, _COLOURS.get(one["state"], "bold red")),
            _ranges(one["shards"]),
            _copies(one["standbys"]),
            str(one["restarts"]),
        )
    return table


def _shards_table(shards: Sequence[dict[str, Any]]) -> Table:
    table = Table("app", "shard", "worker", "state", "lag", "pending", "behind", box=None, pad_edge=False)
    for one in shards:
        inputs = one["inputs"]
        behind = ", ".join(f"{topic} {value['lag']:,}" for topic, value in inputs.items() if value["lag"])
        table.add_row(
            one["app"],
            str(one["shard"]),
            one["worker"] or "-",
            Text(one["state"], _COLOURS.get(one["state"], "bold red")),
            _sum(value["lag"] for value in inputs.values()),
            _sum(value["pending"] for value in inputs.values()),
            Text(one["detail"] or _restored(one) or behind),
        )
    return table


def _restored(shard: dict[str, Any]) -> str:
    if shard["state"] != "opening" or not shard["rows_total"]:
        return ""
    return f"restored {shard['rows_read']:,} of {shard['rows_total']:,} records"


def _copies(standbys: Sequence[dict[str, Any]]) -> str:
    """Return 0-3 (12 behind): shards, and the records that are not copied yet; "opening" while one is not known."""
    if not standbys:
        return "none"
    known = [one["behind"] for one in standbys]
    behind = "opening" if None in known else f"{sum(known):,} behind"
    return f"{_ranges([one['shard'] for one in standbys])} ({behind})"


def _sum(numbers: Any) -> str:  # noqa: ANN401  # an iterable of numbers, some of them unknown
    known = [number for number in numbers if number is not None]
    return f"{sum(known):,}" if known else "-"


def _ranges(numbers: Sequence[int]) -> str:
    """Return 0-3, 7 for 0, 1, 2, 3, 7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], number]
        else:
            runs.append([number])
    return ", ".join("-".join(map(str, run)) for run in runs) or "none"
