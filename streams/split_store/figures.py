"""The store's own figures among a worker's metrics: how far its two pointers are behind the head of its queue.

Tested in tests/split_store/test_figures.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streams.observe.exposition import Samples
    from streams.observe.worker import ShardRow

_HALVES = ("metadata", "bodies")


def add_pointers(
    samples: Samples, rows: Sequence[ShardRow], topic: str, end: Callable[[str, int], int | None]
) -> None:
    """Add lag and failures of both halves; `end`: the committed end of a topic's partition, None before a fetch."""
    for row in rows:
        number = row["shard"]
        one = row["inputs"].get(topic)
        if one is None:
            continue
        for half in _HALVES:
            samples.set(
                "lockstep_split_store_failures_in_a_row",
                row["problems"].get(half, {}).get("failures", 0),
                number,
                half,
            )
            lag = _lag(one, half, end(topic, number))
            if lag is not None:
                samples.set(f"lockstep_split_store_{half}_lag_offsets", lag, number)


def _lag(one: ShardRow, half: str, end: int | None) -> int | None:
    """Offsets from a pointer to the head; 0 when no record lies between, though a control record may."""
    if end is None or one[half] is None:
        return None
    return 0 if one.get("lag") == 0 else max(0, end - int(one[half]))
