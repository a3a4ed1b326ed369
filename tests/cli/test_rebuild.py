"""`lockstep rebuild` asks the owner of each shard and believes no difference (streams/cli/rebuild.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from streams.cli.rebuild import rebuild
from tests.cli.pages import Answer, fake_worker, status_page, write_run


def _answer(shard: int, after: str = "aa") -> Answer:
    differing = [] if after == "aa" else ["queue"]
    return 200, {
        "shard": shard,
        "rows_before": 3,
        "rows_after": 3,
        "digest_before": "aa",
        "digest_after": after,
        "equal": not differing,
        "differing": differing,
        "seconds": 0.1,
    }


def _pages(*, after: str = "aa") -> dict[str, Answer]:
    return {
        "GET /lockstep/status": status_page({0: "open", 1: "open"}),
        "POST /lockstep/rebuild/0": _answer(0),
        "POST /lockstep/rebuild/1": _answer(1, after),
    }


def _rebuild(folder: Path, pages: dict[str, Answer], *options: str) -> Result:
    with fake_worker(pages) as port:
        write_run(folder, {"worker-0": port})
        return CliRunner().invoke(rebuild, ["--data-dir", str(folder), *options])


def _json(result: Result) -> dict[str, Any]:
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


def test_every_shard_is_rebuilt_and_equal_digests_end_with_0(tmp_path: Path) -> None:
    result = _rebuild(tmp_path, _pages(), "--json")
    assert result.exit_code == 0
    found = _json(result)
    assert found["equal"] is True
    assert [(one["worker"], one["shard"]) for one in found["shards"]] == [("worker-0", 0), ("worker-0", 1)]


def test_a_digest_that_differs_ends_with_1_and_names_the_table(tmp_path: Path) -> None:
    result = _rebuild(tmp_path, _pages(after="bb"))
    assert result.exit_code == 1
    assert "NO: queue" in result.stdout
    assert _json(_rebuild(tmp_path, _pages(after="bb"), "--json"))["equal"] is False


def test_only_the_shard_that_is_named_is_rebuilt(tmp_path: Path) -> None:
    found = _json(_rebuild(tmp_path, _pages(), "--json", "--shard", "1"))
    assert [one["shard"] for one in found["shards"]] == [1]


def test_when_one_shard_is_not_open_nothing_is_wiped(tmp_path: Path) -> None:
    pages = {**_pages(), "GET /lockstep/status": status_page({0: "open", 1: "opening"})}
    result = _rebuild(tmp_path, pages)
    assert (result.exit_code, "SHARD_NOT_OPEN" in result.stderr) == (2, True)
    assert "nothing was wiped" in " ".join(result.stderr.split())


def test_a_shard_that_moved_away_in_between_is_an_error(tmp_path: Path) -> None:
    moved = (409, {"error": "SHARD_NOT_OPEN", "detail": "shard 1 is not open on worker-0 now"})
    result = _rebuild(tmp_path, {**_pages(), "POST /lockstep/rebuild/1": moved})
    assert (result.exit_code, "shard 1 is not open" in result.stderr) == (2, True)
