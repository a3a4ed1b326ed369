"""Windows, acknowledgements and attachments as a state machine: every seq that is owed comes exactly once.

The limits of a step and of a batch are made small, so that a handful of updates takes several steps; appends
come between the steps, and each step is done by a new process.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streams.adapters.memory import MemoryRecord
from streams.ports import DONE
from streams.replay import batches, stage
from streams.replay.stage import ReplayStage
from tests.fixtures.pipeline import CODEC, ROUTES, Pipeline, append_record, command_record

ENDPOINT = ("bob", "phone")
REGISTER = {
    "locale": "",
    "app_version": "",
    "capabilities": [],
    "media_width_max": 0,
    "encoding": "avro",
    "route": "",
}


class Attachments(RuleBasedStateMachine):
    """One endpoint; `owed` is what the current attachment must have brought by now, as the spec says it."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(stage, "EXPANSION_STEP", 3)
        self.patch.setattr(stage, "STEP_BATCHES", 2)
        self.patch.setattr(batches, "REPLAY_BATCH_UPDATES", 2)
        self.pipeline = Pipeline()
        self.stages = self.pipeline.shards[0]
        self.head = self.acked = self.window = self.last = self.count = 0
        self.is_attached = self.is_registered = False
        self.owed: list[int] = []
        self.routed_at_attach = 0
        self.attach_id = self.command_id = ""
        self.pending: tuple[MemoryRecord, bytes, str] | None = None

    def teardown(self) -> None:
        self.patch.undo()

    # What the endpoint gets, as the topics show it.

    def routed(self) -> list[int]:
        return [one["seq"] for one in self.pipeline.routed(*ENDPOINT)]

    def got(self) -> list[int]:
        """Every seq of this attachment: its replay, then its route."""
        replay = self.pipeline.batches(*ENDPOINT, self.attach_id)
        replayed = [one["seq"] for batch in replay for one in batch["updates"]]
        return [*replayed, *self.routed()[self.routed_at_attach :]]

    # What happens.

    def begin(self, name: str, **fields: Any) -> None:
        self.count += 1
        self.command_id = f"{name}{self.count}"
        record = command_record(*ENDPOINT, (name, fields), command_id=self.command_id)
        self.pending = (record, DONE, name)
        self.go_on()

    def go_on(self) -> None:
        """One step, by a process that knows nothing of the last one."""
        assert self.pending is not None
        record, cursor, name = self.pending
        fresh = ReplayStage(self.stages.shard, CODEC, self.stages.delivery.sender, ROUTES)
        cursor = self.stages.shard.run(fresh, record, cursor=cursor, steps_max=1)
        self.pending = None if cursor == DONE else (record, cursor, name)
        if self.pending is None:
            self.let_through()

    def let_through(self) -> None:
        """The spec: an attached endpoint is owed all that its window has room for."""
        if self.is_attached:
            until = min(self.head, self.acked + self.window) if self.window else self.head
            self.owed += range(self.last + 1, until + 1)
            self.last = max(self.last, until)

    def answer(self) -> dict[str, Any]:
        results = [one for one in self.pipeline.replayed(*ENDPOINT) if one["record"] == "CommandResult"]
        answers = [one for one in results if one["command_id"] == self.command_id]
        assert len(answers) == 1
        return answers[0]

    @initialize(window=st.sampled_from([0, 1, 3, 8]))
    def begin_attached(self, window: int) -> None:
        self.register(window)
        self.attach(None)

    @rule(count=st.integers(1, 6))
    def append(self, count: int) -> None:
        for _ in range(count):
            self.head += 1
            self.stages.shard.run(self.stages.sequencer, append_record("bob", nonce=self.head))
            if self.pending is None or self.pending[2] == "Attach":
                self.let_through()

    @precondition(lambda self: self.pending is not None)
    @rule()
    def step(self) -> None:
        self.go_on()

    @precondition(lambda self: self.pending is None)
    @rule(window=st.sampled_from([0, 0, 1, 3, 8]))
    def register(self, window: int) -> None:
        self.window, self.is_registered = window, True
        self.begin("Register", **REGISTER, window=window)

    @precondition(lambda self: self.pending is None and self.is_registered)
    @rule(behind=st.none() | st.integers(0, 6))
    def attach(self, behind: int | None) -> None:
        position = None if behind is None else {"epoch": 1, "seq": max(0, self.head - behind)}
        self.routed_at_attach = len(self.routed())
        self.is_attached = True
        self.attach_id = f"Attach{self.count + 1}"
        start = max(self.acked, position["seq"] if position else 0) + 1
        self.owed, self.last = list(range(start, self.head + 1)), self.head
        self.begin("Attach", position=position)
        assert self.answer()["attached_from_seq"] == start

    @precondition(lambda self: self.pending is None and self.is_registered)
    @rule()
    def detach(self) -> None:
        self.is_attached = False
        self.begin("Detach")

    @precondition(lambda self: self.pending is None and self.is_registered and self.head > 0)
    @rule(ahead=st.integers(-2, 6))
    def acknowledge(self, ahead: int) -> None:
        seq = max(0, min(self.head, self.acked + ahead))
        self.acked = max(self.acked, seq)
        self.last = max(self.last, self.acked)  # what it fetched itself is not owed again
        self.begin("Ack", epoch=1, seq=seq)

    @precondition(lambda self: self.pending is None and self.is_registered and self.head > 0)
    @rule(behind=st.integers(0, 12), limit=st.integers(1, 20))
    def ask_for_missing(self, behind: int, limit: int) -> None:
        start = max(1, self.head - behind)
        self.begin("MissingUpdates", epoch=1, from_seq=start, limit=limit)
        while self.pending:
            self.go_on()
        sent = self.pipeline.batches(*ENDPOINT, f"MissingUpdates{self.count}")
        seqs = [one["seq"] for batch in sent for one in batch["updates"]]
        assert seqs == list(range(start, min(self.head, start + limit - 1) + 1))

    # What must hold.

    @invariant()
    def every_seq_owed_came_exactly_once_and_in_order(self) -> None:
        """Q6, Q8, Q16: nothing more, nothing less, on the route and the replay together."""
        if self.pending is None:
            assert self.got() == self.owed
        else:
            got = self.got()
            assert len(got) == len(set(got))

    @invariant()
    def a_seq_is_on_the_route_once_in_all(self) -> None:
        """Q16: at most once an attachment, and, as attachments begin above the head, at most once."""
        routed = self.routed()
        assert routed == sorted(set(routed))

    @invariant()
    def the_row_says_how_far_it_is(self) -> None:
        """The pointers that a successor would read are those of the model."""
        if self.pending is None and self.is_registered:
            (endpoint,) = self.stages.replay._endpoints.get("bob")
            assert endpoint.acked == self.acked
            assert endpoint.is_attached == self.is_attached
            if self.is_attached:
                assert endpoint.sent_until(self.head) == self.last
                assert endpoint.is_parked == (self.last < self.head)


TestAttachments = Attachments.TestCase
TestAttachments.settings = settings(
    max_examples=30,
    stateful_step_count=25,
    phases=[Phase.generate, Phase.shrink],  # explaining a failure takes longer than finding it
)
TestAttachments.__doc__ = "Q6, Q8, Q16: see the machine."


def test_random_walks_through_attachments(seed: int) -> None:
    """Q6, Q8, Q16: longer histories than Hypothesis makes, mostly appends and acknowledgements of readers."""
    random = Random(seed)
    for _ in range(60):
        machine = Attachments()
        try:
            machine.begin_attached(random.choice((1, 1, 3, 5, 0)))
            for _ in range(30):
                walk(machine, random)
                machine.every_seq_owed_came_exactly_once_and_in_order()
                machine.a_seq_is_on_the_route_once_in_all()
                machine.the_row_says_how_far_it_is()
        finally:
            machine.teardown()


def walk(machine: Attachments, random: Random) -> None:
    """Take one step of a history."""
    what = random.random()
    if what < 0.4:
        machine.append(random.randint(1, 4))
    elif machine.pending:
        machine.step()
    elif what < 0.8:
        machine.acknowledge(random.randint(-2, 6))
    elif what < 0.86:
        machine.register(random.choice((0, 1, 3, 8)))
    elif what < 0.96:
        machine.attach(random.choice((None, 0, 3, 9)))
    else:
        machine.detach()
