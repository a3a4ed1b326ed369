"""The checker of outputs finds every fault that is planted, and nothing in a right output."""

from __future__ import annotations

import random

import pytest

from bench.check import Sighting, check, expected


def world(copies: int = 1) -> tuple[list[bytes], list[Sighting]]:
    """Messages, and the sightings of a right output: each message `copies` times, every recipient 1..n."""
    chance = random.Random(7)
    messages = [chance.randbytes(16) for _ in range(200)]
    heads: dict[str, int] = {}
    sightings = []
    for message in messages:
        for copy in range(copies):
            recipient = f"account-{(message[0] + copy) % 10}"
            heads[recipient] = heads.get(recipient, 0) + 1
            sightings.append(Sighting(recipient, heads[recipient], message))
    return messages, sightings


@pytest.mark.parametrize("copies", [1, 2])
def test_a_right_output_has_no_problem(copies: int) -> None:
    """Each message as often as it should, numbers dense: nothing is found, and repeats in the input do not matter."""
    messages, sightings = world(copies)
    verdict = check(expected([*messages, *messages[:20]], copies), sightings)
    assert verdict.is_right
    assert verdict.seen == len(messages) * copies


def test_a_message_that_never_came_is_lost() -> None:
    """A message without any record is found, although every recipient is dense."""
    messages, sightings = world()
    verdict = check(expected([*messages, b"never-came------"], 1), sightings)
    assert verdict.problems == {"lost": 1}
    assert verdict.only_lacks


def test_a_record_that_is_left_out_is_lost_and_leaves_a_gap() -> None:
    """Taking one record out of the middle is found twice over."""
    messages, sightings = world()
    del sightings[50]
    assert check(expected(messages, 1), sightings).problems == {"lost": 1, "gaps": 1}


def test_a_lost_record_at_an_inboxs_end_is_found_by_its_message() -> None:
    """No gap shows there."""
    messages, sightings = world()
    assert check(expected(messages, 1), sightings[:-1]).problems == {"lost": 1}


def test_a_duplicate_with_a_number_of_its_own_is_found() -> None:
    """Dedup that lets a repeat through keeps the numbers dense; the message is there twice."""
    messages, sightings = world()
    last = sightings[-1]
    verdict = check(expected(messages, 1), [*sightings, Sighting(last.recipient, last.seq + 1, last.message)])
    assert verdict.problems == {"doubled": 1}
    assert not verdict.only_lacks


def test_a_record_written_twice_is_found_twice_over() -> None:
    """The same number and the same message again."""
    messages, sightings = world()
    assert check(expected(messages, 1), [*sightings, sightings[-1]]).problems == {
        "repeated numbers": 1,
        "doubled": 1,
    }


def test_a_message_that_nobody_sent_is_unknown() -> None:
    """What was never fed has no place in an output."""
    messages, sightings = world()
    strange = Sighting("account-new", 1, b"nobody-sent-this")
    assert check(expected(messages, 1), [*sightings, strange]).problems == {"unknown": 1}


def test_an_exchange_of_two_numbers_is_found() -> None:
    """All numbers are there, but not in the order of the log."""
    messages, sightings = world()
    mine = [at for at, one in enumerate(sightings) if one.recipient == sightings[0].recipient][:2]
    first, second = (sightings[at] for at in mine)
    sightings[mine[0]], sightings[mine[1]] = first._replace(seq=2), second._replace(seq=1)
    verdict = check(expected(messages, 1), sightings)
    assert verdict.problems["gaps"] == 1
    assert verdict.problems["repeated numbers"] >= 1


def test_one_copy_of_two_that_is_missing_is_found() -> None:
    """Both members of a thread have to get a message."""
    messages, sightings = world(copies=2)
    assert check(expected(messages, 2), sightings[:-1]).problems == {"lost": 1}


def test_a_verdict_says_what_and_shows_an_example() -> None:
    """A report's reader sees counts and one case of each."""
    messages, sightings = world()
    said = str(check(expected(messages, 1), sightings[:-1]))
    assert "1 lost" in said
    assert messages[-1].hex() in said


def test_numbers_go_on_where_they_stood_before() -> None:
    """With inboxes that have updates already, the first number is the next one."""
    due = expected([b"m"], 1)
    assert check(due, [Sighting("a", 8, b"m")], {"a": 7}).is_right
    assert check(due, [Sighting("a", 1, b"m")], {"a": 7}).problems == {"repeated numbers": 1}
