"""Random changes of a thread's members against a set, over many chunks."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.adapters.memory import MemoryState
from streams.limits import MEMBERS_CHUNK
from streams.tables import MEMBERS
from streams.tables.threads import Thread, ThreadsTable

SPANS = st.tuples(st.integers(0, 600), st.integers(0, 300))


@settings(max_examples=60)
@given(st.lists(st.tuples(SPANS, SPANS), max_size=6))
def test_members_are_the_set_that_was_made_in_as_few_rows_as_they_need(
    changes: list[tuple[tuple[int, int], tuple[int, int]]],
) -> None:
    """Nobody is lost, doubled or left in a row that no count reaches, whatever is added and removed."""
    state, model = MemoryState(), set[str]()
    table = ThreadsTable(state)
    for position, ((start, count), (first, gone)) in enumerate(changes, start=1):
        members = table.members("t", Thread(position, len(model)))
        added = [
            name for name in (f"m{number}" for number in range(start, start + count)) if name not in model
        ]
        members.add(added, position)
        model.update(added)
        leaving = [f"m{number}" for number in range(first, first + gone)]
        assert members.present(leaving) == [name for name in leaving if name in model]
        members.remove(leaving)
        model.difference_update(leaving)
        everyone = list(members.run(0, 10_000))
        assert len(everyone) == len(members) == len(model)
        assert set(everyone) == model
        rows = [key for key in state.rows if key[:1] == MEMBERS.byte]
        assert len(rows) == -(-len(model) // MEMBERS_CHUNK)
