"""Commands that only talk to topics, without a cluster: help, options, errors, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from rich.text import Text

from streams.cli import context
from streams.cli.decoding import summary, to_plain
from streams.cli.main import COMMANDS, main
from streams.client import Request, post
from streams.codec import Codec
from streams.errors import ConfigurationError

OURS = (
    "send",
    "register",
    "attach",
    "detach",
    "ack",
    "missing",
    "tail",
    "feed",
    "drain",
    "verify",
    "dead-letters",
)
GROUPS = {
    "tail": ("requests", "results", "account", "endpoint", "dead-letters"),
    "dead-letters": ("list", "show", "resend"),
}
CALLS = [[name] for name in OURS] + [[group, name] for group, names in GROUPS.items() for name in names]


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("LOCKSTEP_BOOTSTRAP", "LOCKSTEP_DATA_DIR", "LOCKSTEP_TRACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def run(*arguments: str, **options: Any) -> Any:
    return CliRunner().invoke(main, list(arguments), **options)


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_every_command_explains_itself_with_an_example(call: list[str]) -> None:
    result = run(*call, "--help")
    assert result.exit_code == 0
    assert "Example:" in result.output
    assert "lockstep " in result.output.split("Example:")[1]


@pytest.mark.parametrize("name", OURS)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.short_help == COMMANDS[name][1]


def test_help_loads_neither_faust_nor_a_kafka_client() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from streams.cli.main import main;"
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0;"
        "assert not {'faust', 'aiokafka', 'rocksdict'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_command_is_a_usage_error() -> None:
    assert run("fed").exit_code == 2


REQUIRED = {
    "send": ["t", "x", "--from", "ann"], "register": ["ann", "phone"], "attach": ["ann", "phone"],
    "detach": ["ann", "phone"], "ack": ["ann", "phone", "1"], "missing": ["ann", "phone", "1"], "feed": ["-"],
}  # fmt: skip


@pytest.mark.parametrize(
    "call", [[name, *REQUIRED.get(name, [])] for name in OURS if name not in GROUPS], ids=lambda call: call[0]
)
def test_without_a_cluster_a_command_says_how_to_start_one(call: list[str]) -> None:
    result = run(*call)
    assert result.exit_code == 2
    assert "error NOT_RUNNING" in result.stderr
    assert "lockstep up" in result.stderr


def test_a_cluster_that_does_not_answer_is_an_environment_error() -> None:
    result = run("verify", "--bootstrap", "127.0.0.1:1")
    assert result.exit_code == 2
    assert "error BROKER_UNAVAILABLE" in result.stderr


def test_the_running_instance_is_found_by_its_data_folder(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"bootstrap": "127.0.0.1:7", "shards": 4}), "utf-8")
    cluster = context.find_cluster(None, tmp_path)
    assert cluster.connection.bootstrap == "127.0.0.1:7"
    assert cluster.run["shards"] == 4


def test_the_option_is_nearer_than_the_environment_and_both_than_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"bootstrap": "127.0.0.1:7"}), "utf-8")
    monkeypatch.setenv("LOCKSTEP_BOOTSTRAP", "127.0.0.1:8")
    assert context.find_cluster(None, tmp_path).connection.bootstrap == "127.0.0.1:8"
    assert context.find_cluster("127.0.0.1:9", tmp_path).connection.bootstrap == "127.0.0.1:9"


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_damaged_run_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text, "utf-8")
    with pytest.raises(ConfigurationError, match=r"run\.json"):
        context.find_cluster(None, tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["send", "t", "--from", "ann"],
        ["send", "t", "x", "--from", "ann", "--add", "bob"],
        ["send", "t", "--from", "ann", "--edit", "00" * 16],
        ["send", "t", "--from", "ann", "--delete", "xyz"],
        ["send", "t", "x", "--from", "ann", "--token", "5"],
        ["send", "t", "--from", "ann", "--form", "f", "--argument", "novalue"],
        ["feed", "--duplicates", "2"],
        ["dead-letters", "show", "7"],
        ["dead-letters", "resend"],
        ["dead-letters", "resend", "1@2", "--all"],
        ["ack", "ann", "phone", "-1"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(arguments: list[str]) -> None:
    result = run(*arguments, env={"LOCKSTEP_BOOTSTRAP": "127.0.0.1:1"})
    assert result.exit_code == 2
    assert "Error: " in result.stderr


def test_feed_without_a_file_says_what_to_name() -> None:
    result = run("feed", env={"LOCKSTEP_BOOTSTRAP": "127.0.0.1:1"})
    assert result.exit_code == 2
    assert "LOCKSTEP_TRACE" in result.stderr


def test_decoded_values_are_plain_json() -> None:
    fields = Request("ann", "phone", "t", post(b"caf\xc3\xa9 \xff"), ["bob"]).fields()
    plain = to_plain(fields)
    assert plain["operation"] == {
        "Post": {"content_type": "text/plain; charset=utf-8", "body": "café \\xff", "media": []}
    }
    json.dumps(plain)


def test_a_line_about_a_record_cannot_bring_markup_or_colours_of_its_own() -> None:
    fields = Request("[red]ann\x1b[31m", "phone", "t", post("[bold]\x1b[31mx")).fields()
    line = summary("SendRequest", fields)
    assert isinstance(line, Text)
    assert "[red]ann" in line.plain
    assert "\x1b" not in line.plain


def test_every_record_that_tail_shows_has_a_line() -> None:
    codec = Codec()
    owner = {"account_id": "ann", "endpoint_id": "phone"}
    update = {
        **owner, "epoch": 1, "seq_first": 1, "seq": 2, "token": None, "message_id": bytes(16), "thread_id": "t",
        "thread_position": 1, "sender_id": "bob", "server_at_ms": 7, "kind": "noop", "content": None,
    }  # fmt: skip
    result = {"command_id": "c", "code": "OK", "attached_from_seq": 1, "head": 2, "epoch": 1, **owner}
    batch = {
        "seq_first": 1, "seq": 2, "updates": [update], "has_more": True, "epoch": 1, "command_id": "c", **owner,
    }  # fmt: skip
    records: dict[str, dict[str, Any]] = {
        "EndpointUpdate": update,
        "CommandResult": result,
        "UpdateBatch": batch,
    }
    for name, fields in records.items():
        decoded = codec.decode_as(name, codec[name].encode(fields))
        assert "ann/phone" in summary(name, decoded).plain
    assert summary("WakeUp", owner).plain.startswith("WakeUp")
