"""Records that can never be stored: one dead letter each, and neither half."""

from __future__ import annotations

from streams.adapters.memory_store import Outcome
from streams.limits import RECORD_BYTES_MAX
from streams.store_ports import MessageKey
from tests.split_store.scenes import World, drained, edit, id_at, mark_read, post, until
from tests.split_store.test_stage import text_of, world_of


async def test_a_record_that_can_never_be_stored_is_one_dead_letter_and_no_half() -> None:
    """W12: bytes, schema, key, size; the queue goes on; retries of the batch bury nothing twice."""
    world = World()
    script = world.script
    script.add(post("before"))
    script.raw(b"thread", b"junk")
    script.raw(b"thread", None)
    script.raw(None, script.records[0].value)
    script.add(post("x" * (RECORD_BYTES_MAX + 1)), thread_id="other")
    script.add(edit(id_at(1), "y" * (RECORD_BYTES_MAX + 1)))
    script.add(mark_read(id_at(1)))
    script.add(post("after"))
    world.metadata_faults.outcomes.extend([Outcome.DONE, Outcome.LOST, Outcome.DOWN])
    store = world.start()
    await world.feed(store)
    await drained(store, script.end)
    await store.close_all()
    assert [letter.code for letter in world.dead] == [
        "UNDECODABLE",
        "UNDECODABLE",
        "MISSING_KEY",
        "NOT_STORABLE",
        "NOT_STORABLE",
    ]
    assert [letter.record for letter in world.dead] == script.records[1:6]
    assert {key.thread_id for key in world.metadata.rows} == {"thread"}
    assert sorted(row.position for row in world.metadata.rows.values()) == [1, 3, 4]
    assert sorted(text_of(body) for body in world.bodies.rows.values()) == [b"after", b"before"]
    assert world.metadata.rows[MessageKey("thread", id_at(1))].version == 1


async def test_the_body_half_buries_nothing_when_it_reads_the_queue_again() -> None:
    """W12: one dead letter, also when the record is looked at a second time after a restart."""
    world = world_of(2)
    world.script.raw(b"thread", b"junk")
    world.script.add(post("after"))
    store = world.start()
    start = await store.open(0)
    world.body_faults.is_down = True
    store.take(0, world.publish()[start:])
    await until(lambda: store.pointers()[0].metadata == world.script.end, "metadata is stored")
    await store.close_all()
    world.body_faults.is_down = False
    world.script.add(post("later, in one batch with what comes again"))
    again = world.start()
    await world.feed(again)
    await drained(again, world.script.end)
    await again.close_all()
    assert len(world.dead) == 1
    assert len(world.bodies.rows) == 4
