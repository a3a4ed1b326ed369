"""A queue that was deleted and made anew is never taken for the one that the stores were filled from."""

from __future__ import annotations

import pytest

from streams.errors import QueueReplaced
from tests.split_store.scenes import World, drained, post


@pytest.mark.parametrize(
    ("queue_id", "is_longer"), [("the second", False), ("the second", True), ("the first", False)]
)
async def test_a_queue_that_is_not_the_one_the_stores_were_filled_from_stops_them_by_name(
    queue_id: str, *, is_longer: bool
) -> None:
    """W9: it is told by its id, and where that says nothing by an end below the pointers; nothing is changed."""
    world = World()
    for _ in range(10):
        world.script.add(post())
    store = world.start()
    await world.feed(store)
    await drained(store, world.script.end)
    await store.close_all()
    rows, pointers = dict(world.metadata.rows), dict(world.metadata.pointers)
    world.queue.queue_id = queue_id
    world.queue.ends[0] = world.script.end + 100 if is_longer else 3
    for _ in range(2):
        with pytest.raises(QueueReplaced, match="last copy"):
            await world.start().open(0)
    assert (world.metadata.rows, world.metadata.pointers) == (rows, pointers)
    world.metadata.rows.clear()
    world.metadata.pointers.clear()
    world.metadata.queue_ids.clear()
    if not is_longer:
        with pytest.raises(QueueReplaced):  # bodies alone tell it too
            await world.start().open(0)
    world.bodies.rows.clear()
    world.bodies.pointers.clear()
    fresh = world.start()
    assert await fresh.open(0) == 0
    await fresh.close_all()
    assert world.metadata.queue_ids == {0: queue_id}
