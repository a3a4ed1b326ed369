"""A histogram that takes many observations at once, so that a unit of work costs it one call and no record any.

Not Prometheus' own class: that one takes a single value a call. What is added here for a whole unit is exact in its
number and in its two ends, and taken to lie evenly between them. Tested in tests/observe/test_histogram.py.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Any


class Histogram:
    """Observations counted by upper bounds; the last bucket is everything above the last bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0
        """Sum of all observed values."""

    @property
    def count(self) -> int:
        """How many values were observed."""
        return sum(self.counts)

    def add(self, value: float, weight: int = 1) -> None:
        """Observe a value `weight` times; a value equal to a bound belongs below it."""
        self.counts[bisect_left(self.bounds, value)] += weight
        self.total += value * weight

    def spread(self, low: float, high: float, weight: int) -> None:
        """Observe `weight` values that lie evenly between two ends."""
        if high <= low or weight == 1:
            self.add(high, weight)
            return
        below = 0
        for at in range(bisect_left(self.bounds, low), len(self.counts)):
            end = self.bounds[at] if at < len(self.bounds) else high
            reached = weight if end >= high else round(weight * (end - low) / (high - low))
            self.counts[at] += reached - below
            below = reached
            if end >= high:
                break
        self.total += weight * (low + high) / 2

    def cumulated(self) -> list[tuple[str, int]]:
        """Return (upper bound, values up to it) of every bucket, as Prometheus writes them; the last is +Inf."""
        names = [*(repr(float(bound)) for bound in self.bounds), "+Inf"]
        return list(zip(names, accumulate(self.counts), strict=True))

    def shown(self) -> dict[str, Any]:
        """Return it as JSON takes it: bounds, counts of each bucket (one more than bounds), sum."""
        return {"bounds": list(self.bounds), "counts": list(self.counts), "sum": self.total}
