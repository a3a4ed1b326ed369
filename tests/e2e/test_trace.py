"""Real and generated chat traces through the whole pipeline: what is counted is what the rows say.

What every row must be answered is computed here from the file alone (data/README.md), not by the code that feeds.
"""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.instance import RunningInstance

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SMALL_TRACE = Path(__file__).parents[1] / "data" / "small_trace.csv"
SLICE_ROWS = 1_500
ENDPOINTS = 2
COUNTED = (
    "requests",
    "accepted",
    "duplicates",
    "token_reused",
    "rejected",
    "refused",
    "admitted",
    "dead_letters",
)


def expected_answers(path: Path, limit: int) -> tuple[Counter[str], int]:
    """Answers by status to the first rows of a trace fed once, and how many threads they stand in."""
    statuses: Counter[str] = Counter()
    first: dict[tuple[str, str], tuple[str, str]] = {}
    threads = set()
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        for row, _ in zip(csv.DictReader(lines), range(limit), strict=False):
            threads.add(row["thread"])
            payload = (row["thread"], row["body_bytes"])
            earlier = first.setdefault((row["sender"], row["message"]), payload)
            if earlier is payload:
                statuses["accepted"] += 1
            else:
                statuses["duplicates" if earlier == payload else "token_reused"] += 1
    return statuses, len(threads)


async def fed(
    instance: RunningInstance, path: Path, prefix: str, *options: str
) -> tuple[dict[str, Any], Counter[str]]:
    """Feed a trace; return what `feed` said, and by how much each of the verifier's counters rose."""
    before = (await instance.verified()).counters
    said = instance.json(
        "feed", str(path), "--duplicates", "0.05", "--endpoints", str(ENDPOINTS), "--prefix", prefix, *options
    )
    after = (await instance.verified()).counters
    return said, Counter({name: (after[name] or 0) - (before[name] or 0) for name in COUNTED})


async def judged(instance: RunningInstance, path: Path, prefix: str, limit: int, *options: str) -> None:
    expected, threads = expected_answers(path, limit)
    said, rose = await fed(instance, path, prefix, *options)
    repeats = said["repeats"]
    assert repeats > 0, "--duplicates adds some"
    rows = sum(expected.values())
    assert said["messages"] == rows
    assert said["setup_requests"] == threads
    assert rose == Counter(
        {
            "requests": threads + rows + repeats,
            "accepted": threads + expected["accepted"],
            "duplicates": expected["duplicates"] + repeats,
            "token_reused": expected["token_reused"],
            "admitted": threads + expected["accepted"],
            "rejected": 0,
            "refused": 0,
            "dead_letters": 0,
        }
    )


async def test_the_small_trace_is_answered_as_its_rows_say(instance: RunningInstance) -> None:
    """D1, D17: repeats are DUPLICATE, a token with another payload is TOKEN_REUSED, another sender's is accepted."""
    await judged(instance, SMALL_TRACE, "small-", 10**9)


async def test_a_slice_of_the_real_trace_is_answered_as_its_rows_say(
    instance: RunningInstance, trace_path: Path
) -> None:
    """D1, D17, on real threads, members and sizes."""
    await judged(instance, trace_path, "real-", SLICE_ROWS, "--limit", str(SLICE_ROWS))


def test_the_small_trace_has_repeats_of_every_kind() -> None:
    """A trace without them would prove nothing above."""
    expected, threads = expected_answers(SMALL_TRACE, 10**9)
    assert min(expected["duplicates"], expected["token_reused"], threads) > 0
