"""Many schedules in a row, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.simulation.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.simulation.laws import Law
    from tests.simulation.planted import Bug
    from tests.simulation.schedule import Outcome


@dataclass(slots=True)
class Summary:
    """What came of the schedules run so far."""

    schedules: int = 0
    units: int = 0
    owners: int = 0
    violated: int = 0
    first_violation: Outcome | None = None
    counts: Counter[str] = field(default_factory=Counter)
    broken: Counter[Law] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Take in one schedule."""
        self.schedules += 1
        self.units += outcome.units
        self.owners += outcome.owners
        self.counts.update(outcome.counts)
        self.broken.update({violation.law for violation in outcome.violations})
        if outcome.violations:
            self.violated += 1
            self.first_violation = self.first_violation or outcome


def run(
    seeds: Iterable[int],
    bug: Bug,
    *,
    stops_at: Callable[[Summary], bool] = lambda _: False,
    after_each: Callable[[Summary], None] = lambda _: None,
) -> Summary:
    """Run one schedule a seed; the order of the seeds does not matter to any of them."""
    summary = Summary()
    for seed in seeds:
        summary.add(Schedule(seed, bug).run())
        after_each(summary)
        if stops_at(summary):
            break
    return summary
