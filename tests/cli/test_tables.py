"""`lockstep tables` and `lockstep agents` show an app as Faust users expect it (streams/cli/tables.py)."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from streams.cli.tables import agents, tables
from tests.cli.pages import Answer, fake_worker, write_run


def _sizes(rows: int) -> Answer:
    table = {"name": "members", "meaning": "thread -> members", "changelog": "shard.state"}
    return 200, {"tables": [{**table, "rows": rows, "bytes": 10 * rows}]}


def _row(shard: int) -> Answer:
    row = {"shard": shard, "key": f"ann/{shard}", "value": "v\x1b[2J", "hex": "76"}
    return 200, {"table": "members", "rows": [row]}


FIRST = {
    "GET /lockstep/tables?count=1": _sizes(2),
    "GET /lockstep/tables/members/ann%2F": _row(1),
    "GET /lockstep/tables/members/nobody": (200, {"table": "members", "rows": []}),
    "GET /lockstep/tables/none/ann": (404, {"error": "UNKNOWN_TABLE", "tables": ["members"]}),
    "GET /lockstep/agents": (200, {"agents": [{"name": "a", "topics": ["a"], "shards": [0], "pending": 3}]}),
}
SECOND = {
    **FIRST,
    "GET /lockstep/tables?count=1": _sizes(3),
    "GET /lockstep/tables/members/ann%2F": _row(0),
}


def _tables(folder: Path, *arguments: str) -> Result:
    with fake_worker(FIRST) as first, fake_worker(SECOND) as second:
        write_run(folder, {"worker-0": first, "worker-1": second})
        return CliRunner().invoke(tables, [*arguments, "--data-dir", str(folder)])


def test_the_size_of_a_table_is_the_sum_over_all_workers(tmp_path: Path) -> None:
    (found,) = json.loads(_tables(tmp_path, "--json").stdout)["tables"]
    assert (found["name"], found["rows"], found["bytes"]) == ("members", 5, 50)
    shown = _tables(tmp_path, "members")
    assert shown.exit_code == 0
    assert "thread -> members" in shown.stdout


def test_a_key_is_looked_up_at_every_worker_and_rows_come_in_order_of_their_shard(tmp_path: Path) -> None:
    """The key holds a slash, which must not be taken for a part of the address."""
    rows = json.loads(_tables(tmp_path, "members", "ann/", "--json").stdout)["rows"]
    assert [(one["worker"], one["shard"], one["key"]) for one in rows] == [
        ("worker-1", 0, "ann/0"),
        ("worker-0", 1, "ann/1"),
    ]


def test_a_key_that_no_row_has_ends_with_1(tmp_path: Path) -> None:
    assert _tables(tmp_path, "members", "nobody").exit_code == 1


def test_an_unknown_table_ends_with_1_and_names_those_that_there_are(tmp_path: Path) -> None:
    for arguments in (("none",), ("none", "ann")):
        result = _tables(tmp_path, *arguments)
        assert (result.exit_code, "there are members" in result.stderr) == (1, True), arguments


def test_what_a_row_holds_cannot_steer_the_terminal(tmp_path: Path) -> None:
    shown = _tables(tmp_path, "members", "ann/").stdout
    assert "\x1b" not in shown
    assert "v·[2J" in shown


def test_agents_are_listed_for_each_worker(tmp_path: Path) -> None:
    with fake_worker(FIRST) as first, fake_worker(SECOND) as second:
        write_run(tmp_path, {"worker-0": first, "worker-1": second})
        result = CliRunner().invoke(agents, ["--json", "--data-dir", str(tmp_path)])
    agent = {"name": "a", "topics": ["a"], "shards": [0], "pending": 3}
    expected = [{"worker": "worker-0", **agent}, {"worker": "worker-1", **agent}]
    assert json.loads(result.stdout)["agents"] == expected
