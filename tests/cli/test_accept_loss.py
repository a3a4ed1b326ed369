"""`lockstep accept-loss` gives up what it has shown, after a yes, and nothing else (streams/cli/accept_loss.py)."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from streams.cli.accept_loss import accept_loss
from tests.cli.pages import Answer, fake_worker, write_run

LOSSES = [
    {"shard": 1, "topic": "ingest.requests", "progress": 8, "log_start": 1_010},
    {"shard": 3, "topic": "inbox.appends", "progress": 0, "log_start": 2},
]
ACCEPTED: Answer = (200, {"accepted": True})
PAGES: dict[str, Answer] = {
    "GET /lockstep/losses": (200, {"losses": LOSSES}),
    "POST /lockstep/losses/1/ingest.requests/8/1010": ACCEPTED,
    "POST /lockstep/losses/3/inbox.appends/0/2": ACCEPTED,
}


def accept(folder: Path, pages: dict[str, Answer], *options: str, typed: str = "") -> Result:
    with fake_worker(pages) as port:
        write_run(folder, {"worker-0": port})
        return CliRunner().invoke(accept_loss, ["--data-dir", str(folder), *options], input=typed)


def test_the_losses_are_shown_and_accepted_after_a_yes(tmp_path: Path) -> None:
    result = accept(tmp_path, PAGES, typed="y\n")
    assert result.exit_code == 0, result.output
    assert "ingest.requests" in result.stdout
    assert "1,002" in result.stdout
    assert "accepted" in result.stderr


def test_nothing_is_accepted_without_a_yes(tmp_path: Path) -> None:
    """Neither after a no, nor by looking at JSON; a POST would have met no page here and failed."""
    only_looking = {"GET /lockstep/losses": PAGES["GET /lockstep/losses"]}
    assert accept(tmp_path, only_looking, typed="n\n").exit_code == 0
    result = accept(tmp_path, only_looking, "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"accepted": False, "losses": LOSSES})


def test_only_the_shard_that_is_named_is_given_up(tmp_path: Path) -> None:
    pages = {name: page for name, page in PAGES.items() if "/1/" not in name}
    found = json.loads(accept(tmp_path, pages, "--shard", "3", "--yes", "--json").stdout)
    assert found == {"accepted": True, "losses": LOSSES[1:]}


def test_what_the_worker_refuses_is_an_error(tmp_path: Path) -> None:
    """More was trimmed meanwhile, say: it has to be looked at again."""
    refused: Answer = (409, {"error": "NO_SUCH_LOSS", "detail": "does not wait for that loss now"})
    result = accept(tmp_path, {**PAGES, "POST /lockstep/losses/3/inbox.appends/0/2": refused}, "--yes")
    assert (result.exit_code, "LOSS_NOT_ACCEPTED" in result.stderr) == (2, True)
    assert "run the command again" in " ".join(result.stderr.split())


def test_where_nothing_is_lost_nothing_is_asked(tmp_path: Path) -> None:
    result = accept(tmp_path, {"GET /lockstep/losses": (200, {"losses": []})})
    assert (result.exit_code, "no shard waits" in result.stdout) == (0, True)
