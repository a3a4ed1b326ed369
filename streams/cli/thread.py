"""`lockstep thread`: what a thread holds, metadata and bodies, asked of the split store's worker.

Tested in tests/cli/test_thread.py and tests/e2e/test_split_store_kafka.py.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click
from rich.table import Table
from rich.text import Text

from streams.cli.context import EXIT_NO, data_dir_option, fail, out, print_json, run_async, telling
from streams.cli.decoding import to_plain
from streams.cli.workers import Pages, Worker, WorkerSilent, find_run, workers_of
from streams.codec import Codec
from streams.errors import RecordError
from streams.topology import load_topology
from streams.topology.model import STORE_APP

if TYPE_CHECKING:
    from collections.abc import Mapping

_POSITION_MAX = 2**63 - 1


@click.command(short_help="Show what a thread holds, from the store.")
@click.argument("thread_id", metavar="THREAD")
@click.option("--first", type=click.IntRange(1), default=1, show_default=True, help="First position.")
@click.option("--last", type=click.IntRange(1), help="Last position; default: all that is stored.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@data_dir_option
@telling
def thread(thread_id: str, data_dir: Path, first: int, last: int | None, as_json: bool) -> None:
    r"""Show the operations of THREAD in their order, with the bodies as they are now.

    A body that is still on its way to its store is shown as pending. Ends with 1 when there is nothing to show.

    \b
    Example:
      lockstep thread ann-and-bob --first 10 --last 20
    """
    messages = run_async(read_thread(data_dir, thread_id, first, last or _POSITION_MAX))
    if not messages and not as_json:
        fail("NOTHING_STORED", f"nothing is stored of the thread {thread_id!r} at these positions", EXIT_NO)
    if as_json:
        print_json({"thread": thread_id, "messages": messages})
    else:
        out.print(picture(messages))
    if not messages:
        raise SystemExit(EXIT_NO)


async def read_thread(data_dir: Path, thread_id: str, first: int, last: int) -> list[dict[str, Any]]:
    """Return the operations as --json prints them; raises WorkerSilent, NotRunningError."""
    codec = Codec(registry_ids=load_topology().registry_ids)
    workers = workers_of(find_run(data_dir), STORE_APP)
    if not workers:
        raise WorkerSilent("This instance runs no store worker; start it without --no-store.")
    async with Pages() as pages:
        return [
            {**one, "body": decoded(codec, one["body"])}
            async for one in _messages(pages, workers[0], thread_id, first, last)
        ]


async def _messages(
    pages: Pages, worker: Worker, thread_id: str, first: int, last: int
) -> AsyncIterator[dict[str, Any]]:
    position: int | None = first
    while position is not None:
        page = await pages.get(worker, f"threads/{quote(thread_id, safe='')}?first={position}&last={last}")
        if page is None:
            raise WorkerSilent(
                f"{worker.name} (process {worker.pid}) does not answer on port {worker.web_port}; "
                "see `lockstep status` and the logs folder."
            )
        if page.status != 200:
            fail(page.content["error"], page.content["detail"], EXIT_NO)
        for message in page.content["messages"]:
            yield message
        position = page.content["next"]


def decoded(codec: Codec, body: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a body's fields, with the text of its last edit; what cannot be decoded in base64, as it came."""
    if body is None:
        return None
    try:
        name, fields = codec.decode(b64decode(body["content"]))
    except RecordError:
        return dict(body)
    if body["edited_text"] is not None:
        fields = {**fields, "body": b64decode(body["edited_text"])}
    plain: dict[str, Any] = to_plain(fields)
    return {"record": name, "edited": body["edited_text"] is not None, **plain}


def picture(messages: list[dict[str, Any]]) -> Table:
    """Return the operations as a table."""
    table = Table("position", "at (UTC)", "sender", "kind", "body", box=None, pad_edge=False)
    for one in messages:
        at = datetime.fromtimestamp(one["server_at_ms"] / 1000, UTC)
        table.add_row(
            str(one["position"]),
            f"{at:%Y-%m-%d %H:%M:%S}",
            Text(_harmless(one["sender"])),
            one["kind"],
            _body(one),
        )
    return table


def _body(message: Mapping[str, Any]) -> Text:
    body = message["body"]
    if message["pending"]:
        return Text("pending", "yellow")
    if message["deleted"]:
        return Text("deleted", "dim")
    if body is None:
        return Text("" if message["target"] is None else f"of message {message['target']}", "dim")
    text = Text(_harmless(str(body.get("body") or body.get("form_id") or body.get("content", ""))))
    return text.append(" (edited)", "dim") if body.get("edited") else text


def _harmless(text: str) -> str:
    """Nothing that somebody sent may steer the terminal."""
    return "".join(one if one == "\n" or one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)
