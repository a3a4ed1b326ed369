"""The reader beside the pipeline notices what it is there for, each breach planted once."""

from __future__ import annotations

from collections import defaultdict

import pytest

from streams.adapters.memory import MemoryRecord
from tests.chaos.reader import Follower
from tests.verify.world import CODEC, World, busy_world

INBOX_TOPIC = "inbox.updates"


def longest_line(world: World, topic: str) -> list[MemoryRecord]:
    """The records of the inbox, or the endpoint, that has most of them."""
    lines: dict[bytes | None, list[MemoryRecord]] = defaultdict(list)
    for (name, _), log in world.logs.items():
        for record in log:
            if name == topic:
                lines[record.key].append(record)
    line = max(lines.values(), key=len)
    assert len(line) >= 4
    return line


@pytest.mark.parametrize("topic", [INBOX_TOPIC, "delivery.mobile"])
@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ((0, 1, 2, 3), None),
        ((0, 1, 1, 2), "again"),
        ((0, 1, 3), "after a gap of 1"),
        ((0, 2, 1, 3), "after a gap of 1"),
    ],
)
def test_each_breach_is_noticed_and_the_right_order_is_none(
    topic: str, order: tuple[int, ...], expected: str | None
) -> None:
    """A number that comes twice, late or not at all is named with its place."""
    line = longest_line(busy_world(), topic)[:4]
    follower = Follower(CODEC, INBOX_TOPIC)
    for at in order:
        follower.take([line[at]])
    if expected is None:
        assert follower.breaches == []
    else:
        assert expected in follower.breaches[0]


def test_an_inbox_begins_with_one() -> None:
    """A first update that is missing is a gap too."""
    line = longest_line(busy_world(), INBOX_TOPIC)
    follower = Follower(CODEC, INBOX_TOPIC)
    follower.take(line[1:])
    assert "after a gap of 1" in follower.breaches[0]
