"""Bad input on the real topics: told to its sender, kept whole as a dead letter, and harmless to its neighbours.

Every case is written by a plain producer between two good requests on the same partition. All are written at once;
then each test looks at one. What threads and endpoints are refused stands in test_refused.py, what breaks topics
themselves in test_broken_topics.py.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from streams.ids import shard_of
from streams.limits import RECORD_BYTES_MAX
from streams.verify.report import Report
from tests.e2e.bad_input import CASES, HEADERS, NOW_MS, REQUESTS, Case, encoded, post, request
from tests.fixtures.instance import SHARDS, RunningInstance
from tests.fixtures.tap import Fields, Tap

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@dataclass
class Outcome:
    """Everything that became of everything."""

    offsets: dict[str, int] = field(default_factory=dict)
    neighbours: dict[str, list[str]] = field(default_factory=dict)
    """Case -> accounts of the good requests around it."""
    answers: list[Fields] = field(default_factory=list)
    dead: list[Fields] = field(default_factory=list)
    command_answers: list[Fields] = field(default_factory=list)
    operations: list[Fields] = field(default_factory=list)
    report: Report = field(default_factory=Report)

    def answers_to(self, account: str) -> list[Fields]:
        return [one for one in self.answers if one["account_id"] == account]

    def dead_letters_of(self, case: Case) -> list[Fields]:
        place = (case.topic, case.partition, self.offsets[case.name])
        return [one for one in self.dead if (one["topic"], one["partition"], one["offset"]) == place]


@pytest.fixture(scope="module")
def outcome(instance: RunningInstance) -> Outcome:
    """Write every case, wait until all is done, and collect."""
    return asyncio.run(_collected(instance))


async def _collected(instance: RunningInstance) -> Outcome:
    found = Outcome()
    async with Tap(instance) as tap:
        for number, case in enumerate(CASES):
            good = [
                instance.on_shard(case.partition, f"good-{number}-{side}") for side in ("before", "after")
            ]
            found.neighbours[case.name] = good
            await tap.request(request(good[0]))
            key, value, partition = case.key, case.value, case.partition
            found.offsets[case.name] = await tap.put(case.topic, key, value, partition, HEADERS)
            await tap.request(request(good[1]))
        await instance.drained()
        found.answers = await tap.decoded("ingest.results")
        found.dead = await tap.decoded("dead.letters")
        found.command_answers = await tap.decoded("replay.updates")
        found.operations = await tap.decoded("thread.operations")
        found.report = await instance.verified()
    return found


named = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@named
def test_its_sender_is_answered_where_there_is_one(outcome: Outcome, case: Case) -> None:
    """D18, D19: REJECTED with a stable code and the token as far as it can be read; nobody is told else."""
    answers = outcome.answers_to(case.account)
    assert [(one["status"], one["code"]) for one in answers] == case.answers
    assert all((one["token"] is not None) is case.has_token for one in answers)
    assert all(one["message_id"] is None for one in answers)
    assert case.account not in {one["account_id"] for one in outcome.operations}
    assert case.account not in {one["account_id"] for one in outcome.command_answers}


@named
def test_it_is_kept_whole_as_one_dead_letter(outcome: Outcome, case: Case) -> None:
    """D18: topic, partition, offset, key, value and headers as they were, with the code and words for people."""
    letters = outcome.dead_letters_of(case)
    if case.dead is None:
        assert letters == []
        return
    (letter,) = letters
    assert letter["code"] == case.dead
    assert (letter["key"], letter["value"]) == (case.key, case.value)
    assert [(one["key"], one["value"]) for one in letter["headers"]] == list(HEADERS)
    assert letter["detail"]
    assert letter["at_ms"] >= NOW_MS
    assert letter["at"][0] == case.partition


@named
def test_good_requests_before_and_after_it_on_its_partition_are_taken(outcome: Outcome, case: Case) -> None:
    """D18: the partition goes on; nothing else is lost."""
    for account in outcome.neighbours[case.name]:
        assert shard_of(account, SHARDS) == case.partition
        assert [one["status"] for one in outcome.answers_to(account)] == ["ACCEPTED"]


def test_the_verifier_finds_nothing_wrong_beside_all_that(outcome: Outcome) -> None:
    """Dead letters are counted, and excuse nothing but themselves."""
    assert outcome.report.ok
    dead = sum(case.dead is not None for case in CASES)
    assert (outcome.report.counters["dead_letters"] or 0) >= dead
    assert len(outcome.dead) == dead


async def test_a_record_larger_than_the_topic_takes_is_refused_by_the_broker(
    tap: Tap, instance: RunningInstance
) -> None:
    """The producer hears it at once; the topic holds nothing of it, and what follows is taken."""
    account = instance.on_shard(2, "oversize")
    value = encoded(account, operation=post(bytes(RECORD_BYTES_MAX)))
    with pytest.raises(MessageSizeTooLargeError):
        await tap.put(REQUESTS, account.encode(), value, 2)
    await tap.request(request(account))
    (answer,) = await tap.until(
        "ingest.results", lambda found: any(one["account_id"] == account for one in found), "the answer"
    )
    assert answer["status"] == "ACCEPTED"
