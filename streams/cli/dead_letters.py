"""`lockstep dead-letters`: list, show and resend what could not be processed.

A dead letter is named PARTITION@OFFSET, its place on the dead-letter topic; it stays there after a resend.
Tested in tests/cli/test_kafka.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from rich.table import Table

from streams.cli.context import EXIT_NO, Cluster, cluster_options, fail, out, print_json, run_async
from streams.cli.decoding import to_plain
from streams.client.outlet import codec_of
from streams.client.publisher import Publisher
from streams.errors import RecordError
from streams.ids import shard_of
from streams.topology.model import DEAD_LETTER_TOPIC
from streams.verify.source import KafkaSource

if TYPE_CHECKING:
    from streams.codec import Codec


class Letter(NamedTuple):
    """One dead letter and its place."""

    partition: int
    offset: int
    fields: dict[str, Any]

    @property
    def place(self) -> str:
        """As the commands take it."""
        return f"{self.partition}@{self.offset}"


class PlaceType(click.ParamType):
    """PARTITION@OFFSET."""

    name = "partition@offset"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401  # click's signature
        """Return it as written."""
        partition, _, offset = value.partition("@")
        if not (partition.isdecimal() and offset.isdecimal()):
            self.fail(f"{value!r} is no place: expected PARTITION@OFFSET, as `list` prints it", param, ctx)
        return f"{int(partition)}@{int(offset)}"


@click.group(name="dead-letters", short_help="List, show or resend what could not be processed.")
def dead_letters() -> None:
    r"""List, show or resend what could not be processed.

    \b
    Example:
      lockstep dead-letters list
    """


@dead_letters.command(name="list")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Most letters.")
@click.option("--code", help="Only those of this code.")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
@cluster_options
def list_letters(cluster: Cluster, limit: int, code: str | None, as_json: bool) -> None:
    r"""List dead letters, newest last.

    \b
    Example:
      lockstep dead-letters list --code UNDECODABLE
    """
    letters = run_async(_letters(cluster, code))[-limit:]
    if as_json:
        print_json([_plain(letter) for letter in letters])
        return
    table = Table("place", "code", "from", "bytes", "detail", box=None, pad_edge=False)
    for letter in letters:
        fields = letter.fields
        origin = f"{fields['topic']} {fields['partition']}@{fields['offset']}"
        table.add_row(
            letter.place, fields["code"], origin, str(len(fields["value"] or b"")), fields["detail"]
        )
    out.print(table if letters else "no dead letters")


@dead_letters.command()
@click.argument("place", type=PlaceType())
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@cluster_options
def show(cluster: Cluster, place: str, as_json: bool) -> None:
    r"""Show the dead letter at PLACE whole, its value decoded where that is possible.

    \b
    Example:
      lockstep dead-letters show 3@17
    """
    letter = _one(run_async(_letters(cluster)), place)
    shown = {**_plain(letter), "decoded": _decoded(codec_of(cluster.topology), letter.fields["value"])}
    if as_json:
        print_json(shown)
        return
    for name, value in shown.items():
        out.print(f"[bold]{name}[/]: ", end="")
        out.print(value, markup=False)


@dead_letters.command()
@click.argument("places", type=PlaceType(), nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="Every dead letter (with --code: every one of it).")
@click.option("--code", help="Only those of this code.")
@click.option("--json", "as_json", is_flag=True, help="Print how many were resent as JSON.")
@cluster_options
def resend(cluster: Cluster, places: tuple[str, ...], is_all: bool, code: str | None, as_json: bool) -> None:
    r"""Write dead letters to their topics again, each on its key's partition, unchanged.

    Do it when the cause is mended. A request keeps its token, so one that was processed meanwhile is a
    DUPLICATE.

    \b
    Example:
      lockstep dead-letters resend 3@17
    """
    if bool(places) == is_all:
        raise click.UsageError("Name the places to resend, or --all.")
    letters = run_async(_letters(cluster, code))
    chosen = letters if is_all else [_one(letters, place) for place in places]
    unknown = sorted({one.fields["topic"] for one in chosen} - cluster.topology.topics.keys())
    if unknown:
        fail("TOPOLOGY", f"topology.yaml has no topic {', '.join(unknown)}; nothing was resent.", EXIT_NO)
    run_async(_resend(cluster, chosen))
    if as_json:
        print_json({"resent": len(chosen)})
    else:
        out.print(f"resent {len(chosen)}")


async def _letters(cluster: Cluster, code: str | None = None) -> list[Letter]:
    found = [letter async for letter in _read(cluster) if code in (None, letter.fields["code"])]
    return sorted(found, key=lambda letter: (letter.fields["at_ms"], letter.partition, letter.offset))


async def _read(cluster: Cluster) -> AsyncIterator[Letter]:
    codec = codec_of(cluster.topology)
    async with KafkaSource(cluster.client_arguments()) as source:
        await source.capture([DEAD_LETTER_TOPIC])
        async for records in source.batches(DEAD_LETTER_TOPIC):
            for record in records:
                fields = codec.decode_as("DeadLetter", record.value)
                yield Letter(record.partition, record.offset, fields)


async def _resend(cluster: Cluster, letters: list[Letter]) -> None:
    async with Publisher(cluster.client_arguments()) as publisher:
        for letter in letters:
            fields = letter.fields
            shards = await publisher.shards(fields["topic"])
            partition = _partition(fields, shards)
            headers = tuple((header["key"], header["value"]) for header in fields["headers"])
            await publisher.put(fields["topic"], partition, fields["key"], fields["value"], headers)


def _partition(fields: dict[str, Any], shards: int) -> int:
    """Return the shard of the record's account or thread; its old partition where the key is none."""
    try:
        name = (fields["key"] or b"").split(b"\0")[0].decode()
    except UnicodeDecodeError:
        name = ""
    return shard_of(name, shards) if name else int(fields["partition"])


def _one(letters: list[Letter], place: str) -> Letter:
    found = next((letter for letter in letters if letter.place == place), None)
    if found is None:
        fail(
            "NO_SUCH_LETTER", f"No dead letter stands at {place}; see `lockstep dead-letters list`.", EXIT_NO
        )
    return found


def _plain(letter: Letter) -> dict[str, Any]:
    return {"place": letter.place, **to_plain(letter.fields)}


def _decoded(codec: Codec, value: bytes | None) -> dict[str, Any] | None:
    try:
        name, fields = codec.decode(value)
    except RecordError:
        return None
    return {name: to_plain(fields)}
