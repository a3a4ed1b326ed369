"""Whether an output is right: exactly the distinct messages, each as often as it should, every recipient 1..n.

Shares no rule with any contender: it knows what was fed and what a read_committed reader saw, in the order of each
partition's log. Pure. Tested in tests/bench/test_check.py, with every fault planted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Sighting(NamedTuple):
    """One record of an output."""

    recipient: str
    seq: int
    message: bytes


@dataclass(slots=True)
class Verdict:
    """What was wrong with an output; nothing when `problems` is empty."""

    seen: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    @property
    def is_right(self) -> bool:
        """Whether the output is exactly what had to come."""
        return not self.problems

    @property
    def only_lacks(self) -> bool:
        """Whether nothing is wrong but that messages have not come: a contender may not be done yet."""
        return set(self.problems) == {"lost"}

    def note(self, problem: str, example: str, count: int = 1) -> None:
        """Count a problem and keep its first example."""
        self.problems[problem] += count
        self.examples.setdefault(problem, example)

    def __str__(self) -> str:
        if self.is_right:
            return f"right: {self.seen} records"
        parts = (
            f"{count} {problem} (e.g. {self.examples[problem]})" for problem, count in self.problems.items()
        )
        return f"wrong: of {self.seen} records, " + ", ".join(parts)


def expected(messages: Iterable[bytes], copies: int) -> dict[bytes, int]:
    """Return message id -> how many records of the output must bear it."""
    return dict.fromkeys(messages, copies)


def check(
    due: Mapping[bytes, int], sightings: Iterable[Sighting], begun: Mapping[str, int] | None = None
) -> Verdict:
    """Compare what was seen with what was due; a recipient's numbers must rise by one, in log order.

    begun: recipient -> greatest number given before the output began.
    """
    verdict = Verdict()
    heads = dict(begun or {})
    times: dict[bytes, int] = {}
    for recipient, seq, message in sightings:
        verdict.seen += 1
        before = heads.get(recipient, 0)
        if seq == before + 1:
            heads[recipient] = seq
        elif seq <= before:
            verdict.note("repeated numbers", f"{recipient} {seq} after {before}")
        else:
            verdict.note("gaps", f"{recipient} {seq} after {before}")
            heads[recipient] = seq
        times[message] = times.get(message, 0) + 1
    _count(due, times, verdict)
    return verdict


def _count(due: Mapping[bytes, int], times: Mapping[bytes, int], verdict: Verdict) -> None:
    for message, count in times.items():
        wanted = due.get(message)
        if wanted is None:
            verdict.note("unknown", message.hex())
        elif count > wanted:
            verdict.note("doubled", f"{message.hex()} {count} times", count - wanted)
        elif count < wanted:
            verdict.note("lost", f"{message.hex()} {count} of {wanted} times", wanted - count)
    for message, wanted in due.items():
        if message not in times:
            verdict.note("lost", message.hex(), wanted)
