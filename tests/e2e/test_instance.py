"""A whole instance from the shell: up, status, feed, drain, verify, rebuild, look, down; nothing is left running."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
import pytest

ROOT = Path(__file__).parents[2]
TRACE = ROOT / "tests" / "data" / "small_trace.csv"
SHARDS = 4
_COMMAND_SECONDS_MAX = 150

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


class Shell:
    """`lockstep` in a data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: str, exit_code: int = 0) -> str:
        command, *rest = arguments
        done = subprocess.run(
            [sys.executable, "-m", "streams", command, *rest, "--data-dir", str(self.folder)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS_MAX,
            check=False,
        )
        assert done.returncode == exit_code, f"{arguments}: {done.stdout}\n{done.stderr}\n{self._logs()}"
        return done.stdout

    def json(self, *arguments: str, exit_code: int = 0) -> dict[str, Any]:
        found = json.loads(self.run(*arguments, "--json", exit_code=exit_code))
        assert isinstance(found, dict)
        return found

    def _logs(self) -> str:
        logs = sorted((self.folder / "logs").glob("*.log"))
        return "\n".join(f"-- {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in logs)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """An instance that serves; stopped at the end even when a test failed."""
    shell = Shell(tmp_path_factory.mktemp("instance"))
    shell.run("up", "--shards", str(SHARDS), "--detach")
    pids = _pids(shell.json("status"))
    try:
        yield shell
    finally:
        shell.run("down")
        assert not _alive(pids), "a process of the instance outlived `down`"
        assert not (shell.folder / "run.json").exists()


def _pids(status: dict[str, Any]) -> list[int]:
    return [status["kafka"]["pid"], *(worker["pid"] for worker in status["workers"])]


def _alive(pids: list[int]) -> list[int]:
    deadline_s = time.monotonic() + 10
    _, alive = psutil.wait_procs(
        [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=deadline_s - time.monotonic()
    )
    return [process.pid for process in alive]


def test_the_instance_serves_and_the_cluster_is_as_the_topology_says(shell: Shell) -> None:
    status = shell.json("status")
    assert status["serving"] is True
    assert {(one["app"], one["shard"], one["state"]) for one in status["shards"]} == {
        (app, number, "open") for app in ("pipeline", "store") for number in range(SHARDS)
    }
    assert shell.json("topology", "check")["equal"] is True
    assert shell.json("topics", "create")["created"] == []


def test_what_is_fed_drains_verifies_and_is_rebuilt_from_its_topics(shell: Shell) -> None:
    fed = shell.json("feed", str(TRACE), "--endpoints", "2", "--duplicates", "0.05")
    assert fed["messages"] == 400
    assert shell.json("drain", "--timeout", "120")["drained"] is True
    verified = shell.json("verify")
    assert verified["ok"] is True
    assert verified["requests"] == fed["requests"]
    assert verified["duplicates"] > 0
    assert verified["updates"] > 0
    assert verified["metadata_without_body"] == 0
    rebuilt = shell.json("rebuild")
    assert rebuilt["equal"] is True
    assert [one["shard"] for one in rebuilt["shards"]] == list(range(SHARDS))
    assert all(one["rows_after"] > 10 for one in rebuilt["shards"])


def test_after_a_rebuild_nothing_waits_and_no_shard_lags(shell: Shell) -> None:
    shell.json("drain", "--timeout", "120")
    inputs = [value for one in shell.json("status")["shards"] for value in one["inputs"].values()]
    assert {one["lag"] for one in inputs} <= {0, None}


def test_tables_and_agents_are_visible(shell: Shell) -> None:
    sizes = {one["name"]: one["rows"] for one in shell.json("tables")["tables"]}
    assert sizes["claims"] >= SHARDS
    assert sizes["threads"] > 0
    rows = shell.json("tables", "threads", "thread-0")["rows"]
    assert [row["key"] for row in rows] == ["thread-0"]
    assert {one["name"] for one in shell.json("agents")["agents"]} >= {"ingest.requests", "inbox.appends"}


def test_every_worker_shows_itself_to_machines_and_to_people(shell: Shell) -> None:
    """Metrics, health, readiness and the live page answer on every worker; the page of one names all of them."""
    status = shell.json("status")
    ports = {one["name"]: one["web_port"] for one in status["workers"]}
    for port in ports.values():
        assert get(port, "/health")[0] == get(port, "/ready")[0] == 200
        assert get(port, "/live/")[0] == 200
    metrics = get(ports["worker-0"], "/metrics")[1]
    assert re.search(
        r'^lockstep_engine_records_in_total\{topic="ingest.requests"\} [1-9]', metrics, re.MULTILINE
    )
    assert re.search(r"^lockstep_delivery_latency_seconds_count [1-9]", metrics, re.MULTILINE)
    assert 'lockstep_shard_open{shard="3"} 1.0' in metrics
    assert 'lockstep_split_store_bodies_lag_offsets{shard="0"} 0.0' in get(ports["store-0"], "/metrics")[1]
    assert status["live_page"] == f"http://127.0.0.1:{ports['worker-0']}/live/"
    figures = json.loads(get(ports["store-0"], "/lockstep/live")[1])
    assert (figures["own"]["worker"], [one["worker"] for one in figures["others"]]) == (
        "store-0",
        ["worker-0"],
    )
    assert figures["shards"] == SHARDS
    assert len(figures["others"][0]["shards"]) == SHARDS


def test_every_line_of_a_workers_log_is_an_event(shell: Shell) -> None:
    """Whoever wrote it, ours or a library: JSON with a dotted name, a level and a time."""
    for log in (shell.folder / "logs").glob("*-0.log"):
        events = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
        assert all(re.fullmatch(r"[a-z_]+\.[a-z_]+", event["event"]) for event in events)
        assert all({"level", "at"} <= event.keys() for event in events)


def get(port: int, path: str) -> tuple[int, str]:
    """Status and text of a worker's page."""
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:  # our own worker
        return response.status, response.read().decode()


def test_a_second_instance_in_the_same_folder_is_refused(shell: Shell) -> None:
    refused = shell.run("up", exit_code=2)
    assert refused == ""
    assert shell.json("status")["serving"] is True
