"""`lockstep topics`: create them, or check them. Tested in tests/cli/test_topology.py."""

from __future__ import annotations

import click

from streams.adapters.cluster import Cluster as Administration
from streams.cli.context import Cluster, cluster_options, out, print_json, run_async
from streams.cli.topology import run_check, shards_option, with_shards


@click.group(short_help="Create the topics, or check them.")
def topics() -> None:
    r"""Create the topics of topology.yaml, or check them.

    \b
    Example:
      lockstep topics create --bootstrap localhost:9092
    """


@topics.command()
@shards_option
@click.option("--json", "as_json", is_flag=True, help="Print what was created as JSON.")
@cluster_options
def create(cluster: Cluster, shards: int | None, as_json: bool) -> None:
    r"""Create the topics that are missing; those that are there are left as they are.

    \b
    Example:
      lockstep topics create --bootstrap localhost:9092
    """
    wanted = with_shards(cluster.topology, shards, cluster.run)

    async def missing_created() -> list[str]:
        async with Administration(cluster.connection) as administration:
            return await administration.create_topics(wanted)

    created = run_async(missing_created())
    if as_json:
        print_json({"created": created, "topics": len(wanted.topics), "shards": wanted.shards})
    elif created:
        out.print(f"created {len(created)} topics of {wanted.shards} partitions: {', '.join(created)}")
    else:
        out.print(
            f"all {len(wanted.topics)} topics are there; `lockstep topics check` compares their settings"
        )


@topics.command()
@click.option("--apply", "is_applied", is_flag=True, help="Make the cluster as topology.yaml says.")
@shards_option
@click.option("--json", "as_json", is_flag=True, help="Print the differences as JSON.")
@cluster_options
def check(cluster: Cluster, is_applied: bool, shards: int | None, as_json: bool) -> None:
    r"""Name every difference between topology.yaml and the cluster; ends with 1 when there is one.

    Nothing is changed without --apply, and partitions and replication never are.

    \b
    Example:
      lockstep topics check --bootstrap localhost:9092
    """
    wanted = with_shards(cluster.topology, shards, cluster.run)
    run_check(wanted, cluster.connection, is_applied=is_applied, as_json=as_json)
