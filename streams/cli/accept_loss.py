"""`lockstep accept-loss`: go on although records were trimmed before they were processed.

Asks the workers what their shards wait for, shows it, and after a yes tells each worker exactly that; what was trimmed
in between is another loss and is not accepted with it. Tested in tests/cli/test_accept_loss.py and, on Kafka, in
tests/e2e/test_trimmed_topics.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.table import Table

from streams.cli.context import data_dir_option, err, out, print_json, run_async, telling
from streams.cli.workers import PIPELINE_APP, Pages, Worker, find_run, workers_of
from streams.errors import LockstepError

_FIELDS = ("shard", "topic", "progress", "log_start")


class LossNotAccepted(LockstepError):
    """A worker did not take what was accepted: the shard moved away, or more was trimmed meanwhile."""

    code = "LOSS_NOT_ACCEPTED"


@click.command("accept-loss", short_help="Go on although records were trimmed unread.")
@click.option("--shard", type=click.IntRange(min=0), help="Only this one (default: all that wait).")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print what was accepted as JSON; asks nothing without --yes."
)
@data_dir_option
@telling
def accept_loss(*, data_dir: Path, shard: int | None, yes: bool, as_json: bool) -> None:
    r"""Show what shards that are closed by TRIMMED_BELOW_PROGRESS have lost, and let them go on after a yes.

    Nothing brings these records back. Each shard goes on where its topic now begins, within some seconds.

    \b
    Example:
      lockstep accept-loss --shard 3
      lockstep accept-loss --yes --json
    """
    found = run_async(_find(data_dir, shard))
    if not as_json:
        _tell(found)
    is_accepted = bool(found) and (
        yes or (not as_json and click.confirm("Accept that these are lost?", err=True))
    )
    if is_accepted:
        run_async(_accept(found))
    if as_json:
        print_json({"accepted": is_accepted, "losses": [loss for _, loss in found]})
    elif is_accepted:
        err.print("accepted; see `lockstep status`")


async def _find(data_dir: Path, shard: int | None) -> list[tuple[Worker, dict[str, Any]]]:
    workers = workers_of(find_run(data_dir), PIPELINE_APP)
    async with Pages() as pages:
        found = zip(workers, await pages.get_each(workers, "losses"), strict=True)
    losses = [(worker, loss) for worker, page in found for loss in page["losses"]]
    return [one for one in losses if shard is None or one[1]["shard"] == shard]


async def _accept(losses: list[tuple[Worker, dict[str, Any]]]) -> None:
    async with Pages() as pages:
        for worker, loss in losses:
            answer = await pages.post(worker, "losses/" + "/".join(str(loss[name]) for name in _FIELDS))
            if answer is None or answer.status != 200:
                detail = (
                    "it does not answer" if answer is None else answer.content.get("detail", answer.content)
                )
                raise LossNotAccepted(
                    f"{worker.name}, shard {loss['shard']}, {loss['topic']}: {detail}. Losses before it are "
                    "accepted; run the command again."
                )


def _tell(found: list[tuple[Worker, dict[str, Any]]]) -> None:
    if not found:
        out.print("no shard waits for a loss to be accepted")
        return
    table = Table("shard", "topic", "processed up to", "begins at", "offsets lost", box=None, pad_edge=False)
    for _, loss in found:
        lost = loss["log_start"] - loss["progress"]
        table.add_row(*(str(loss[name]) for name in _FIELDS), f"[bold red]{lost:,}[/]")
    out.print(table)
