"""How far the store's pointers are behind, as metrics (streams/split_store/figures.py)."""

from __future__ import annotations

from typing import Any

from streams.observe.exposition import Samples
from streams.split_store.figures import add_pointers

TOPIC = "thread.messages"


def figures(row: dict[str, Any], end: int | None = 100) -> dict[str, float]:
    samples = Samples()
    add_pointers(
        samples, [{"shard": 2, "problems": {}, "inputs": {}, **row}], TOPIC, lambda _topic, _number: end
    )
    return {
        f"{name.removeprefix('lockstep_split_store_')} {' '.join(labels)}": value
        for name, by_labels in samples.values.items()
        for labels, value in by_labels.items()
    }


def test_each_half_has_its_own_distance_to_the_head() -> None:
    """A body store that is behind shows alone."""
    row = {"inputs": {TOPIC: {"progress": 40, "metadata": 90, "bodies": 40, "lag": 60}}}
    found = figures(row)
    assert (found["metadata_lag_offsets 2"], found["bodies_lag_offsets 2"]) == (10, 60)


def test_a_control_record_at_the_end_is_no_lag() -> None:
    """When no record lies between pointer and head, both halves are at 0."""
    row = {"inputs": {TOPIC: {"progress": 99, "metadata": 99, "bodies": 99, "lag": 0}}}
    found = figures(row)
    assert (found["metadata_lag_offsets 2"], found["bodies_lag_offsets 2"]) == (0, 0)


def test_what_is_not_known_is_left_out() -> None:
    """A body pointer that the store has not told, and an end that nothing was fetched from."""
    row = {"inputs": {TOPIC: {"progress": 0, "metadata": 90, "bodies": None, "lag": None}}}
    assert "bodies_lag_offsets 2" not in figures(row)
    assert "metadata_lag_offsets 2" not in figures(row, None)
    assert figures({}) == {}


def test_a_half_that_fails_says_how_often_in_a_row() -> None:
    """0 as soon as it works again."""
    row = {
        "inputs": {TOPIC: {"progress": 0, "metadata": 90, "bodies": 0, "lag": 9}},
        "problems": {"bodies": {"failures": 3, "detail": "down"}},
    }
    found = figures(row)
    assert (found["failures_in_a_row 2 bodies"], found["failures_in_a_row 2 metadata"]) == (3, 0)
