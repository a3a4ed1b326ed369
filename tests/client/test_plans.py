"""Feeds: what a trace, a generator and repeats promise, without Kafka."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from streams.client.feeding import feed
from streams.client.generator import GeneratedPlan, small_trace
from streams.client.plans import Plan, thread_creation, with_repeats
from streams.client.requests import Request
from streams.client.trace import Repeats, TracePlan, read_trace
from streams.errors import ConfigurationError
from streams.ids import Token
from tests.data import make_small_trace

START = 1_700_000_000_000


def plan_of(path: Path, limit: int | None = None, **options: Any) -> TracePlan:
    return TracePlan(read_trace(path, limit), start_at_ms=START, **options)


@pytest.fixture
def small() -> TracePlan:
    return plan_of(make_small_trace.PATH, endpoints=2, routes=("mobile", "web"))


def generated() -> GeneratedPlan:
    return GeneratedPlan(600, start_at_ms=START, seed=3, routes=("mobile", "web"))


def test_the_checked_in_trace_is_what_its_maker_writes() -> None:
    assert make_small_trace.PATH.read_text("utf-8") == make_small_trace.text()


def test_the_small_trace_has_repeated_numbers_of_all_three_sorts_and_an_empty_body(small: TracePlan) -> None:
    assert all(small.repeats())
    assert any(request.operation[1]["body"] == b"" for request in small.messages())


def test_the_real_trace_has_the_repeats_that_its_description_counts(trace_path: Path) -> None:
    plan = plan_of(trace_path, 50_000)
    assert plan.repeats() == Repeats(duplicate=45, token_reused=307, other_client=12)
    assert max(map(len, plan.members.values())) <= 138


def test_a_token_tells_its_message_by_nonce_and_distance_from_the_last(small: TracePlan) -> None:
    rows = read_trace(make_small_trace.PATH)
    last = max(row.message for row in rows)
    for row, request in zip(rows, small.messages(), strict=True):
        assert request.token == Token(START - (last - row.message), row.message)
        assert len(request.operation[1]["body"]) == row.body_bytes


def test_the_repeats_that_are_counted_are_those_that_the_requests_make(small: TracePlan) -> None:
    first: dict[bytes, tuple[Any, ...]] = {}
    found: Counter[str] = Counter()
    nonces: set[int] = set()
    for request in small.messages():
        payload = (request.thread_id, request.operation)
        if request.message_id in first:
            found["duplicate" if first[request.message_id] == payload else "token_reused"] += 1
        elif request.token.nonce in nonces:
            found["other_client"] += 1
        first.setdefault(request.message_id, payload)
        nonces.add(request.token.nonce)
    assert found == small.repeats()._asdict()


@pytest.mark.parametrize("plan", [plan_of(make_small_trace.PATH), generated()], ids=["trace", "generated"])
def test_set_up_makes_every_thread_with_all_who_post_in_it(plan: Plan) -> None:
    members = {
        request.thread_id: {request.account_id, *(request.recipients or ())} for request in plan.setup()
    }
    owners = {endpoint.account_id for endpoint in plan.endpoints()}
    for request in plan.messages():
        assert request.account_id in members[request.thread_id]
        assert request.account_id in owners


@pytest.mark.parametrize("plan", [plan_of(make_small_trace.PATH), generated()], ids=["trace", "generated"])
def test_set_up_tokens_are_older_than_any_message_and_taken_once(plan: Plan) -> None:
    setup = [request.token for request in plan.setup()]
    messages = [request.token for request in plan.messages()]
    assert max(setup) < min(messages)
    assert len(set(setup)) == len(setup)
    assert max(messages).timestamp_ms <= START


@pytest.mark.parametrize(
    "make", [lambda: plan_of(make_small_trace.PATH, seed=1), generated], ids=["trace", "generated"]
)
def test_the_same_seed_gives_the_same_feed(make: Any) -> None:
    assert list(make().messages()) == list(make().messages())
    assert list(make().endpoints()) == list(make().endpoints())


def test_another_seed_gives_other_bodies() -> None:
    one, other = (plan_of(make_small_trace.PATH, seed=seed) for seed in (1, 2))
    assert list(one.messages()) != list(other.messages())
    assert one.repeats() == other.repeats()


def test_generated_traffic_has_groups_forms_and_second_endpoints_that_stay_offline() -> None:
    plan = generated()
    sizes = {len(request.recipients or ()) for request in plan.setup()}
    assert len(sizes) > 2
    assert min(sizes) >= 2
    endpoints = list(plan.endpoints())
    offline = [one for one in endpoints if not one.is_attached]
    assert offline
    assert all(one.endpoint_id == "device-2" for one in offline)
    assert {one.route for one in endpoints} == {"mobile", "web"}
    assert {request.operation[0] for request in plan.messages()} == {"lockstep.Post", "lockstep.PostForm"}
    assert sum(1 for _ in plan.messages()) == plan.messages_total == 600


def test_a_thread_of_more_members_than_a_request_takes_is_made_by_several() -> None:
    members = [f"m{number}" for number in range(2_300)]
    first, *rest = thread_creation("t", members, "phone", 5, 7)
    added = [one for request in rest for one in request.operation[1]["add"]]
    assert [*(first.recipients or ()), *added] == members
    assert len({request.token for request in (first, *rest)}) == 3


def test_repeats_are_exact_and_only_of_requests_that_were_first_with_their_token(small: TracePlan) -> None:
    first: dict[bytes, Request] = {}
    repeats = 0
    for request, is_repeat in with_repeats(small.messages(), 0.3, seed=5):
        if is_repeat:
            repeats += 1
            assert request == first[request.message_id]
        first.setdefault(request.message_id, request)
    assert 80 < repeats < 160
    once = [request for request, is_repeat in with_repeats(small.messages(), 0.3, seed=5) if not is_repeat]
    assert once == list(small.messages())


class Paper:
    """A sink that keeps what it gets, and when it was told to settle."""

    def __init__(self) -> None:
        self.written: list[Any] = []

    async def put_request(self, request: Request) -> None:
        self.written.append(request)

    async def put_command(self, fields: dict[str, Any]) -> None:
        self.written.append(fields)

    async def mark(self) -> None:
        self.written.append("settled")

    async def flush(self) -> None:
        self.written.append("flushed")


async def test_a_feed_writes_set_up_waits_and_then_writes_messages(small: TracePlan) -> None:
    paper = Paper()
    report = await feed(small, paper, flush=paper.flush, settle=paper.mark, run="r", repeats=0.1, seed=1)
    at = paper.written.index("settled")
    before, after = paper.written[:at], paper.written[at + 1 :]
    assert before[-1] == "flushed"
    assert after[-1] == "flushed"
    setup = [one for one in before if isinstance(one, Request)]
    assert setup == list(small.setup())
    commands = [one for one in before if isinstance(one, dict)]
    assert len({one["command_id"] for one in commands}) == len(commands) == report.commands
    assert Counter(one["command"][0] for one in commands) == {
        "lockstep.Register": report.endpoints,
        "lockstep.Attach": report.attached,
    }
    assert report.requests == len(setup) + len(after) - 1
    assert report.messages == small.messages_total
    assert report.requests == report.setup_requests + report.messages + report.repeats


def _written(path: Path, lines: Iterable[str]) -> Path:
    path.write_text("\n".join(lines), "utf-8")
    return path


@pytest.mark.parametrize(
    "lines",
    [["a,b", "1,2"], [], [make_small_trace.text().split("\n", 1)[0], "1,2,x"]],
    ids=["columns", "empty", "text"],
)
def test_a_file_that_is_no_trace_is_refused(tmp_path: Path, lines: list[str]) -> None:
    with pytest.raises(ConfigurationError):
        read_trace(_written(tmp_path / "trace.csv", lines))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_trace(tmp_path / "none.csv.gz")


def test_a_limit_takes_the_first_rows() -> None:
    assert (
        read_trace(make_small_trace.PATH, 10)
        == small_trace(make_small_trace.ROWS, make_small_trace.SEED)[:10]
    )
