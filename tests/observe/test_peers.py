"""The other workers of an instance, as the live page of one shows them (streams/observe/peers.py)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from streams.observe.peers import ALONE, RUN_FILE, Others, Peers
from tests.cli.pages import fake_worker

LIVE = "GET /lockstep/live?own=1"


def write_run(folder: Path, workers: list[dict[str, Any]]) -> None:
    (folder / RUN_FILE).write_text(json.dumps({"shards": 4, "workers": workers}))


def worker(name: str, web_port: int = 9, pid: int | None = None) -> dict[str, Any]:
    return {"name": name, "app": "pipeline", "pid": pid or 1, "web_port": web_port}


def own() -> dict[str, Any]:
    return worker("worker-0", pid=os.getpid())


async def ask(folder: Path) -> Others:
    return await Peers(folder, "pipeline", "worker-0").ask()


async def test_a_worker_asks_the_others_that_its_instance_names(tmp_path: Path) -> None:
    """Each says what it is; itself is not asked, and one that does not answer is named as silent."""
    with fake_worker({LIVE: (200, {"own": {"worker": "worker-1"}})}) as port:
        write_run(tmp_path, [own(), worker("worker-1", port), worker("worker-2")])
        others = await ask(tmp_path)
    silent = {"worker": "worker-2", "app": "pipeline", "pid": 1, "is_silent": True}
    assert others == Others(4, [{"worker": "worker-1"}, silent])


async def test_however_many_look_the_others_are_asked_once_a_second(tmp_path: Path) -> None:
    """A page in ten windows costs the others no more than one."""
    with fake_worker({LIVE: (200, {"own": {"worker": "worker-1"}})}) as port:
        write_run(tmp_path, [own(), worker("worker-1", port)])
        peers = Peers(tmp_path, "pipeline", "worker-0")
        first = await peers.ask()
    assert await peers.ask() is first


@pytest.mark.parametrize("text", [None, "no JSON", "[]", '{"workers": [{"name": "worker-0"}], "shards": 4}'])
async def test_a_worker_that_no_instance_names_is_alone(tmp_path: Path, text: str | None) -> None:
    """No file, no sense in it, or a file of another life of the folder."""
    if text is not None:
        (tmp_path / RUN_FILE).write_text(text)
    assert await ask(tmp_path) == ALONE
    write_run(tmp_path, [worker("worker-0", pid=os.getpid() + 1), worker("worker-1")])
    assert await ask(tmp_path) == ALONE


async def test_an_answer_that_is_something_else_counts_as_silence(tmp_path: Path) -> None:
    """Another program may have the port by now."""
    with fake_worker({LIVE: (200, ["hello"])}) as port:
        write_run(tmp_path, [own(), worker("worker-1", port)])
        others = await ask(tmp_path)
    assert others.workers[0]["is_silent"]
