"""`lockstep tail`: records as they are written, decoded, one line each (Ctrl-C ends it).

Tested in tests/cli/test_kafka.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click
from aiokafka import TopicPartition

from streams.cli.context import Cluster, cluster_options, err, out, print_json, run_async
from streams.cli.decoding import summary, to_plain
from streams.client.outlet import codec_of
from streams.errors import RecordError
from streams.ids import delivery_key, shard_of
from streams.topology.model import DEAD_LETTER_TOPIC
from streams.verify.source import offsets_of, partitions_of, start_consumer

if TYPE_CHECKING:
    from streams.codec import Codec
    from streams.ports import Record

_POLL_MS = 250


@click.group(short_help="Show records as they are written, decoded.")
def tail() -> None:
    r"""Show records as they are written, decoded; Ctrl-C ends it.

    \b
    Example:
      lockstep tail endpoint ann phone --from-beginning
    """


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="One JSON object a line."),
        click.option("--from-beginning", is_flag=True, help="Start with the oldest that is kept."),
        click.option("--count", type=click.IntRange(min=1), help="End after so many records."),
        click.option("--seconds", type=click.FloatRange(min=0), help="End after so long."),
    ):
        command = option(command)
    return cluster_options(command)


@tail.command()
@_options
def requests(cluster: Cluster, **options: Any) -> None:  # noqa: ANN401  # as `_follow` takes them
    r"""What senders ask for.

    \b
    Example:
      lockstep tail requests
    """
    run_async(_follow(cluster, [cluster.topology.topic_of("SendRequest")], **options))


@tail.command()
@_options
def results(cluster: Cluster, **options: Any) -> None:  # noqa: ANN401  # as `_follow` takes them
    r"""What they are answered.

    \b
    Example:
      lockstep tail results --json
    """
    run_async(_follow(cluster, [cluster.topology.topic_of("SendResult")], **options))


@tail.command()
@click.argument("account_id", metavar="ACCOUNT")
@_options
def account(cluster: Cluster, account_id: str, **options: Any) -> None:  # noqa: ANN401  # as `_follow` takes them
    r"""The inbox of an account.

    \b
    Example:
      lockstep tail account ann --from-beginning
    """
    topic = cluster.topology.topic_of("InboxUpdate")
    run_async(_follow(cluster, [topic], account_id=account_id, key=account_id.encode(), **options))


@tail.command()
@click.argument("account_id", metavar="ACCOUNT")
@click.argument("endpoint_id", metavar="ENDPOINT")
@_options
def endpoint(cluster: Cluster, account_id: str, endpoint_id: str, **options: Any) -> None:  # noqa: ANN401  # as `_follow` takes them
    r"""What one endpoint gets: its route and its replays.

    \b
    Example:
      lockstep tail endpoint ann phone
    """
    topics = [*dict.fromkeys(cluster.topology.routes.values()), cluster.topology.topic_of("CommandResult")]
    key = delivery_key(account_id, endpoint_id)
    run_async(_follow(cluster, topics, account_id=account_id, key=key, **options))


@tail.command(name="dead-letters")
@_options
def dead_letters(cluster: Cluster, **options: Any) -> None:  # noqa: ANN401  # as `_follow` takes them
    r"""What can never be processed.

    \b
    Example:
      lockstep tail dead-letters
    """
    run_async(_follow(cluster, [DEAD_LETTER_TOPIC], **options))


async def _follow(
    cluster: Cluster,
    topics: Iterable[str],
    *,
    as_json: bool,
    from_beginning: bool,
    count: int | None,
    seconds: float | None,
    account_id: str | None = None,
    key: bytes | None = None,
) -> None:
    arguments = cluster.client_arguments()
    partitions = _those_of(account_id, await partitions_of(arguments, topics))
    codec = codec_of(cluster.topology)
    deadline = None if seconds is None else time.monotonic() + seconds
    consumer = await start_consumer(arguments)
    shown = 0
    try:
        consumer.assign(partitions)
        starts, ends = await offsets_of(consumer, partitions)
        for at, offset in (starts if from_beginning else ends).items():
            consumer.seek(at, offset)
        while (count is None or shown < count) and (deadline is None or time.monotonic() < deadline):
            for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                for record in records:
                    if (key is None or record.key == key) and (count is None or shown < count):
                        shown += 1
                        _show(codec, record, as_json=as_json)
    finally:
        await consumer.stop()


def _those_of(account_id: str | None, partitions: list[TopicPartition]) -> list[TopicPartition]:
    """Keep the partitions of an account's shard: the cluster's count decides."""
    if account_id is None:
        return partitions
    shards = len({at.partition for at in partitions})
    return [at for at in partitions if at.partition == shard_of(account_id, shards)]


def _show(codec: Codec, record: Record, *, as_json: bool) -> None:
    try:
        name, fields = codec.decode(record.value)
    except RecordError as error:
        err.print(
            f"{record.topic} {record.partition}@{record.offset}: {error.code} {error}",
            markup=False,
            style="red",
        )
        return
    if as_json:
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        print_json({**place, "at_ms": record.timestamp, "record": name, "fields": to_plain(fields)})
    else:
        out.print(summary(name, fields))
