"""Statistics of runs: min/median/max, percentiles, ratios that are null with a reason when they may not be said.

Pure. Tested in tests/bench/test_figures.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple


class Spread(NamedTuple):
    """Of one figure over several runs."""

    least: float
    median: float
    most: float

    def __str__(self) -> str:
        return f"{shown(self.least)} / {shown(self.median)} / {shown(self.most)}"


def spread(values: Sequence[float]) -> Spread:
    """Return min, median and max; raises ValueError without values."""
    if not values:
        raise ValueError("no values")
    return Spread(min(values), median(values), max(values))


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below or at which `share` (0 to 1) of the ordered values lie: the nearest rank."""
    if not ordered:
        raise ValueError("no values")
    rank = max(1, -(-len(ordered) * round(share * 1_000_000) // 1_000_000))
    return ordered[min(rank, len(ordered)) - 1]


def latencies(seconds: Sequence[float]) -> dict[str, float]:
    """Return p50, p99 and max in milliseconds."""
    ordered = sorted(seconds)
    return {
        "p50_ms": percentile(ordered, 0.5) * 1_000,
        "p99_ms": percentile(ordered, 0.99) * 1_000,
        "max_ms": ordered[-1] * 1_000,
    }


class Ratio(NamedTuple):
    """Ours / theirs, or why there is none."""

    value: float | None
    reason: str | None = None


def ratio(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]], figure: str) -> Ratio:
    """Return the ratio of the medians of a figure, null when any run of either is missing or was wrong."""
    for side, runs in (("ours", ours), ("theirs", theirs)):
        if not runs:
            return Ratio(None, f"{side}: left out")
        for number, run in enumerate(runs, start=1):
            if run.get("reason") is not None:
                return Ratio(None, f"{side}, run {number}: {run['reason']}")
            if run.get(figure) is None:
                return Ratio(None, f"{side}, run {number}: no figure")
    below = spread([run[figure] for run in theirs]).median
    if below <= 0:
        return Ratio(None, "theirs: nothing was measured")
    return Ratio(spread([run[figure] for run in ours]).median / below)


class Difference(NamedTuple):
    """The medians of a figure without something and with it, or why they may not be compared."""

    without: float | None
    median_with: float | None
    percent: float | None
    """How much more it is with it, in percent of what it is without."""
    reason: str | None


def difference(
    without: Sequence[Mapping[str, Any]], having: Sequence[Mapping[str, Any]], figure: str
) -> Difference:
    """Return by how much a figure's median differs; null on the same terms as a ratio."""
    found = ratio(having, without, figure)
    if found.value is None:
        why = found.reason and found.reason.replace("ours", "with").replace("theirs", "without")
        return Difference(None, None, None, why)
    base, median_with = (spread([run[figure] for run in runs]).median for runs in (without, having))
    return Difference(base, median_with, (found.value - 1) * 100, None)


def best(
    ours: Sequence[Mapping[str, Any]], variants: Mapping[str, Sequence[Mapping[str, Any]]], figure: str
) -> Ratio:
    """Return the ratio to a peer's best variant: the one that makes the ratio smallest."""
    if not ours:
        return Ratio(None, "ours: left out")
    ratios = {name: ratio(ours, runs, figure) for name, runs in variants.items()}
    said = [(one.value, name) for name, one in ratios.items() if one.value is not None]
    if said:
        return Ratio(min(said)[0])
    if not ratios:
        return Ratio(None, "theirs: left out")
    return Ratio(None, "; ".join(f"{name}: {one.reason}" for name, one in ratios.items()))


def shown(value: float | None) -> str:
    """Return a figure with three or so digits that matter."""
    if value is None:
        return "–"  # noqa: RUF001  # a dash in a table cell
    if abs(value) >= 1_000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
