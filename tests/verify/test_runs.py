"""Runs behave as the plain set of their numbers does."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from streams.verify.runs import Runs

RANGES = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 6)).map(lambda pair: (pair[0], pair[0] + pair[1]))
)


def _numbers(ranges: list[tuple[int, int]]) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


@given(RANGES, RANGES, st.integers(0, 40), st.integers(0, 20))
def test_runs_are_a_set(
    ranges: list[tuple[int, int]], others: list[tuple[int, int]], first: int, size: int
) -> None:
    plain: set[int] = set()
    runs, other = Runs(), Runs()
    for low, high in ranges:
        new = set(range(low, high + 1))
        assert runs.add(low, high) == len(plain & new)
        plain |= new
    for low, high in others:
        other.add(low, high)
    pairs = list(runs)
    assert _numbers(pairs) == plain
    assert len(runs) == len(plain)
    assert runs.last == max(plain, default=0)
    assert all(before[1] + 1 < after[0] for before, after in pairwise(pairs))
    assert _numbers(list(runs.holes(first, first + size))) == set(range(first, first + size + 1)) - plain
    assert _numbers(list(runs.without(other))) == plain - _numbers(others)
    assert all((number in runs) == (number in plain) for number in range(50))


def test_dense_numbers_cost_one_run() -> None:
    runs = Runs()
    for number in range(1, 10_000):
        assert runs.add(number, number) == 0
    assert list(runs) == [(1, 9_999)]
