"""What the workers of a schedule share: the shard's partitions, coordinator, network, group, chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from tests.simulation.broker import Coordinator, Partition
from tests.simulation.laws import Violation

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit of work as the log keeps it: what it was built on, and under whose claim.

    `previous` is the last unit its owner knew from the updates, `progress` that from the state: two topics.
    """

    name: int
    previous: int
    progress: int
    claim_number: int
    owner: str


@dataclass(slots=True)
class Odds:
    """How likely each fault is; drawn anew for every schedule, some of them zero."""

    lost_answer: float = 0.0
    stall: float = 0.0
    crash: float = 0.0
    lost_store: float = 0.0
    stale_store: float = 0.0
    time_out: float = 0.0
    compaction: float = 0.0
    rebalance: float = 0.0
    rumour: float = 0.0
    other_shard: float = 0.0
    slow_marker: float = 0.0
    given_up: float = 0.0

    @classmethod
    def drawn(cls, random: Random) -> Odds:
        """Each fault is absent, rare or frequent."""

        def odds(frequent: float) -> float:
            return frequent * random.choice((0.0, 0.1, 0.4, 1.0))

        return cls(
            lost_answer=odds(0.08),
            stall=odds(0.03),
            crash=odds(0.03),
            lost_store=odds(0.5),
            stale_store=odds(0.5),
            time_out=odds(0.03),
            compaction=odds(0.05),
            rebalance=odds(0.05),
            rumour=odds(0.1),
            other_shard=odds(0.02),
            slow_marker=odds(0.9),
            given_up=odds(0.2),
        )


class AnswerLostError(Exception):
    """The request was sent and no answer came: it was executed, or never will be, or will be later."""


class World:
    """One shard on one broker, and the chance that decides what happens to whom."""

    def __init__(self, seed: int, *, is_traced: bool = False) -> None:
        self.random = Random(seed)
        self.odds = Odds.drawn(self.random)
        self.state: Partition[bytes] = Partition("state")
        self.updates: Partition[Unit] = Partition("updates")
        self.coordinator = Coordinator()
        self.late_requests: list[Callable[[], object]] = []
        self.units_named = 0
        self.ids_named = 0
        self.generation = 1
        self.assigned = 0
        self.is_calm = False
        self.violations: list[Violation] = []
        self.counts: Counter[str] = Counter()
        self.trace: list[str] | None = [] if is_traced else None

    def happens(self, odds: float) -> bool:
        """Decide by chance; nothing that can be helped happens in the calm at the end."""
        return odds > 0.0 and not self.is_calm and self.random.random() < odds

    def request(self, execute: Callable[[], Answer]) -> Answer:
        """Ask the broker; the answer, or the request, may be lost or late (`AnswerLostError`)."""
        if not self.happens(self.odds.lost_answer):
            return execute()
        fate = self.random.random()
        if fate < 0.4:
            execute()
        elif fate < 0.7:
            self.late_requests.append(execute)
        raise AnswerLostError

    def count(self, what: str) -> None:
        """Count what happened, so that a run can show what it reached."""
        self.counts[what] += 1

    def note(self, who: str, what: str) -> None:
        """One line of the trace."""
        if self.trace is not None:
            self.trace.append(
                f"{who:<5} {what:<64} state {self.state.committed_end}/{self.state.end} "
                f"updates {self.updates.committed_end}/{self.updates.end}"
            )
