"""`lockstep tables` and `lockstep agents`: what Faust users expect to see of an app.

Asked from the pipeline's workers; a table lies in pieces, one a shard, and is shown as one.
Tested in tests/cli/test_tables.py and tests/e2e/test_instance.py.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
from rich.table import Table
from rich.text import Text

from streams.cli.context import EXIT_NO, data_dir_option, fail, out, print_json, run_async, telling
from streams.cli.workers import PIPELINE_APP, Pages, find_run, workers_of

_COUNT_SECONDS_MAX = 120.0
"""Sizes are counted when they are asked for: every row is read."""
_VALUE_CHARACTERS = 120


@click.command(short_help="List the state tables, or look up a key.")
@click.argument("name", required=False)
@click.argument("key", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@data_dir_option
@telling
def tables(*, data_dir: Path, name: str | None, key: str | None, as_json: bool) -> None:
    r"""List the state tables with their sizes, one table, or the rows of NAME whose key begins with KEY.

    A key begins with an account or a thread, as the meaning of the table says. Ends with 1 when there is no such
    row.

    \b
    Example:
      lockstep tables
      lockstep tables endpoints person-1
    """
    if name is not None and key is not None:
        _tell_rows(run_async(_rows(data_dir, name, key)), as_json=as_json)
        return
    found = run_async(_tables(data_dir))
    if name is not None:
        _refuse_unknown(name, [one["name"] for one in found])
        found = [one for one in found if one["name"] == name]
    if as_json:
        print_json({"tables": found})
        return
    shown = Table("table", "rows", "bytes", "changelog", "meaning", box=None, pad_edge=False)
    for one in found:
        shown.add_row(
            one["name"], f"{one['rows']:,}", f"{one['bytes']:,}", one["changelog"], Text(one["meaning"])
        )
    out.print(shown)


@click.command(short_help="List the agents: what each reads, and what waits for it.")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
@data_dir_option
@telling
def agents(*, data_dir: Path, as_json: bool) -> None:
    r"""List the agents of every worker: the topic each reads, its shards, and the records that wait.

    \b
    Example:
      lockstep agents
    """
    found = run_async(_agents(data_dir))
    if as_json:
        print_json({"agents": found})
        return
    shown = Table("agent", "topics", "worker", "shards", "pending", box=None, pad_edge=False)
    for one in found:
        shards = ", ".join(map(str, one["shards"])) or "none"
        shown.add_row(one["name"], ", ".join(one["topics"]), one["worker"], shards, f"{one['pending']:,}")
    out.print(shown)


async def _tables(data_dir: Path) -> list[dict[str, Any]]:
    workers = workers_of(find_run(data_dir), PIPELINE_APP)
    async with Pages(timeout_seconds=_COUNT_SECONDS_MAX) as pages:
        answers = await pages.get_each(workers, "tables?count=1")
    found: dict[str, dict[str, Any]] = {}
    for answer in answers:
        for one in answer["tables"]:
            known = found.setdefault(one["name"], {**one, "rows": 0, "bytes": 0})
            known["rows"] += one["rows"]
            known["bytes"] += one["bytes"]
    return list(found.values())


async def _rows(data_dir: Path, name: str, key: str) -> list[dict[str, Any]]:
    workers = workers_of(find_run(data_dir), PIPELINE_APP)
    async with Pages() as pages:
        answers = await pages.get_each(workers, f"tables/{quote(name, safe='')}/{quote(key, safe='')}")
    for answer in answers:
        if "error" in answer:
            _refuse_unknown(name, answer.get("tables", []))
    rows = [
        {"worker": worker.name, **row}
        for worker, answer in zip(workers, answers, strict=True)
        for row in answer["rows"]
    ]
    return sorted(rows, key=lambda row: (row["shard"], row["key"]))


async def _agents(data_dir: Path) -> list[dict[str, Any]]:
    workers = workers_of(find_run(data_dir), PIPELINE_APP)
    async with Pages() as pages:
        answers = await pages.get_each(workers, "agents")
    return [
        {"worker": worker.name, **one}
        for worker, answer in zip(workers, answers, strict=True)
        for one in answer["agents"]
    ]


def _refuse_unknown(name: str, known: Sequence[str]) -> None:
    if name not in known:
        fail("UNKNOWN_TABLE", f"There is no table {name!r}; there are {', '.join(known)}.", EXIT_NO)


def _tell_rows(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json({"rows": rows})
    elif rows:
        shown = Table("shard", "key", "value", box=None, pad_edge=False)
        for row in rows:
            shown.add_row(str(row["shard"]), Text(_short(row["key"])), Text(_short(row["value"])))
        out.print(shown)
    else:
        out.print("no row's key begins with that")
    if not rows:
        sys.exit(EXIT_NO)


def _short(value: str) -> str:
    """Return what a terminal may show: packed numbers, and whatever else a sender wrote, as dots."""
    text = "".join(one if one.isprintable() else "·" for one in value)
    return text if len(text) <= _VALUE_CHARACTERS else f"{text[:_VALUE_CHARACTERS]}…"
