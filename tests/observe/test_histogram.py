"""A histogram that takes a whole unit at once (streams/observe/histogram.py)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.observe.histogram import Histogram

BOUNDS = (1.0, 2.0, 4.0)


def test_a_value_belongs_to_the_bucket_whose_bound_it_does_not_exceed() -> None:
    """A bound is an upper one, and it is part of its bucket."""
    histogram = Histogram(BOUNDS)
    for value in (0.5, 1.0, 1.1, 4.0, 9.0):
        histogram.add(value)
    assert histogram.counts == [2, 1, 1, 1]
    assert histogram.total == pytest.approx(15.6)


def test_what_is_spread_lies_evenly_between_its_ends() -> None:
    """A unit of 40 between 0 and 4: as many in a bucket as its share of the way."""
    histogram = Histogram(BOUNDS)
    histogram.spread(0.0, 4.0, 40)
    assert histogram.counts == [10, 10, 20, 0]
    assert histogram.total == 80.0


def test_one_value_counts_by_its_upper_end() -> None:
    """What was one record is as old as its older end says."""
    histogram = Histogram(BOUNDS)
    histogram.spread(0.5, 3.0, 1)
    assert histogram.counts == [0, 0, 1, 0]


@given(st.floats(0, 10), st.floats(0, 10), st.integers(1, 10_000))
def test_nothing_is_lost_or_counted_twice_by_spreading(one: float, other: float, weight: int) -> None:
    """As many values as were given are there, none in a negative bucket and none beyond its ends."""
    histogram = Histogram(BOUNDS)
    low, high = min(one, other), max(one, other)
    histogram.spread(low, high, weight)
    assert histogram.count == weight
    assert min(histogram.counts) >= 0
    for count, end, start in zip(histogram.counts, (*BOUNDS, 99.0), (0.0, *BOUNDS), strict=True):
        assert not count or (end >= low and start <= high)


def test_prometheus_gets_the_sums_up_to_each_bound() -> None:
    """The last bucket is +Inf and holds everything."""
    histogram = Histogram(BOUNDS)
    histogram.spread(0.0, 4.0, 4)
    histogram.add(9.0)
    assert histogram.cumulated() == [("1.0", 1), ("2.0", 2), ("4.0", 4), ("+Inf", 5)]
