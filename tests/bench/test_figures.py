"""Statistics of runs, and the ratios that are null with a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import best, latencies, percentile, ratio, shown, spread

FIGURE = "messages_per_cpu_second"


def run(value: float | None, reason: str | None = None) -> dict[str, object]:
    return {FIGURE: value, "reason": reason}


def test_a_spread_is_least_median_and_most() -> None:
    """An even number of runs has the mean of the two in the middle."""
    assert spread([3.0, 1.0, 2.0]) == (1.0, 2.0, 3.0)
    assert spread([4.0, 1.0]).median == 2.5
    with pytest.raises(ValueError, match="no values"):
        spread([])


def test_percentiles_are_nearest_ranks() -> None:
    """Of 100 values the 99th is p99; of one value everything is that value."""
    ordered = [float(number) for number in range(1, 101)]
    assert percentile(ordered, 0.5) == 50
    assert percentile(ordered, 0.99) == 99
    assert percentile(ordered, 1.0) == 100
    assert percentile([7.0], 0.5) == 7


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_a_percentile_is_one_of_the_values_with_enough_at_or_below_it(
    values: list[float], share: float
) -> None:
    """Whatever the values: nearest rank never makes one up."""
    ordered = sorted(values)
    found = percentile(ordered, share)
    assert found in ordered
    assert sum(value <= found for value in ordered) >= share * len(ordered) - 1e-3


def test_latencies_are_milliseconds() -> None:
    """In any order, given in seconds."""
    assert latencies([0.003, 0.001, 0.002]) == {"p50_ms": 2.0, "p99_ms": 3.0, "max_ms": 3.0}


def test_a_ratio_is_of_the_medians() -> None:
    """Ours 20 against theirs 10 is 2, whatever the outer runs."""
    assert ratio([run(20), run(1), run(99)], [run(10), run(10), run(500)], FIGURE).value == 2.0


@pytest.mark.parametrize(
    ("ours", "theirs", "reason"),
    [
        ([], [run(1)], "ours: left out"),
        ([run(1)], [], "theirs: left out"),
        ([run(1), run(None, "3 lost")], [run(1)], "ours, run 2: 3 lost"),
        ([run(1)], [run(None, "7 doubled")], "theirs, run 1: 7 doubled"),
        ([run(None)], [run(1)], "ours, run 1: no figure"),
        ([run(1)], [run(0)], "theirs: nothing was measured"),
    ],
)
def test_a_ratio_that_may_not_be_said_is_null_with_its_reason(
    ours: list[dict[str, object]], theirs: list[dict[str, object]], reason: str
) -> None:
    """One wrong run of either side is enough: a fast wrong answer is no answer."""
    assert ratio(ours, theirs, FIGURE) == (None, reason)


def test_a_peer_is_compared_at_its_best_variant() -> None:
    """The ratio is to the variant with the most messages per CPU-second; a wrong variant does not count."""
    variants = {"slow": [run(5)], "fast": [run(10)], "wrong": [run(None, "lost")]}
    assert best([run(20)], variants, FIGURE).value == 2.0
    assert best([run(20)], {"wrong": [run(None, "lost")]}, FIGURE) == (None, "wrong: theirs, run 1: lost")
    assert best([run(20)], {}, FIGURE) == (None, "theirs: left out")


def test_figures_are_shown_with_the_digits_that_matter() -> None:
    """Large ones without decimals, small ones with."""
    assert [shown(one) for one in (12_345.6, 123.4, 12.34, 1.234)] == ["12,346", "123", "12.3", "1.23"]
