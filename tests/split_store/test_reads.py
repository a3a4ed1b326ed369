"""Reads that return matching halves, or say that they cannot (streams/split_store/reads.py)."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from streams.adapters.memory_store import MemoryBodyStore, MemoryMetadataStore
from streams.limits import STORE_BACKLOG_RECORDS
from streams.store_ports import MessageKey, StoreUnavailable
from tests.split_store.scenes import (
    World,
    change_members,
    delete,
    drained,
    edit,
    id_at,
    mark_read,
    post,
    until,
)
from tests.split_store.test_stage import text_of, world_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.split_store import SplitStore, StoredMessage
    from streams.store_ports import Body, ThreadRows


async def with_bodies_down(world: World) -> SplitStore:
    """A store whose metadata has everything, and whose body store went down before that."""
    store = world.start()
    start = await store.open(0)
    world.body_faults.is_down = True
    store.take(0, world.publish()[start:])
    await until(lambda: store.pointers()[0].metadata == world.script.end, "metadata is stored")
    return store


def check(message: StoredMessage) -> None:
    """What holds of every message that a read returns: a body of its row's version, or a reason for none."""
    row, body = message.row, message.body
    if body is not None:
        assert (body.key, body.version, body.is_erased) == (row.key, row.version, False)
        assert row.has_body
        assert not row.is_deleted
        assert not message.is_pending
    else:
        assert message.is_pending == (row.has_body and not row.is_deleted)


async def test_a_thread_is_read_with_the_bodies_of_the_versions_its_rows_name() -> None:
    """W7: messages with their newest text, deleted ones without, other operations as rows."""
    world = World()
    for operation in (
        post("one"),
        post("two"),
        edit(id_at(1), "one, edited"),
        delete(id_at(2)),
        mark_read(id_at(1)),
        change_members("cleo"),
        post(""),
    ):
        world.script.add(operation)
    store = world.start()
    await world.feed(store)
    await drained(store, world.script.end)
    messages = await store.read("thread", 1, 100)
    for message in messages:
        check(message)
    assert [message.row.position for message in messages] == [1, 2, 3, 4, 5, 6, 7]
    assert [text_of(message.body) if message.body else None for message in messages] == [
        b"one, edited",
        None,
        None,
        None,
        None,
        None,
        b"",
    ]
    assert not any(message.is_pending for message in messages)
    assert [message.row.position for message in await store.read("thread", 2, 100, rows_max=2)] == [2, 3]
    await store.close_all()


async def test_with_the_body_store_down_bodies_come_from_the_queue() -> None:
    """W3: metadata is visible, and what the queue still holds is returned; nothing is guessed."""
    world = world_of(3)
    world.script.add(edit(id_at(2), "edited"))
    store = await with_bodies_down(world)
    messages = await store.read("thread", 1, 9)
    assert [text_of(message.body) for message in messages if message.body] == [
        b"text 0",
        b"edited",
        b"text 2",
    ]
    for message in messages:
        check(message)
    await store.close_all()


async def test_bodies_that_are_nowhere_to_be_had_are_pending() -> None:
    """W7: an older message, whose body lies in the store that is down, is flagged; so is one edited since."""
    world = world_of(2)
    first = world.start()
    await world.feed(first)
    await drained(first, world.script.end)
    world.script.add(edit(id_at(1), "edited"))
    world.script.add(post("new"))
    world.body_faults.is_down = True
    first.take(0, world.publish()[2:])
    await until(lambda: first.pointers()[0].metadata == world.script.end, "metadata is stored")
    messages = await first.read("thread", 1, 9)
    assert [(message.is_pending, message.body is None) for message in messages] == [
        (True, True),
        (True, True),
        (False, True),
        (False, False),
    ]
    world.queue.is_down = True
    assert all(message.is_pending for message in (await first.read("thread", 1, 2)))
    world.body_faults.is_down = False
    assert [text_of(message.body) for message in await first.read("thread", 1, 2) if message.body] == [
        b"edited",
        b"text 1",
    ]
    await first.close_all()


@pytest.mark.parametrize("behind", [1, 700, STORE_BACKLOG_RECORDS + 700])
async def test_a_body_store_that_is_behind_catches_up_on_read(behind: int) -> None:
    """W10: however far behind, from memory or from the queue; nobody waits out the back-off."""
    world = world_of(behind)

    async def sleep(seconds: float) -> None:
        """Long pauses never end: only a nudge does."""
        world.pauses_s.append(seconds)
        await (asyncio.Event().wait() if seconds > 0.2 else asyncio.sleep(0))

    store = world.start(sleep=sleep)
    start = await store.open(0)
    world.body_faults.is_down = True
    store.take(0, world.publish()[start:])
    await until(lambda: max(world.pauses_s, default=0) > 0.2, "the body half sits in a long pause")
    await until(lambda: store.pointers()[0].metadata == world.script.end, "metadata is stored")
    world.body_faults.is_down = False
    [message] = await store.read("thread", behind, behind)
    assert message.body is not None
    assert text_of(message.body) == f"text {behind - 1}".encode()
    assert store.pointers()[0].bodies == world.script.end
    await store.close_all()


async def test_a_read_after_a_restart_waits_for_the_records_or_reads_the_queue() -> None:
    """W10: the transport has brought nothing yet; the reader finds the bodies in the queue itself."""
    world = world_of(20)
    await (await with_bodies_down(world)).close_all()
    world.body_faults.is_down = False
    again = world.start()
    await again.open(0)
    again._reader._catch_up_s_max = 0.01
    messages = await again.read("thread", 1, 20)
    assert [text_of(message.body) for message in messages if message.body] == [
        f"text {number}".encode() for number in range(20)
    ]
    await again.close_all()


async def test_an_edit_that_lands_during_a_read_gives_a_matching_pair_all_the_same() -> None:
    """W7: metadata read before, body after the edit: the reader looks again."""
    world = world_of(1)
    edits = 0

    class Moving(MemoryMetadataStore):
        async def read(
            self, partition: int, thread_id: str, first: int, last: int, rows_max: int
        ) -> ThreadRows:
            nonlocal edits
            rows = await super().read(partition, thread_id, first, last, rows_max)
            if edits == 0:
                edits += 1
                world.script.add(edit(id_at(1), "edited"))
                store.take(0, world.publish()[1:])
                await drained(store, world.script.end)
            return rows

    store = world.start(metadata=Moving(world.metadata))
    await world.feed(store)
    await drained(store, world.script.end)
    [message] = await store.read("thread", 1, 1)
    assert message.body is not None
    assert (message.row.version, text_of(message.body)) == (2, b"edited")
    await store.close_all()


async def test_readers_beside_a_busy_writer_never_see_halves_that_do_not_match(seed: int) -> None:
    """W7: under posts, edits and deletes, with both stores slow and failing at random."""
    choice = random.Random(seed)
    world = World()

    class SlowMetadata(MemoryMetadataStore):
        async def read(
            self, partition: int, thread_id: str, first: int, last: int, rows_max: int
        ) -> ThreadRows:
            rows = await super().read(partition, thread_id, first, last, rows_max)
            await asyncio.sleep(0)
            return rows

    class SlowBodies(MemoryBodyStore):
        async def get(self, keys: Sequence[MessageKey]) -> dict[MessageKey, Body]:
            if choice.random() < 0.2:
                raise StoreUnavailable("now and then")
            await asyncio.sleep(0)
            return await super().get(keys)

    store = world.start(
        metadata=SlowMetadata(world.metadata, world.metadata_faults),
        bodies=SlowBodies(world.bodies, world.body_faults),
    )
    await store.open(0)
    is_over = False
    reads = bodies_seen = 0

    async def read_on() -> None:
        nonlocal reads, bodies_seen
        while not is_over:
            messages = await store.read("thread", 1, 1_000)
            for message in messages:
                check(message)
            reads += 1
            bodies_seen += sum(message.body is not None for message in messages)
            await asyncio.sleep(0)

    readers = [asyncio.create_task(read_on()) for _ in range(3)]
    for position in range(1, 201):
        operations = [post(), post(), edit(id_at(choice.randrange(1, position + 1)), "x")]
        operations.append(delete(id_at(choice.randrange(1, position + 1))))
        world.script.add(choice.choice(operations))
        world.body_faults.is_down = choice.random() < 0.2
        store.take(0, world.publish()[-1:])
        await asyncio.sleep(0.001)
    world.body_faults.is_down = False
    await drained(store, world.script.end)
    is_over = True
    await asyncio.gather(*readers)
    await store.close_all()
    assert reads > 20
    assert bodies_seen > 0


async def test_without_the_metadata_store_a_read_says_so() -> None:
    """W2: there is nothing to show, and an error is better than an empty thread."""
    world = world_of(1)
    store = world.start()
    await world.feed(store)
    await drained(store, world.script.end)
    world.metadata_faults.is_down = True
    with pytest.raises(StoreUnavailable):
        await store.read("thread", 1, 1)
    await store.close_all()
