"""Random operations on threads against a naive model: membership, dense positions, one order for everyone."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.adapters.memory import MemoryRecord, MemoryShard
from streams.fanout.stage import FanoutStage
from streams.ids import Token, message_id
from streams.ports import DONE
from tests.fixtures.pipeline import (
    CODEC,
    Pipeline,
    change,
    decoded,
    edit,
    form,
    mark_read,
    operation_record,
    post,
)

PEOPLE = ("ann", "bob", "eve", "zoe", "kim")
THREADS = ("t", "u")
NAMES = st.sampled_from(PEOPLE)
GROUP = st.lists(NAMES, max_size=4)
AUTHORED = st.builds(lambda name: message_id(name, "phone", Token(1, 1)), NAMES)
OPERATIONS = st.one_of(
    st.just(post()),
    st.just(form("welcome")),
    st.builds(edit, AUTHORED),
    st.builds(mark_read, AUTHORED),
    st.builds(change, GROUP, GROUP),
)
ASKED = st.lists(
    st.tuples(st.sampled_from(THREADS), NAMES, OPERATIONS, st.none() | GROUP), min_size=1, max_size=25
)


class Model:
    """A thread as sets: what each operation must lead to."""

    def __init__(self) -> None:
        self.members: dict[str, set[str]] = {}
        self.position: dict[str, int] = defaultdict(int)

    def ask(self, thread: str, sender: str, operation: tuple[str, Any], recipients: list[str] | None) -> Any:
        """Return (position, who gets it), or the code of the refusal."""
        name, fields = operation
        if thread not in self.members:
            if recipients is None or name not in ("lockstep.Post", "lockstep.PostForm"):
                return "THREAD_UNKNOWN"
            self.members[thread] = {sender, *recipients}
        elif sender not in self.members[thread]:
            return "NOT_A_MEMBER"
        if name == "lockstep.Edit" and fields["message_id"] != message_id(sender, "phone", Token(1, 1)):
            return "NOT_THE_AUTHOR"
        readers = set(self.members[thread])
        if name == "lockstep.ChangeMembers":
            after = (readers | set(fields["add"])) - set(fields["remove"])
            self.members[thread], readers = after, readers | after
        self.position[thread] += 1
        return self.position[thread], readers


@settings(max_examples=60)
@given(ASKED)
def test_threads_do_what_the_model_says(asked: list[tuple[Any, ...]]) -> None:
    """Q21, Q15: each operation is refused with the model's code, or goes to the model's readers, once."""
    shard, model = MemoryShard(), Model()
    stage = FanoutStage(shard, CODEC)
    for nonce, (thread, sender, operation, recipients) in enumerate(asked):
        expected = model.ask(thread, sender, operation, recipients)
        shard.outputs.clear()
        shard.run(stage, operation_record(thread, sender, operation, nonce=nonce, recipients=recipients))
        refused = [one["code"] for one in decoded(shard.outputs, "ingest.refusals")]
        appended = decoded(shard.outputs, "inbox.appends")
        if isinstance(expected, str):
            assert refused == [expected]
            assert len(shard.outputs) == 1
            continue
        position, readers = expected
        assert not refused
        assert sorted(one["account_id"] for one in appended) == sorted(readers)
        assert {one["thread_position"] for one in appended} == {position}
        assert {one["account_id"] for one in appended if one["token"]} == {sender}


@settings(max_examples=30)
@given(ASKED, st.data())
def test_every_inbox_is_dense_and_has_each_threads_operations_in_the_threads_order(
    asked: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    """Q1, Q14: over three shards, however the appends of different shards are interleaved."""
    pipeline = Pipeline(shards=3)
    waiting: list[list[MemoryRecord]] = [[] for _ in pipeline.shards]
    for nonce, (thread, sender, operation, recipients) in enumerate(asked):
        record = operation_record(
            thread, sender, operation, nonce=nonce, recipients=recipients, shards=len(pipeline.shards)
        )
        stages = pipeline.shards[record.partition]
        before = len(stages.shard.outputs)
        assert stages.shard.run(stages.fanout, record) == DONE
        for one in stages.shard.outputs[before:]:
            if one.topic == "inbox.appends":
                waiting[one.partition].append(MemoryRecord(one.topic, one.key, one.value, one.partition))
        number = data.draw(st.integers(0, len(waiting) - 1))
        take_some(pipeline, waiting[number], data.draw(st.integers(0, 5)))
    for queue in waiting:
        take_some(pipeline, queue, len(queue))
    for account in PEOPLE:
        inbox = pipeline.inbox(account)
        assert [(one["epoch"], one["seq"]) for one in inbox] == [(1, seq) for seq in range(1, len(inbox) + 1)]
        for thread in THREADS:
            positions = [one["thread_position"] for one in inbox if one["thread_id"] == thread]
            assert positions == sorted(set(positions))


def take_some(pipeline: Pipeline, queue: list[MemoryRecord], count: int) -> None:
    for record in queue[:count]:
        stages = pipeline.shards[record.partition]
        stages.shard.run(stages.sequencer, record)
    del queue[:count]
