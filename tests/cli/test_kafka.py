"""Commands against a real broker on which no worker runs: what they write, read, count and refuse."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from streams.cli.main import main
from streams.client import Publisher, Request, post
from streams.codec import Codec
from streams.ids import shard_of
from tests.fixtures.outside import SHARDS, Outside, outside_of_pipeline

pytestmark = pytest.mark.kafka

CODEC = Codec()
LINES = "".join(
    json.dumps({"account_id": f"acc-{n}", "thread_id": "t", "recipients": ["bob"], "post": f"text {n}"})
    + "\n"
    for n in range(20)
)


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with outside_of_pipeline(tmp_path_factory.mktemp("kafka")) as cluster:
        asyncio.run(_write(cluster))
        yield cluster


async def _write(outside: Outside) -> None:
    """One request that came to the wrong partition, and its dead letter."""
    request = Request("lost", "phone", "t", post("lost and found"))
    value = CODEC["SendRequest"].encode(request.fields())
    wrong = (shard_of("lost", SHARDS) + 1) % SHARDS
    dead = {
        "topic": "ingest.requests", "partition": wrong, "offset": 0, "key": b"lost", "value": value,
        "headers": [{"key": "h", "value": b"1"}], "code": "WRONG_PARTITION", "detail": "belongs elsewhere",
        "at_ms": 7,
    }  # fmt: skip
    async with Publisher(outside.arguments) as publisher:
        await publisher.put("ingest.requests", wrong, b"lost", value)
        await publisher.put("dead.letters", wrong, b"lost", CODEC["DeadLetter"].encode(dead))


@pytest.fixture
def run(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("LOCKSTEP_BOOTSTRAP", outside.bootstrap)

    def invoke(*arguments: str, exit_code: int = 0, **options: Any) -> Any:
        result = CliRunner().invoke(main, list(arguments), **options)
        assert result.exit_code == exit_code, result.output
        return result

    return invoke


def test_json_lines_are_fed_and_tail_shows_them(run: Any) -> None:
    report = json.loads(run("feed", "-", "--json", input=LINES).stdout)
    assert (report["requests"], report["messages"], report["repeats"]) == (20, 20, 0)
    shown = run("tail", "requests", "--from-beginning", "--count", "21", "--seconds", "30", "--json").stdout
    records = [json.loads(line) for line in shown.splitlines()]
    bodies = {record["fields"]["operation"]["Post"]["body"] for record in records}
    assert {f"text {n}" for n in range(20)} <= bodies
    line = run("tail", "requests", "--from-beginning", "--count", "1", "--seconds", "30").stdout
    assert "-> t Post " in line


def test_a_line_that_is_no_request_ends_the_feed_with_its_number(run: Any) -> None:
    assert "line 1 of the input" in run("feed", "-", input="nonsense\n", exit_code=2).stderr


def test_tail_of_an_account_reads_its_shard_only(run: Any) -> None:
    assert run("tail", "account", "nobody", "--from-beginning", "--seconds", "0").stdout == ""


def test_a_request_that_nobody_answers_is_an_error_that_says_where_to_look(run: Any) -> None:
    failed = run("send", "t", "hello", "--from", "ann", "--timeout", "0.5", exit_code=2)
    assert "error NO_ANSWER" in failed.stderr
    assert "lockstep status" in failed.stderr


def test_drain_names_what_lags_when_the_time_is_up(run: Any) -> None:
    failed = run("drain", "--timeout", "0", exit_code=1)
    assert "error NOT_DRAINED" in failed.stderr
    assert "ingest.requests shard" in failed.stderr
    lags = json.loads(run("drain", "--timeout", "0", "--json", exit_code=1).stdout)["lags"]
    assert {lag["topic"] for lag in lags} == {"ingest.requests"}


def test_verify_ends_with_1_and_names_who_was_not_answered(run: Any) -> None:
    run("feed", "-", input=LINES)
    report = json.loads(run("verify", "--json", exit_code=1).stdout)
    assert report["ok"] is False
    assert report["requests_unanswered"] >= 20
    assert report["dead_letters"] == 1
    assert report["offenders"]["requests_unanswered"]
    assert "NOT OK" in run("verify", exit_code=1).stdout


def test_a_dead_letter_is_listed_shown_and_resent_to_where_it_belongs(run: Any) -> None:
    """Kept whole, and once the cause is mended it goes to its key's own partition."""
    (letter,) = json.loads(run("dead-letters", "list", "--json").stdout)
    assert letter["code"] == "WRONG_PARTITION"
    assert "WRONG_PARTITION" in run("dead-letters", "list").stdout
    assert json.loads(run("dead-letters", "list", "--code", "OTHER", "--json").stdout) == []
    shown = json.loads(run("dead-letters", "show", letter["place"], "--json").stdout)
    assert shown["decoded"]["SendRequest"]["operation"]["Post"]["body"] == "lost and found"
    assert "NO_SUCH_LETTER" in run("dead-letters", "show", "0@999", exit_code=1).stderr
    assert json.loads(run("dead-letters", "resend", letter["place"], "--json").stdout) == {"resent": 1}
    told = run("tail", "requests", "--from-beginning", "--seconds", "3", "--json").stdout
    found = [json.loads(line) for line in told.splitlines() if "lost and found" in line]
    assert {record["partition"] for record in found} >= {shard_of("lost", SHARDS)}
    assert "no topic" not in told
