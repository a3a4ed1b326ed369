"""A batch that Faust dropped in a rebalance is asked for, even when its partition stays quiet afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace

from aiokafka import TopicPartition

from streams.engine import transport

PLACE = ("inbox.appends", 2)
ASK: Callable[..., None] = transport.Consumer._ask_for_lost
"""Without the rest of Faust's consumer, which it does not touch."""


class Asked:
    """Notes where the transport says that it stands."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, int, Sequence[object]]] = []

    def take(self, topic: str, partition: int, start: int, records: Sequence[object]) -> None:
        self.told.append((topic, partition, start, records))


def consumer(handed_over_s_ago: float | None) -> tuple[SimpleNamespace, Asked]:
    """What `_ask_for_lost` needs of a Consumer that has fetched up to 3402."""
    asked = Asked()
    at = {} if handed_over_s_ago is None else {PLACE: time.monotonic() - handed_over_s_ago}
    return SimpleNamespace(_positions={PLACE: 3402}, _handed_over_at=at, feeding=asked), asked


def test_a_quiet_partition_says_where_it_stands_once_a_while() -> None:
    """An empty batch at the position: whoever is behind it seeks back."""
    one, asked = consumer(transport._LOST_AFTER_S + 1)
    for _ in range(3):
        ASK(one, [TopicPartition(*PLACE)])
    assert asked.told == [(*PLACE, 3402, ())]


def test_what_was_just_handed_over_is_not_asked_for() -> None:
    """It may still be on its way through Faust; and where nothing was handed over, nothing is lost."""
    for handed_over_s_ago in (0.0, None):
        one, asked = consumer(handed_over_s_ago)
        ASK(one, [TopicPartition(*PLACE)])
        assert asked.told == []
