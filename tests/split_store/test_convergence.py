"""Whatever fails, times out or restarts, in any order: both stores end in the same state."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.adapters.memory_store import Outcome
from tests.split_store.scenes import (
    Script,
    World,
    change_members,
    delete,
    drained,
    edit,
    form,
    id_at,
    mark_read,
    post,
)

if TYPE_CHECKING:
    from streams.store_ports import Body, MessageKey, MetadataRow

MESSAGES = 12


@dataclass(frozen=True)
class Trouble:
    """One stretch of a run: what is published, how the next commits end, whether the process dies."""

    records: int
    metadata: list[Outcome] = field(default_factory=list)
    bodies: list[Outcome] = field(default_factory=list)
    is_body_store_down: bool = False
    steps: int = 0
    is_killed: bool = False


targets = st.integers(1, MESSAGES).map(id_at)
operations = st.one_of(
    st.text(max_size=3).map(post),
    st.just(form()),
    st.builds(edit, targets, st.text(max_size=3)),
    st.builds(delete, targets),
    st.builds(mark_read, targets),
    st.just(change_members("cleo")),
    st.none(),  # bytes that no one can read
)
outcomes = st.lists(st.sampled_from(Outcome), max_size=4)
troubles = st.lists(
    st.builds(
        Trouble,
        records=st.integers(0, 5),
        metadata=outcomes,
        bodies=outcomes,
        is_body_store_down=st.booleans(),
        steps=st.integers(0, 25),
        is_killed=st.booleans(),
    ),
    max_size=8,
)


def script_of(content: list[tuple[str, dict[str, object]] | None]) -> Script:
    script = Script()
    for operation in content:
        if operation is None:
            script.raw(b"thread", b"junk")
        else:
            script.add(operation)
    return script


State = tuple[dict["MessageKey", "MetadataRow"], dict["MessageKey", "Body"]]


async def run(script: Script, story: list[Trouble]) -> tuple[World, State]:
    """Live through the story, then drain without trouble."""
    world = World(script=script)
    store = world.start()
    await store.open(0)
    given_records = 0
    for trouble in story:
        world.metadata_faults.outcomes.extend(trouble.metadata)
        world.body_faults.outcomes.extend(trouble.bodies)
        world.body_faults.is_down = trouble.is_body_store_down
        fresh = script.records[given_records : given_records + trouble.records]
        given_records += len(fresh)
        world.queue.append(*fresh)
        store.take(0, fresh)
        for _ in range(trouble.steps):
            await asyncio.sleep(0)
            check_subset(world)
        if trouble.is_killed:
            await store.close(0)
            store = world.start()
            start = await store.open(0)
            store.take(0, [one for one in script.records[:given_records] if one.offset >= start])
    world.metadata_faults.outcomes.clear()
    world.body_faults.outcomes.clear()
    world.body_faults.is_down = False
    world.publish()
    store.take(0, script.records[given_records:])
    await drained(store, script.end)
    await store.close_all()
    check_subset(world)
    return world, (world.metadata.rows, world.bodies.rows)


def check_subset(world: World) -> None:
    """W6, at this moment."""
    bodies = {body.key for body in world.bodies.rows.values() if not body.is_erased}
    assert bodies <= world.metadata.rows.keys()


@given(st.lists(operations, min_size=1, max_size=MESSAGES), troubles)
@settings(max_examples=150)
def test_any_order_of_failures_time_outs_and_restarts_ends_in_the_same_state(
    content: list[tuple[str, dict[str, object]] | None], story: list[Trouble]
) -> None:
    """W2, W4, W5, W6, W11, W12: as if nothing had ever gone wrong; at every step bodies have metadata."""
    _, expected = asyncio.run(run(script_of(content), []))
    world, state = asyncio.run(run(script_of(content), story))
    assert state == expected
    metadata, bodies = state
    live = {row.key: row.version for row in metadata.values() if row.has_body and not row.is_deleted}
    assert live == {body.key: body.version for body in bodies.values() if not body.is_erased}
    buried = {letter.record.offset for letter in world.dead}
    assert buried == {record.offset for record in world.script.records if record.value == b"junk"}
