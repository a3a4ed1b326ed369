"""Threads and their members in dense chunks (streams/tables/threads.py)."""

from __future__ import annotations

from streams.adapters.memory import MemoryState
from streams.limits import MEMBERS_CHUNK
from streams.tables import MEMBERS
from streams.tables.threads import Chunk, Members, Thread, ThreadsTable, pack_chunk, parse_chunk


def filled(count: int) -> tuple[MemoryState, Members]:
    state = MemoryState()
    members = ThreadsTable(state).members("t", Thread(1, 0))
    members.add([f"m{number}" for number in range(count)], 1)
    return state, members


def test_a_thread_that_nobody_created_is_none() -> None:
    """A thread exists from its first row on."""
    table = ThreadsTable(MemoryState())
    assert table.get("t") is None
    table.put("t", Thread(7, 2))
    assert table.get("t") == Thread(7, 2)
    assert table.get("t2") is None


def test_a_chunk_survives_its_row() -> None:
    """Names beyond ASCII and large positions come back as they were."""
    chunk = Chunk(("ann", "żółw", "b c"), (1, 2**60, 3))
    assert parse_chunk(pack_chunk(chunk)) == chunk
    assert parse_chunk(pack_chunk(Chunk((), ()))) == Chunk((), ())


def test_members_keep_the_order_in_which_they_were_added() -> None:
    """A run yields members by number, across chunks, and ends with the last."""
    _, members = filled(2 * MEMBERS_CHUNK + 5)
    everyone = [f"m{number}" for number in range(2 * MEMBERS_CHUNK + 5)]
    assert list(members.run(0, 10_000)) == everyone
    assert list(members.run(MEMBERS_CHUNK - 1, 3)) == everyone[MEMBERS_CHUNK - 1 : MEMBERS_CHUNK + 2]
    assert list(members.run(len(everyone), 5)) == []


def test_a_name_that_is_part_of_another_is_not_a_member() -> None:
    """Membership compares whole names."""
    state = MemoryState()
    members = ThreadsTable(state).members("t", Thread(1, 0))
    members.add(["annabel", "bob"], 1)
    assert "ann" not in members
    assert "bob" in members
    assert members.present(["ann", "bob", "zoe"]) == ["bob"]


def test_a_free_place_is_taken_by_the_last_member() -> None:
    """Chunks stay dense: after removals there are as few rows as the members need."""
    state, members = filled(MEMBERS_CHUNK + 1)
    members.remove(["m0", "nobody"])
    assert len(members) == MEMBERS_CHUNK
    assert next(iter(members.run(0, 1))) == f"m{MEMBERS_CHUNK}"
    assert len([key for key in state.rows if key[:1] == MEMBERS.byte]) == 1
    members.remove([f"m{number}" for number in range(MEMBERS_CHUNK + 1)])
    assert len(members) == 0
    assert not [key for key in state.rows if key[:1] == MEMBERS.byte]


def test_threads_whose_names_begin_alike_share_no_row() -> None:
    """The thread's name ends with NUL in a chunk's key, so `a` and `ab` are apart."""
    state = MemoryState()
    table = ThreadsTable(state)
    table.members("a", Thread(1, 0)).add(["x"], 1)
    table.members("ab", Thread(1, 0)).add(["y"], 1)
    assert "y" not in table.members("a", Thread(1, 1))
    assert "x" in table.members("a", Thread(1, 1))
