"""Sets of numbers that mostly follow each other, kept as runs: a million dense numbers cost one pair.

Tested in tests/verify/test_runs.py, against plain sets.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator


class Runs:
    """A set of whole numbers; adding tells how many were there already."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    def add(self, first: int, last: int) -> int:
        """Add first..last (both included); return how many of them were in the set before."""
        lasts = self._lasts
        if not lasts or first > lasts[-1] + 1:
            self._firsts.append(first)
            lasts.append(last)
            return 0
        if first == lasts[-1] + 1:
            lasts[-1] = last
            return 0
        return self._merge(first, last)

    def _merge(self, first: int, last: int) -> int:
        firsts, lasts = self._firsts, self._lasts
        at = bisect_right(lasts, first - 2)  # the first run that touches or follows first - 1
        end, known = at, 0
        while end < len(firsts) and firsts[end] <= last + 1:
            known += max(0, min(last, lasts[end]) - max(first, firsts[end]) + 1)
            end += 1
        if end > at:
            first, last = min(first, firsts[at]), max(last, lasts[end - 1])
        firsts[at:end] = [first]
        lasts[at:end] = [last]
        return known

    def holes(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Give the parts of first..last that are not in the set."""
        at = bisect_right(self._lasts, first - 1)
        while first <= last:
            if at == len(self._firsts) or self._firsts[at] > last:
                yield first, last
                return
            if self._firsts[at] > first:
                yield first, self._firsts[at] - 1
            first = self._lasts[at] + 1
            at += 1

    def without(self, other: Runs) -> Iterator[tuple[int, int]]:
        """Give the runs of this set that are not in another."""
        for first, last in self:
            yield from other.holes(first, last)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._firsts, self._lasts, strict=True)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._lasts, number - 1)
        return at < len(self._firsts) and self._firsts[at] <= number

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self)

    @property
    def last(self) -> int:
        """The greatest number, 0 for an empty set."""
        return self._lasts[-1] if self._lasts else 0
