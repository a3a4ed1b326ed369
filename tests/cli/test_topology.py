"""`lockstep topology` and `lockstep topics` without a cluster (streams/cli/topology.py, topics.py)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from streams.adapters.cluster import Difference
from streams.cli import topology as module
from streams.cli.context import read_run
from streams.cli.topics import create
from streams.cli.topology import check, draw, run_check, with_shards
from streams.codec import RESOURCES
from streams.connection import Connection
from streams.topology import Topology, load_topology
from streams.topology.drawing import draw as draw_topology
from tests.cli.pages import write_run

NOWHERE = ("--data-dir", "/nonexistent")


def test_a_file_that_holds_together_ends_with_0_and_says_that_no_cluster_was_compared() -> None:
    found = json.loads(CliRunner().invoke(check, ["--json", *NOWHERE]).stdout)
    assert found == {
        "cluster": None,
        "topics": len(load_topology().topics),
        "equal": None,
        "applied": False,
        "differences": [],
    }
    assert "no cluster is named" in CliRunner().invoke(check, NOWHERE).stdout


def test_a_wrong_file_is_told_as_path_expected_got_and_ends_with_2(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text((RESOURCES / "topology.yaml").read_text().replace("shards: 12", "shards: many", 1))
    result = CliRunner().invoke(check, [str(file), *NOWHERE])
    assert result.exit_code == 2
    assert "shards: expected a whole number, got 'many'" in result.stderr


def test_nothing_can_be_applied_without_a_cluster() -> None:
    result = CliRunner().invoke(check, ["--apply", *NOWHERE])
    assert (result.exit_code, "NOT_RUNNING" in result.stderr) == (2, True)
    assert CliRunner().invoke(create, NOWHERE).exit_code == 2


def test_the_picture_goes_to_standard_output_or_into_a_file(tmp_path: Path) -> None:
    picture = draw_topology(load_topology())
    assert CliRunner().invoke(draw).stdout == picture
    assert CliRunner().invoke(draw, ["--output", str(tmp_path / "flow.svg")]).exit_code == 0
    assert (tmp_path / "flow.svg").read_text() == picture


def test_shards_are_those_asked_for_then_those_of_the_instance_then_those_of_the_file(tmp_path: Path) -> None:
    write_run(tmp_path, {}, shards=4)
    run = read_run(tmp_path)
    assert run is not None
    wanted = load_topology()
    assert [with_shards(wanted, *given).shards for given in ((3, run), (None, run), (None, {}))] == [3, 4, 12]


@pytest.mark.parametrize(("is_applied", "exit_code"), [(False, 1), (True, 0)])
def test_differences_end_with_1_unless_they_were_applied(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_applied: bool, exit_code: int
) -> None:
    difference = Difference("ingest.requests", "retention.ms", "2", "1")

    async def compare(_wanted: Topology, _connection: Connection, *, is_applied: bool) -> list[Difference]:  # noqa: ARG001  # the real one's signature
        return [difference]

    monkeypatch.setattr(module, "_compare", compare)
    code = 0
    try:
        run_check(load_topology(), Connection(bootstrap="x:1"), is_applied=is_applied, as_json=True)
    except SystemExit as end:
        code = int(str(end.code))
    found = json.loads(capsys.readouterr().out)
    assert (code, found["applied"], found["equal"]) == (exit_code, is_applied, is_applied)
    assert found["differences"] == [difference._asdict()]
