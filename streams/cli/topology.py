"""`lockstep topology`: is topology.yaml right, does the cluster agree, and how does it look.

Tested in tests/cli/test_topology.py and, on Kafka, in tests/e2e/test_instance.py.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from streams.adapters.cluster import Cluster as Administration
from streams.cli.context import (
    EXIT_NO,
    NotRunningError,
    data_dir_option,
    find_cluster,
    out,
    print_json,
    run_async,
    telling,
)
from streams.topology import Topology, load_topology
from streams.topology.drawing import draw as draw_topology

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.adapters.cluster import Difference
    from streams.connection import Connection

bootstrap_option = click.option(
    "--bootstrap",
    help="Kafka cluster, host:port[,host:port...] (LOCKSTEP_BOOTSTRAP). Default: the one of `up`.",
)
shards_option = click.option(
    "--shards",
    type=click.IntRange(1, 1024),
    help="Partitions of every topic. Default: those of `up`, else as in topology.yaml.",
)


@click.group(short_help="Check or draw the data flow.")
def topology() -> None:
    r"""Check or draw the data flow that topology.yaml describes.

    \b
    Example:
      lockstep topology check
    """


@topology.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@click.option("--apply", "is_applied", is_flag=True, help="Make the cluster as the file says.")
@shards_option
@click.option("--json", "as_json", is_flag=True, help="Print the differences as JSON.")
@bootstrap_option
@data_dir_option
@telling
def check(
    *,
    file: Path | None,
    is_applied: bool,
    shards: int | None,
    as_json: bool,
    bootstrap: str | None,
    data_dir: Path,
) -> None:
    r"""Check FILE (default: the topology.yaml in use), and compare it with the cluster where there is one.

    A file that does not hold together is told as path, expected, got, and ends with 2. Differences to the cluster
    end with 1; nothing is changed without --apply.

    \b
    Example:
      lockstep topology check my-topology.yaml
      lockstep topology check --bootstrap localhost:9092 --apply
    """
    wanted = load_topology(file)
    try:
        cluster = find_cluster(bootstrap, data_dir)
    except NotRunningError:
        if is_applied:
            raise
        _tell_file(wanted, as_json=as_json)
        return
    wanted = with_shards(wanted, shards, cluster.run)
    run_check(wanted, cluster.connection, is_applied=is_applied, as_json=as_json)


@topology.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the picture there instead of to standard output.",
)
@telling
def draw(file: Path | None, output: Path | None) -> None:
    r"""Draw the data flow of FILE (default: the topology.yaml in use) as SVG.

    \b
    Example:
      lockstep topology draw > docs/topology.svg
    """
    picture = draw_topology(load_topology(file))
    if output is None:
        click.echo(picture, nl=False)
    else:
        output.write_text(picture, "utf-8")
        out.print(f"drew {output}")


def with_shards(wanted: Topology, shards: int | None, run: dict[str, Any]) -> Topology:
    """Return the topology with the shards that were asked for, or with those the instance runs with."""
    number = shards or run.get("shards")
    return wanted if number is None else wanted.with_shards(number)


def run_check(wanted: Topology, connection: Connection, *, is_applied: bool, as_json: bool) -> None:
    """Compare, tell, and where asked for put in order; ends with 1 when a difference is left."""
    found = run_async(_compare(wanted, connection, is_applied=is_applied))
    if as_json:
        print_json(
            {
                "cluster": connection.bootstrap,
                "topics": len(wanted.topics),
                "equal": not found or is_applied,
                "applied": is_applied and bool(found),
                "differences": [one._asdict() for one in found],
            }
        )
    else:
        _tell_differences(wanted, connection, found, is_applied=is_applied)
    if found and not is_applied:
        sys.exit(EXIT_NO)


async def _compare(wanted: Topology, connection: Connection, *, is_applied: bool) -> Sequence[Difference]:
    async with Administration(connection) as cluster:
        found = await cluster.differences(wanted)
        if is_applied and found:
            await cluster.apply(wanted, found)
        return found


def _tell_file(wanted: Topology, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "cluster": None,
                "topics": len(wanted.topics),
                "equal": None,
                "applied": False,
                "differences": [],
            }
        )
    else:
        out.print(
            f"topology.yaml holds together: {len(wanted.stages)} stages, {len(wanted.topics)} topics, "
            f"{wanted.shards} shards; no cluster is named, so none was compared"
        )


def _tell_differences(
    wanted: Topology, connection: Connection, found: Sequence[Difference], *, is_applied: bool
) -> None:
    if not found:
        out.print(f"{connection.bootstrap} is as topology.yaml says: {len(wanted.topics)} topics")
        return
    table = Table("topic", "setting", "expected", "got", box=None, pad_edge=False)
    for one in found:
        table.add_row(*one)
    out.print(table)
    ways = f"{len(found)} difference{'s' if len(found) > 1 else ''}"
    if is_applied:
        out.print(f"{ways} applied to {connection.bootstrap}")
    else:
        out.print(f"{ways}; nothing was changed. `lockstep topology check --apply` makes it so.")
