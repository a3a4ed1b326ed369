"""`lockstep status` says of every worker and every shard whether it serves (streams/cli/status.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from streams.cli.status import status
from tests.cli.pages import fake_worker, status_page, write_run

STATUS = "GET /lockstep/status"


def _status(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(status, ["--data-dir", str(folder), *options])


def _json(folder: Path) -> tuple[int, dict[str, Any]]:
    result = _status(folder, "--json")
    return result.exit_code, json.loads(result.stdout)


def test_an_instance_whose_shards_are_all_open_serves_and_ends_with_0(tmp_path: Path) -> None:
    with fake_worker({STATUS: status_page({0: "open", 1: "open"}, lag=7)}) as port:
        write_run(tmp_path, {"worker-0": port})
        code, found = _json(tmp_path)
        shown = _status(tmp_path)
    assert (code, found["serving"], found["bootstrap"], found["kafka"]) == (
        0,
        True,
        "127.0.0.1:9",
        {"pid": 2},
    )
    assert found["live_page"] == f"http://127.0.0.1:{port}/live/"
    assert found["live_page"] in shown.output
    (worker,) = found["workers"]
    assert worker == {
        "name": "worker-0",
        "app": "pipeline",
        "pid": 1,
        "state": "serving",
        "broker": "up",
        "shards": [0, 1],
        "standbys": [{"shard": 2, "behind": 3}, {"shard": 3, "behind": 0}],
        "restarts": 0,
        "web_port": port,
    }
    assert [(one["app"], one["shard"], one["worker"], one["state"]) for one in found["shards"]] == [
        ("pipeline", 0, "worker-0", "open"),
        ("pipeline", 1, "worker-0", "open"),
    ]
    assert found["shards"][0]["inputs"] == {"ingest.requests": {"progress": 5, "lag": 7, "pending": 0}}
    assert "ingest.requests 7" in shown.stdout
    assert "2-3 (3 behind)" in shown.stdout


def test_a_worker_that_does_not_answer_is_shown_as_silent_and_its_shards_as_unowned(tmp_path: Path) -> None:
    with fake_worker({STATUS: status_page({0: "open"})}) as port:
        write_run(tmp_path, {"worker-0": port, "worker-1": 1})
        code, found = _json(tmp_path)
        shown = _status(tmp_path)
    assert (code, found["serving"]) == (1, False)
    assert [one["state"] for one in found["workers"]] == ["serving", "silent"]
    assert [(one["worker"], one["state"]) for one in found["shards"]] == [
        ("worker-0", "open"),
        (None, "unowned"),
    ]
    assert shown.exit_code == 1
    assert "NOT SERVING" in shown.stdout


def test_a_worker_that_waits_for_the_broker_does_not_serve(tmp_path: Path) -> None:
    with fake_worker({STATUS: status_page({0: "open", 1: "open"}, broker="waiting: gone")}) as port:
        write_run(tmp_path, {"worker-0": port})
        code, found = _json(tmp_path)
    assert (code, found["workers"][0]["state"], found["workers"][0]["broker"]) == (
        1,
        "waiting",
        "waiting: gone",
    )


def test_of_a_shard_that_two_workers_name_the_open_one_is_shown(tmp_path: Path) -> None:
    """A shard that moves is opening at one worker while the other still has it."""
    opening, both = status_page({0: "opening", 1: "open"}), status_page({0: "open"})
    with fake_worker({STATUS: opening}) as first, fake_worker({STATUS: both}) as second:
        write_run(tmp_path, {"worker-0": first, "worker-1": second})
        code, found = _json(tmp_path)
    assert (code, [one["worker"] for one in found["shards"]]) == (0, ["worker-1", "worker-0"])


def test_without_an_instance_it_says_what_to_do_and_ends_with_2(tmp_path: Path) -> None:
    result = _status(tmp_path)
    assert result.exit_code == 2
    assert "NOT_RUNNING" in result.stderr
    assert "lockstep up" in result.stderr


def test_help_has_an_example() -> None:
    assert "lockstep status --json" in CliRunner().invoke(status, ["--help"]).stdout
