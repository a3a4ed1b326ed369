"""The replay stage with the others over a shard in memory (streams/replay/stage.py)."""

from __future__ import annotations

from typing import Any

import pytest

from streams.adapters.memory import MemoryRecord
from streams.ids import shard_of
from streams.limits import EXPANSION_STEP, REPLAY_BATCH_UPDATES
from streams.ports import DONE
from streams.replay.stage import STEP_BATCHES, ReplayStage
from streams.tables import QUEUE
from tests.fixtures.pipeline import (
    CODEC,
    ROUTES,
    Pipeline,
    append_record,
    attached,
    command_record,
    decoded,
    form,
    post,
    registered,
    replace_value,
)


def with_inbox(count: int, **pipeline: Any) -> Pipeline:
    """A pipeline in which bob's inbox holds so many updates."""
    made = Pipeline(**pipeline)
    stages = made.shards[0]
    for nonce in range(1, count + 1):
        stages.shard.run(stages.sequencer, append_record("bob", nonce=nonce))
    return made


def append(pipeline: Pipeline, nonce: int) -> None:
    stages = pipeline.shards[0]
    stages.shard.run(stages.sequencer, append_record("bob", nonce=nonce))


def batches(pipeline: Pipeline, answer: Any) -> list[dict[str, Any]]:
    return pipeline.batches("bob", "phone", answer["command_id"])


def replayed_seqs(pipeline: Pipeline, answer: Any) -> list[int]:
    return [one["seq"] for batch in batches(pipeline, answer) for one in batch["updates"]]


def routed_seqs(pipeline: Pipeline) -> list[int]:
    return [one["seq"] for one in pipeline.routed("bob", "phone")]


def test_an_endpoint_that_returns_gets_exactly_what_it_missed_in_bounded_batches() -> None:
    """Q6: from its pointer to the head, in order, on replay.updates only; what comes then is on its route."""
    pipeline = with_inbox(3)
    attached(pipeline, "bob", "phone")
    pipeline.command("bob", "phone", "Ack", epoch=1, seq=3)
    pipeline.command("bob", "phone", "Detach")
    for nonce in range(250):
        append(pipeline, nonce)
    answer = pipeline.command("bob", "phone", "Attach", position=None)
    assert (answer["code"], answer["attached_from_seq"], answer["head"], answer["epoch"]) == ("OK", 4, 253, 1)
    assert replayed_seqs(pipeline, answer) == list(range(4, 254))
    got = batches(pipeline, answer)
    assert [(one["seq_first"], one["seq"], one["has_more"]) for one in got] == [
        (4, 103, True),
        (104, 203, True),
        (204, 253, False),
    ]
    assert all(len(one["updates"]) <= REPLAY_BATCH_UPDATES for one in got)
    append(pipeline, 1)
    assert routed_seqs(pipeline) == [254]


def test_what_was_sent_and_not_acknowledged_is_sent_again() -> None:
    """Q8: an endpoint that died after it was sent 5 and acknowledged 2 gets 3 to 5 when it returns."""
    pipeline = Pipeline()
    attached(pipeline, "bob", "phone")
    for nonce in range(5):
        append(pipeline, nonce)
    assert routed_seqs(pipeline) == [1, 2, 3, 4, 5]
    pipeline.command("bob", "phone", "Ack", epoch=1, seq=2)
    answer = pipeline.command("bob", "phone", "Attach", position=None)
    assert replayed_seqs(pipeline, answer) == [3, 4, 5]
    answer = pipeline.command("bob", "phone", "Attach", position={"epoch": 1, "seq": 4})
    assert replayed_seqs(pipeline, answer) == [5]
    append(pipeline, 6)
    assert routed_seqs(pipeline) == [1, 2, 3, 4, 5, 6]


def test_a_long_replay_is_bounded_steps_and_a_kill_resumes() -> None:
    """Q6, Q8: after each step a new process goes on; what comes meanwhile is live, none twice."""
    count = 3 * EXPANSION_STEP + 5
    pipeline = with_inbox(count)
    registered(pipeline, "bob", "phone")
    stages = pipeline.shards[0]
    record = command_record("bob", "phone", ("Attach", {"position": None}), command_id="long")
    cursor, steps = stages.shard.run(stages.replay, record, steps_max=1), 1
    while cursor != DONE:
        append(pipeline, steps)
        before = len(stages.shard.outputs)
        fresh = ReplayStage(stages.shard, CODEC, stages.delivery.sender, ROUTES)
        cursor = stages.shard.run(fresh, record, cursor=cursor, steps_max=1)
        assert len(stages.shard.outputs) - before <= STEP_BATCHES
        steps += 1
    assert steps == 4
    assert replayed_seqs(pipeline, {"command_id": "long"}) == list(range(1, count + 1))
    assert routed_seqs(pipeline) == [count + 1, count + 2, count + 3]
    answers = [one for one in pipeline.replayed("bob", "phone") if one["record"] == "CommandResult"]
    assert [one["command_id"] for one in answers].count("long") == 1


def test_an_acknowledgement_resumes_a_parked_endpoint_behind_what_was_sent() -> None:
    """Q16: no seq twice, one wake-up each time the window is full, live again at the head."""
    pipeline = Pipeline()
    attached(pipeline, "bob", "phone", window=3)
    for nonce in range(8):
        append(pipeline, nonce)
    assert routed_seqs(pipeline) == [1, 2, 3]
    pipeline.command("bob", "phone", "Ack", epoch=1, seq=2)
    assert routed_seqs(pipeline) == [1, 2, 3, 4, 5]
    pipeline.command("bob", "phone", "Ack", epoch=1, seq=2)
    pipeline.command("bob", "phone", "Ack", epoch=1, seq=5)
    assert routed_seqs(pipeline) == [1, 2, 3, 4, 5, 6, 7, 8]
    wakes = [one["sent_seq"] for one in pipeline.replayed("bob", "phone") if one["record"] == "WakeUp"]
    assert wakes == [3, 5]
    pipeline.command("bob", "phone", "Ack", epoch=1, seq=8)
    for nonce in range(2):
        append(pipeline, nonce)
    assert routed_seqs(pipeline) == list(range(1, 11))


def test_a_long_resumption_is_bounded_steps_and_a_kill_resumes() -> None:
    """Q16, Q8: what comes between two steps of a resumption waits its turn: order, and each seq once."""
    pipeline = Pipeline()
    attached(pipeline, "bob", "phone", window=1)
    for nonce in range(2 * EXPANSION_STEP + 5):
        append(pipeline, nonce)
    stages = pipeline.shards[0]
    record = command_record(
        "bob",
        "phone",
        (
            "Register",
            {**CODEC.decode_as("EndpointCommand", command_of_register())["command"][1], "window": 0},
        ),
    )
    cursor, steps = stages.shard.run(stages.replay, record, steps_max=1), 1
    while cursor != DONE:
        append(pipeline, steps)
        fresh = ReplayStage(stages.shard, CODEC, stages.delivery.sender, ROUTES)
        cursor = stages.shard.run(fresh, record, cursor=cursor, steps_max=1)
        steps += 1
    append(pipeline, 0)
    assert steps == 3
    assert routed_seqs(pipeline) == list(range(1, 2 * EXPANSION_STEP + 5 + 3 + 1))


def command_of_register() -> bytes:
    defaults = {"locale": "", "app_version": "", "capabilities": [], "media_width_max": 0}
    fields = {**defaults, "encoding": "avro", "route": "", "window": 0}
    value = command_record("bob", "phone", ("Register", fields)).value
    assert value is not None
    return value


def test_missing_updates_are_sent_to_who_asks_attached_or_not() -> None:
    """Q6: a range again, customised for the endpoint as it is now; its row stays as it was."""
    pipeline = Pipeline()
    registered(pipeline, "bob", "phone", locale="en")
    pipeline.send("t", "ann", form("member_joined", name="Zoé"), ["bob"])
    pipeline.send("t", "ann")
    registered(pipeline, "bob", "phone", locale="fr")
    rows = dict(pipeline.shards[0].shard.state.rows)
    answer = pipeline.command("bob", "phone", "MissingUpdates", epoch=1, from_seq=1, limit=1)
    (batch,) = batches(pipeline, answer)
    assert (answer["code"], answer["head"], answer["attached_from_seq"]) == ("OK", 2, None)
    assert batch["updates"][0]["content"][1]["text"] == "Zoé a rejoint la conversation."
    assert (batch["seq_first"], batch["seq"], batch["has_more"]) == (1, 1, False)
    assert pipeline.shards[0].shard.state.rows == rows


def test_a_replayed_update_is_the_one_that_was_sent() -> None:
    """Customising again gives the same fields, the token of an own update too."""
    pipeline = Pipeline()
    attached(pipeline, "ann", "tab", locale="fr")
    pipeline.send("t", "ann", form("member_joined", name="Zoé"), ["bob"])
    pipeline.send("t", "bob")
    answer = pipeline.command("ann", "tab", "MissingUpdates", epoch=1, from_seq=1, limit=10)
    (batch,) = pipeline.batches("ann", "tab", answer["command_id"])
    live = [{name: one[name] for name in one if name != "record"} for one in pipeline.routed("ann", "tab")]
    assert batch["updates"] == live


def lose_rows(pipeline: Pipeline, seqs: range) -> None:
    for seq in seqs:
        del pipeline.shards[0].shard.state.rows[QUEUE.byte + b"bob\0" + seq.to_bytes(8, "big")]


def test_a_range_whose_rows_are_gone_is_refused_not_sent_with_a_hole() -> None:
    """Rows that a trimmed log could not restore are below the kept range, whatever the position says."""
    pipeline = with_inbox(10)
    registered(pipeline, "bob", "phone")
    lose_rows(pipeline, range(1, 4))
    answer = pipeline.command("bob", "phone", "MissingUpdates", epoch=1, from_seq=2, limit=5)
    assert answer["code"] == "BELOW_KEPT"
    assert not batches(pipeline, answer)
    answer = pipeline.command("bob", "phone", "Attach", position=None)
    assert (answer["code"], answer["attached_from_seq"]) == ("BELOW_KEPT", None)
    append(pipeline, 11)
    assert routed_seqs(pipeline) == []
    answer = pipeline.command("bob", "phone", "Attach", position={"epoch": 1, "seq": 3})
    assert replayed_seqs(pipeline, answer) == list(range(4, 12))


def test_a_row_that_is_missing_in_the_middle_is_a_tombstone() -> None:
    """Numbers stay dense, and the endpoint sees that something is gone."""
    pipeline = with_inbox(6)
    registered(pipeline, "bob", "phone")
    lose_rows(pipeline, range(3, 5))
    answer = pipeline.command("bob", "phone", "MissingUpdates", epoch=1, from_seq=1, limit=10)
    (batch,) = batches(pipeline, answer)
    kinds = [(one["seq"], one["kind"]) for one in batch["updates"]]
    assert kinds == [(1, "post"), (2, "post"), (3, "tombstone"), (4, "tombstone"), (5, "post"), (6, "post")]
    assert batch["updates"][2]["content"][1]["reason"] == "BELOW_KEPT"


def test_a_parked_endpoint_meets_missing_rows_as_tombstones_on_its_route() -> None:
    """Q16: behind its sent pointer every seq comes once, gone or not."""
    pipeline = Pipeline()
    attached(pipeline, "bob", "phone", window=2)
    for nonce in range(6):
        append(pipeline, nonce)
    lose_rows(pipeline, range(4, 5))
    pipeline.command("bob", "phone", "Ack", epoch=1, seq=2)
    assert [(one["seq"], one["kind"]) for one in pipeline.routed("bob", "phone")][-2:] == [
        (3, "post"),
        (4, "tombstone"),
    ]


def test_batches_are_made_smaller_where_the_topic_takes_less() -> None:
    """A batch that does not fit is sent in halves, an update that does not as a tombstone."""
    pipeline = Pipeline(record_bytes_max=1_000)
    registered(pipeline, "bob", "p" * 100)
    stages = pipeline.shards[0]
    for nonce in range(1, 8):
        content = post(b"x" * (320 if nonce == 4 else 10))
        stages.shard.run(stages.sequencer, append_record("bob", nonce=nonce, content=content))
    answer = pipeline.command("bob", "p" * 100, "MissingUpdates", epoch=1, from_seq=1, limit=50)
    got = pipeline.batches("bob", "p" * 100, answer["command_id"])
    updates = [one for batch in got for one in batch["updates"]]
    assert [one["seq"] for one in updates] == list(range(1, 8))
    assert {one["seq"]: one["content"][1]["reason"] for one in updates if one["kind"] == "tombstone"} == {
        4: "OVERSIZE"
    }
    assert [one["has_more"] for one in got] == [True] * (len(got) - 1) + [False]


@pytest.mark.parametrize("name", ["Unregister", "Attach", "Detach", "Ack", "MissingUpdates", "Snapshot"])
def test_a_command_for_an_endpoint_that_is_not_registered_is_refused(name: str) -> None:
    """Only a register makes an endpoint known."""
    fields: dict[str, dict[str, Any]] = {
        "Attach": {"position": None},
        "Ack": {"epoch": 1, "seq": 0},
        "MissingUpdates": {"epoch": 1, "from_seq": 1, "limit": 1},
    }
    pipeline = Pipeline()
    answer = pipeline.command("bob", "phone", name, **fields.get(name, {}))
    assert (answer["code"], answer["account_id"], answer["endpoint_id"]) == (
        "UNKNOWN_ENDPOINT",
        "bob",
        "phone",
    )
    assert not pipeline.shards[0].shard.state.rows


def test_an_endpoint_that_is_unregistered_is_forgotten() -> None:
    """It gets nothing more, is unknown, and leaves no row when it was the last."""
    pipeline = with_inbox(1)
    attached(pipeline, "bob", "phone")
    attached(pipeline, "bob", "tab")
    assert pipeline.command("bob", "phone", "Unregister")["code"] == "OK"
    append(pipeline, 2)
    assert routed_seqs(pipeline) == []
    assert [one["seq"] for one in pipeline.routed("bob", "tab")] == [2]
    assert pipeline.command("bob", "phone", "Detach")["code"] == "UNKNOWN_ENDPOINT"
    pipeline.command("bob", "tab", "Unregister")
    assert not [key for key in pipeline.shards[0].shard.state.rows if key[:1] == b"\x21"]


def test_a_snapshot_is_not_made_yet() -> None:
    """The command is known and answered, with a code that says so."""
    pipeline = Pipeline()
    registered(pipeline, "bob", "phone")
    assert pipeline.command("bob", "phone", "Snapshot")["code"] == "UNSUPPORTED"


def test_a_command_id_that_is_none_is_answered_rejected() -> None:
    """The endpoint is known, so it hears of it; the answer repeats no more than an id's length."""
    pipeline = Pipeline()
    registered(pipeline, "bob", "phone")
    for command_id in ("", "x" * 100_000, "a\0b"):
        pipeline.process(command_record("bob", "phone", ("Detach", {}), command_id=command_id))
        answer = pipeline.replayed("bob", "phone")[-1]
        assert (answer["code"], answer["command_id"]) == ("REJECTED", command_id[:128])


def test_what_is_no_command_of_this_shard_is_a_dead_letter() -> None:
    """Undecodable bytes, unknown schema, no key, another key, another shard's account, ids that are none."""
    pipeline = Pipeline(shards=4)
    stages = pipeline.shards[shard_of("bob", 4)]
    good = command_record("bob", "phone", ("Unregister", {}), shards=4)
    assert good.value is not None
    other = next(name for name in "abcdefgh" if shard_of(name, 4) != shard_of("bob", 4))
    bad = {
        "UNDECODABLE": [
            replace_value(good, None),
            replace_value(good, b"junk"),
            replace_value(good, good.value[:-1]),
        ],
        "UNKNOWN_SCHEMA": [replace_value(good, b"\xc3\x01" + bytes(8))],
        "MISSING_KEY": [MemoryRecord(good.topic, key, good.value, good.partition) for key in (None, b"ann")],
        "WRONG_PARTITION": [command_record(other, "phone", ("Unregister", {}), shards=4)],
        "ID_EMPTY": [command_record("bob", "", ("Unregister", {}), shards=4)],
        "ID_TOO_LONG": [command_record("bob", "x" * 129, ("Unregister", {}), shards=4)],
        "ID_CONTROL_CHARACTER": [command_record("bob", "a\0b", ("Unregister", {}), shards=4)],
    }
    for code, records in bad.items():
        for record in records:
            assert stages.shard.run(stages.replay, record) == DONE
            assert stages.shard.dead[-1].code == code
            assert stages.shard.dead[-1].record == record
    assert decoded(stages.shard.outputs) == []
    assert not stages.shard.state.rows
