"""The two halves of a partition, and what each does while the other is in trouble (streams/split_store/)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from streams.adapters.memory_store import Faults, MemoryBodyStore, MemoryMetadataStore, Outcome
from streams.errors import ConfigurationError, StoreError, TrimmedBelowProgress
from streams.limits import RECORD_BYTES_MAX, STORE_BACKLOG_RECORDS, STORE_WAITING_RECORDS
from streams.split_store import Pointers
from streams.split_store.retry import MAX_S
from streams.store_ports import MessageKey
from tests.split_store.scenes import (
    CODEC,
    Script,
    World,
    delete,
    drained,
    edit,
    id_at,
    post,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.store_ports import Body, MetadataRow


def text_of(body: Body) -> bytes:
    if body.text is not None:
        return body.text
    return bytes(CODEC.decode_as("Post", body.content)["body"])


def world_of(posts: int) -> World:
    world = World()
    for number in range(posts):
        world.script.add(post(f"text {number}"))
    return world


class Traced:
    """Writes down when a store is asked to write what, and when it says that it has."""

    def __init__(self, world: World, partitions: dict[int, Faults]) -> None:
        self.trace: list[tuple[str, frozenset[MessageKey]]] = []
        trace, faults = self.trace, partitions

        class Metadata(MemoryMetadataStore):
            async def commit(self, partition: int, rows: Sequence[MetadataRow], pointer: int) -> None:
                await faults[partition].gate.wait()
                await super().commit(partition, rows, pointer)
                trace.append(("metadata stored", frozenset(row.key for row in rows)))

        class Bodies(MemoryBodyStore):
            async def commit(self, partition: int, rows: Sequence[Body], pointer: int) -> None:
                trace.append(("bodies asked for", frozenset(row.key for row in rows)))
                await super().commit(partition, rows, pointer)

        self.metadata = Metadata(world.metadata, world.metadata_faults)
        self.bodies = Bodies(world.bodies, world.body_faults)


async def test_no_body_is_written_before_its_metadata_is_known_to_be_stored(seed: int) -> None:
    """W1: in the order of the trace, with many partitions at work at once and time-outs on the way."""
    world = World()
    scripts = [Script(partition=number, thread_id=f"thread {number}") for number in range(4)]
    for script in scripts:
        for number in range(700):
            script.add(post() if number % 3 else edit(id_at(max(1, number)), "edited"))
        world.queue.records[script.partition] = script.records
    world.metadata_faults.outcomes.extend(
        [Outcome.APPLIED, Outcome.LOST, Outcome.DOWN, Outcome.LATE] * (1 + seed % 5)
    )
    world.body_faults.outcomes.extend([Outcome.LOST, Outcome.APPLIED])
    traced = Traced(world, {number: Faults() for number in range(4)})
    store = world.start(metadata=traced.metadata, bodies=traced.bodies)
    for script in scripts:
        store.take(script.partition, script.records[await store.open(script.partition) :])
    for script in scripts:
        await drained(store, script.end, script.partition)
    await store.close_all()
    stored: set[MessageKey] = set()
    for event, keys in traced.trace:
        if event == "metadata stored":
            stored |= keys
        else:
            assert keys <= stored
    assert len(world.bodies.rows) > 1_000


async def test_a_body_waits_while_the_metadata_store_is_still_at_work() -> None:
    """W1: not asked for, however long the metadata takes; asked for right after."""
    world = world_of(3)
    gates = {0: Faults()}
    traced = Traced(world, gates)
    store = world.start(metadata=traced.metadata, bodies=traced.bodies)
    start = await store.open(0)
    gates[0].gate.clear()
    traced.trace.clear()
    store.take(0, world.publish()[start:])
    for _ in range(100):
        await asyncio.sleep(0)
    assert traced.trace == []
    gates[0].gate.set()
    await drained(store, world.script.end)
    await store.close_all()
    assert [event for event, _ in traced.trace] == ["metadata stored", "bodies asked for"]


async def test_without_the_metadata_store_no_body_is_written_and_then_all_drains_in_order() -> None:
    """W2: whoever feeds is never held up by an error; after the recovery each message is there once."""
    world = world_of(1_200)
    store = world.start()
    start = await store.open(0)
    world.metadata_faults.is_down = True
    store.take(0, world.publish()[start:])
    await until(lambda: len(world.pauses_s) > 10, "the metadata store was tried several times")
    assert world.bodies.rows == {}
    assert store.status()[0].metadata_failures > 3
    assert store.status()[0].metadata_problem is not None
    world.metadata_faults.is_down = False
    await drained(store, world.script.end)
    assert [
        row.position
        for row in (await MemoryMetadataStore(world.metadata).read(0, "thread", 1, 2_000, 2_000)).rows
    ] == list(range(1, 1_201))
    assert len(world.bodies.rows) == 1_200
    assert store.status()[0].metadata_failures == 0
    await store.close_all()


async def test_without_the_body_store_metadata_goes_on_and_bodies_drain_later() -> None:
    """W3: also when far more has passed than memory keeps: the rest is read from the queue again."""
    world = world_of(STORE_BACKLOG_RECORDS + 1_500)
    store = world.start()
    start = await store.open(0)
    world.body_faults.is_down = True
    store.take(0, world.publish()[start:])
    await until(lambda: store.pointers()[0].metadata == world.script.end, "metadata is stored")
    assert len(world.bodies.rows) == 0
    assert store.lowest_pointer(0) == 0
    assert len(store._partitions[0].bodies._backlog) <= STORE_BACKLOG_RECORDS
    world.body_faults.is_down = False
    await drained(store, world.script.end)
    assert world.queue.reads > 0
    assert [
        text_of(world.bodies.rows[MessageKey("thread", id_at(position))]) for position in (1, 2_000, 5_500)
    ] == [
        b"text 0",
        b"text 1999",
        b"text 5499",
    ]
    assert len(world.bodies.rows) == STORE_BACKLOG_RECORDS + 1_500
    await store.close_all()


async def test_a_body_store_that_is_down_from_the_start_holds_nothing_up() -> None:
    """W3: its pointer is asked for until it answers; metadata does not wait for that."""
    world = world_of(5)
    first = world.start()
    await world.feed(first)
    await drained(first, world.script.end)
    await first.close_all()
    for _ in range(5):
        world.script.add(post("later"))
    world.body_faults.is_down = True
    second = world.start()
    await world.feed(second)
    await until(lambda: second.pointers()[0].metadata == world.script.end, "metadata is stored")
    assert second.pointers()[0].bodies is None
    assert second.lowest_pointer(0) == 0
    world.body_faults.is_down = False
    await drained(second, world.script.end)
    assert len(world.bodies.rows) == 10
    await second.close_all()


async def test_a_metadata_write_that_timed_out_but_was_applied_makes_no_second_row() -> None:
    """W4: at once, late, or after newer ones."""
    for outcome in (Outcome.APPLIED, Outcome.LATE, Outcome.LOST):
        world = world_of(3)
        store = world.start()
        start = await store.open(0)
        world.metadata_faults.outcomes.extend([outcome, outcome])
        world.body_faults.outcomes.extend([outcome])
        store.take(0, world.publish()[start:])
        await drained(store, world.script.end)
        await store.close_all()
        rows = (await MemoryMetadataStore(world.metadata).read(0, "thread", 1, 9, 9)).rows
        assert [(row.position, row.version) for row in rows] == [(1, 1), (2, 2), (3, 3)]
        assert len(world.bodies.rows) == 3


async def test_a_restart_begins_at_the_lower_pointer() -> None:
    """W5: the halves go on from where each was, and nothing is done twice."""
    world = world_of(10)
    store = world.start()
    start = await store.open(0)
    world.body_faults.is_down = True
    store.take(0, world.publish()[start:])
    await until(lambda: store.pointers()[0].metadata == world.script.end, "metadata is stored")
    await store.close_all()
    world.body_faults.is_down = False
    again = world.start()
    assert await again.open(0) == 0
    assert again.pointers()[0] == Pointers(world.script.end, 0)
    again.take(0, world.script.records)
    await drained(again, world.script.end)
    assert await again.open(0) == world.script.end
    await again.close_all()


async def test_failures_of_one_partition_do_not_delay_another() -> None:
    """W8: one is stuck in ever longer pauses, the other drains meanwhile; then the first one does."""
    world = world_of(5)
    other = Script(partition=1)
    other.add(post("other"))
    world.queue.records[1] = other.records
    store = world.start()
    for partition, records in ((0, world.publish()), (1, other.records)):
        await store.open(partition)
        if partition == 0:
            world.metadata_faults.partitions_down.add(0)
        store.take(partition, records)
    await until(lambda: max(world.pauses_s, default=0) >= MAX_S / 2 - 1, "pauses grow up to the cap")
    await drained(store, other.end, 1)
    assert store.pointers()[0] == Pointers(0, 0)
    world.metadata_faults.partitions_down.clear()
    await drained(store, world.script.end, 0)
    await store.close_all()


async def test_the_queue_may_be_trimmed_only_below_both_pointers() -> None:
    """W9: what is not durably stored as a body is still in the queue."""
    world = world_of(600)
    store = world.start()
    start = await store.open(0)
    world.body_faults.outcomes.extend([Outcome.DONE])
    store.take(0, world.publish()[start:])
    lowest = 0
    async with asyncio.timeout(20):
        while lowest < world.script.end:
            await asyncio.sleep(0)
            lowest = store.lowest_pointer(0)
            below = [record for record in world.script.records if record.offset < lowest]
            assert len(below) <= len(world.bodies.rows)
    await store.close_all()


async def test_a_store_that_lacks_what_the_queue_no_longer_holds_stops_by_name() -> None:
    """W9: never a silent gap: at opening, and when the body half reads the queue again."""
    world = world_of(10)
    store = world.start()
    await world.feed(store)
    await drained(store, world.script.end)
    await store.close_all()
    world.bodies.rows.clear()
    world.bodies.pointers.clear()
    world.queue.starts[0] = 5
    with pytest.raises(TrimmedBelowProgress):
        await world.start().open(0)
    world.metadata.rows.clear()
    world.metadata.pointers.clear()
    fresh = world.start()
    assert await fresh.open(0) == 5
    await fresh.close_all()


async def test_a_lost_metadata_store_is_rebuilt_from_a_whole_queue_and_refused_otherwise() -> None:
    """W9: bodies that are further than metadata mean that metadata was lost, not that all is fresh."""
    world = world_of(10)
    store = world.start()
    await world.feed(store)
    await drained(store, world.script.end)
    await store.close_all()
    before = dict(world.metadata.rows)
    world.metadata.rows.clear()
    world.metadata.pointers.clear()
    again = world.start()
    await world.feed(again)
    await drained(again, world.script.end)
    await again.close_all()
    assert world.metadata.rows == before
    world.metadata.pointers.clear()
    world.queue.starts[0] = 3
    with pytest.raises(TrimmedBelowProgress):
        await world.start().open(0)


async def test_a_late_retry_of_an_old_version_changes_nothing() -> None:
    """W11: bodies written late, after the message was edited and deleted, stay erased."""
    world = World()
    world.script.add(post("secret"))
    store = world.start()
    start = await store.open(0)
    world.metadata_faults.outcomes.append(Outcome.LATE)
    world.body_faults.outcomes.append(Outcome.LATE)
    store.take(0, world.publish()[start:])
    await drained(store, world.script.end)
    seen = len(world.script.records)
    world.script.add(edit(id_at(1), "more secret"))
    world.script.add(delete(id_at(1)))
    world.metadata_faults.outcomes.extend([Outcome.LATE, Outcome.APPLIED])
    world.body_faults.outcomes.extend([Outcome.LATE, Outcome.APPLIED])
    store.take(0, world.publish()[seen:])
    await drained(store, world.script.end)
    await store.close_all()
    key = MessageKey("thread", id_at(1))
    assert (world.metadata.rows[key].is_deleted, world.metadata.rows[key].version) == (True, 3)
    assert (world.bodies.rows[key].is_erased, world.bodies.rows[key].version) == (True, 3)


async def test_a_delete_makes_the_tombstone_before_it_erases_the_body() -> None:
    """W11: with the body store down the message is deleted for every reader, and its body goes later."""
    world = World()
    world.script.add(post("secret"))
    store = world.start()
    await world.feed(store)
    await drained(store, world.script.end)
    world.body_faults.is_down = True
    world.script.add(delete(id_at(1)))
    store.take(0, world.publish()[1:])
    await until(lambda: store.pointers()[0].metadata == world.script.end, "metadata is stored")
    key = MessageKey("thread", id_at(1))
    assert (world.metadata.rows[key].is_deleted, world.bodies.rows[key].is_erased) == (True, False)
    [message, _] = await store.read("thread", 1, 2)
    assert (message.row.is_deleted, message.body, message.is_pending) == (True, None, False)
    world.body_faults.is_down = False
    await drained(store, world.script.end)
    assert world.bodies.rows[key].is_erased
    await store.close_all()


async def test_fetching_stops_when_enough_waits() -> None:
    """Memory is bounded in records and in bytes, whatever the metadata store does."""
    world = world_of(STORE_WAITING_RECORDS)
    store = world.start()
    await store.open(0)
    world.metadata_faults.is_down = True
    store.take(0, world.publish()[:-1])
    assert store.has_room(0)
    store.take(0, world.script.records[-1:])
    assert not store.has_room(0)
    world.metadata_faults.is_down = False
    await drained(store, world.script.end)
    assert store.has_room(0)
    world.metadata_faults.is_down = True
    seen = len(world.script.records)
    for _ in range(5):
        world.script.add(post("x" * (RECORD_BYTES_MAX - 1_000)))
    store.take(0, world.script.records[seen:])
    assert not store.has_room(0)
    await store.close_all()


async def test_what_stops_a_partition_is_raised_to_whoever_feeds_it() -> None:
    """A damaged store is not retried for ever in silence."""
    world = world_of(1)

    class Damaged(MemoryBodyStore):
        async def commit(self, partition: int, rows: Sequence[Body], pointer: int) -> None:
            if rows:
                raise StoreError("damaged")
            await super().commit(partition, rows, pointer)

    store = world.start(bodies=Damaged(world.bodies))
    await world.feed(store)
    await until(store._tasks[0].done, "the partition stopped")
    with pytest.raises(StoreError):
        store.has_room(0)
    with pytest.raises(StoreError):
        store.take(0, [])
    await store.close(0)
    with pytest.raises(ConfigurationError):
        store.take(0, [])
