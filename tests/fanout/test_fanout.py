"""The fanout stage over a shard in memory (streams/fanout/stage.py)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from streams.adapters.memory import MemoryRecord, MemoryShard
from streams.fanout.stage import FanoutStage
from streams.ids import Token, message_id, shard_of
from streams.limits import EXPANSION_STEP, EXPANSION_STEP_BYTES, RECORD_BYTES_MAX
from streams.ports import DONE
from streams.tables.threads import Thread, ThreadsTable
from tests.fixtures.pipeline import (
    CODEC,
    change,
    decoded,
    delete,
    edit,
    form,
    operation_record,
    post,
    replace_value,
)


class Thread1:
    """One thread's shard and its fanout."""

    def __init__(self, **shard: Any) -> None:
        self.shard = MemoryShard(**shard)
        self.stage = FanoutStage(self.shard, CODEC)
        self.nonce = 0

    def run(
        self, sender: str, operation: Any = None, recipients: Any = None, thread: str = "t"
    ) -> MemoryRecord:
        self.nonce += 1
        record = operation_record(
            thread, sender, operation or post(), nonce=self.nonce, recipients=recipients
        )
        self.shard.run(self.stage, record)
        return record

    def of(self, topic: str) -> list[dict[str, Any]]:
        return decoded(self.shard.outputs, topic)

    def appended(self) -> list[str]:
        """Accounts that got the latest operation."""
        return [
            one["account_id"] for one in self.of("inbox.appends") if one["thread_position"] == self.position
        ]

    @property
    def position(self) -> int:
        return int(self.of("thread.messages")[-1]["thread_position"])


def test_an_admitted_operation_goes_to_storage_and_to_every_member() -> None:
    """Everyone gets the same entry under the same position; only the sender's own carries the token."""
    thread = Thread1()
    thread.run("ann", post(b"hi"), ["bob", "eve"])
    (message,) = thread.of("thread.messages")
    assert message["created_with"] == ["ann", "bob", "eve"]
    assert (message["thread_position"], message["kind"], message["content"][1]["body"]) == (1, "post", b"hi")
    appends = thread.of("inbox.appends")
    assert {one["account_id"]: one["token"] and one["token"]["nonce"] for one in appends} == {
        "ann": 1,
        "bob": None,
        "eve": None,
    }
    shared = ("message_id", "thread_id", "thread_position", "sender_id", "server_at_ms", "kind", "content")
    assert all(one[name] == message[name] for one in appends for name in shared)


def test_positions_of_a_thread_are_dense_and_threads_are_apart() -> None:
    """Every admitted operation gets the next position of its thread, refused ones get none."""
    thread = Thread1()
    thread.run("ann", recipients=["bob"])
    thread.run("eve")
    thread.run("bob", form("welcome", name="Ann"))
    thread.run("ann", recipients=["bob"], thread="other")
    thread.run("ann")
    messages = thread.of("thread.messages")
    assert [(one["thread_id"], one["thread_position"]) for one in messages] == [
        ("t", 1),
        ("t", 2),
        ("other", 1),
        ("t", 3),
    ]
    assert messages[1]["created_with"] is None
    assert messages[1]["content"] == form("welcome", name="Ann")


def test_records_go_to_the_shard_of_their_key() -> None:
    """Appends and refusals carry the key and the partition of their account, messages those of the thread."""
    number = shard_of("t", 4)
    thread = Thread1(number=number, shards=4)
    record = operation_record("t", "ann", post(), recipients=["bob", "eve"], shards=4)
    thread.shard.run(thread.stage, record)
    thread.shard.run(thread.stage, operation_record("t", "zoe", post(), shards=4))
    assert {(one.topic, one.key, one.partition) for one in thread.shard.outputs} == {
        ("thread.messages", b"t", number),
        *(("inbox.appends", name.encode(), shard_of(name, 4)) for name in ("ann", "bob", "eve")),
        ("ingest.refusals", b"zoe", shard_of("zoe", 4)),
    }


@pytest.mark.parametrize(
    ("sender", "operation", "code"),
    [
        ("zoe", post(), "NOT_A_MEMBER"),
        ("bob", edit(message_id("ann", "phone", Token(1, 1))), "NOT_THE_AUTHOR"),
        ("bob", delete(message_id("ann", "phone", Token(1, 1))), "NOT_THE_AUTHOR"),
    ],
)
def test_a_refusal_is_all_that_comes_of_a_refused_operation(sender: str, operation: Any, code: str) -> None:
    """Q21: the sender's shard gets the code with the token; no member gets anything and no row changes."""
    thread = Thread1()
    thread.run("ann", recipients=["bob"])
    rows, sent = dict(thread.shard.state.rows), len(thread.shard.outputs)
    thread.run(sender, operation)
    assert thread.shard.state.rows == rows
    (refused,) = decoded(thread.shard.outputs[sent:])
    assert refused["record"] == "Refusal"
    assert (refused["account_id"], refused["endpoint_id"], refused["code"]) == (sender, "phone", code)
    assert refused["token"]["nonce"] == thread.nonce


def test_an_edit_of_a_message_that_nobody_has_is_admitted() -> None:
    """Q21: it is harmless to readers, so asking whether it exists is not worth a table of all messages."""
    thread = Thread1()
    thread.run("ann", recipients=["bob"])
    thread.run("ann", edit(message_id("ann", "phone", Token(1, 99))))
    assert thread.appended() == ["ann", "bob"]


def test_a_removed_member_gets_the_update_that_says_so_and_nothing_after_it() -> None:
    """Q21: who is added gets that update and all after it, who is removed that update and none after it."""
    thread = Thread1()
    thread.run("ann", recipients=["bob"])
    thread.run("ann", change(["eve"], ["bob"]))
    assert sorted(thread.appended()) == ["ann", "bob", "eve"]
    thread.run("eve")
    assert sorted(thread.appended()) == ["ann", "eve"]
    thread.run("bob")
    assert thread.of("ingest.refusals")[-1]["code"] == "NOT_A_MEMBER"
    thread.run("ann", change([], ["ann"]))
    assert sorted(thread.appended()) == ["ann", "eve"]
    own = [one for one in thread.of("inbox.appends") if one["account_id"] == "ann"][-1]
    assert own["token"]["nonce"] == thread.nonce


def big_thread(count: int) -> Thread1:
    thread = Thread1()
    thread.run("m0", recipients=["m1"])
    members = ThreadsTable(thread.shard.state).members("t", Thread(1, 2))
    members.add([f"m{number}" for number in range(2, count)], 1)
    ThreadsTable(thread.shard.state).put("t", Thread(1, count))
    thread.shard.outputs.clear()
    return thread


@pytest.mark.parametrize("kill_every", [1, 7])
def test_a_huge_thread_is_expanded_in_bounded_steps_and_a_kill_resumes(kill_every: int) -> None:
    """Q15: 100,000 members, no step above the limit, a new process after each kill, each exactly once."""
    thread = big_thread(100_000)
    record = operation_record("t", "m5", post(b"to all"), nonce=9)
    cursor, steps = thread.shard.run(thread.stage, record, steps_max=kill_every), 1
    assert len(thread.shard.outputs) <= kill_every * EXPANSION_STEP + 1
    while cursor != DONE:
        before = len(thread.shard.outputs)
        fresh = FanoutStage(thread.shard, CODEC)
        cursor = thread.shard.run(fresh, record, cursor=cursor, steps_max=kill_every)
        assert len(thread.shard.outputs) - before <= kill_every * EXPANSION_STEP
        steps += 1
    assert steps >= 100_000 / EXPANSION_STEP / kill_every
    got = Counter(one.key for one in thread.shard.outputs if one.topic == "inbox.appends")
    assert got == {f"m{number}".encode(): 1 for number in range(100_000)}
    assert len([one for one in thread.shard.outputs if one.topic == "thread.messages"]) == 1


def test_a_step_of_a_large_operation_has_fewer_members_so_that_it_has_no_more_bytes() -> None:
    """Q15: what a step holds in memory is bounded by bytes too; each member still gets the operation once."""
    thread = big_thread(300)
    record = operation_record("t", "m5", post(b"x" * 60_000), nonce=9)
    cursor, before = thread.shard.run(thread.stage, record, steps_max=1), 0
    while before < len(thread.shard.outputs):
        step, before = thread.shard.outputs[before:], len(thread.shard.outputs)
        if cursor != DONE:
            cursor = thread.shard.run(FanoutStage(thread.shard, CODEC), record, cursor=cursor, steps_max=1)
        assert 0 < sum(len(one.value) for one in step) < EXPANSION_STEP_BYTES + RECORD_BYTES_MAX
    got = Counter(one.key for one in thread.shard.outputs if one.topic == "inbox.appends")
    assert got == {f"m{number}".encode(): 1 for number in range(300)}


def test_a_kill_amid_a_change_of_members_resumes_exactly() -> None:
    """Q15: added, removed and staying members each get the one entry, whatever step a kill follows."""
    thread = big_thread(3_500)
    added = [f"n{number}" for number in range(1_000)]
    removed = [f"m{number}" for number in range(1_000, 2_000)]
    record = operation_record("t", "m0", change(added, removed), nonce=9)
    cursor = thread.shard.run(thread.stage, record, steps_max=1)
    while cursor != DONE:
        cursor = thread.shard.run(FanoutStage(thread.shard, CODEC), record, cursor=cursor, steps_max=1)
    got = Counter(one.key.decode() for one in thread.shard.outputs if one.topic == "inbox.appends")
    assert got == dict.fromkeys([*added, *(f"m{number}" for number in range(3_500))], 1)
    thread.shard.outputs.clear()
    thread.shard.run(thread.stage, operation_record("t", "m0", post(), nonce=10))
    got = Counter(one.key.decode() for one in thread.shard.outputs if one.topic == "inbox.appends")
    assert got == dict.fromkeys({*added, *(f"m{number}" for number in range(3_500))} - {*removed}, 1)


def test_an_append_that_does_not_fit_its_topic_is_a_tombstone() -> None:
    """The member keeps exactly one entry for the position, the thread goes on."""
    thread = Thread1()
    thread.run("ann", post(b"x" * 400), ["b" * 120])
    size = max(len(one.key) + len(one.value) for one in thread.shard.outputs)
    bounded = Thread1(record_bytes_max=size + 512 - 1)
    bounded.run("ann", post(b"x"), ["b" * 120])
    bounded.run("ann", post(b"x" * 400))
    second = [one for one in bounded.of("inbox.appends") if one["thread_position"] == 2]
    kinds = {one["account_id"]: one["kind"] for one in second}
    assert kinds == {"ann": "post", "b" * 120: "tombstone"}
    assert bounded.shard.counters["fanout.oversize"] == 1


def test_what_is_no_operation_of_this_shard_is_a_dead_letter() -> None:
    """Undecodable bytes, another record, no key, another key, another shard's thread: no other effect."""
    thread = Thread1(number=shard_of("t", 4), shards=4)
    good = operation_record("t", "ann", post(), recipients=["bob"], shards=4)
    assert good.value is not None
    elsewhere = next(name for name in "abcdefgh" if shard_of(name, 4) != thread.shard.number)
    bad = {
        "UNDECODABLE": [
            replace_value(good, None),
            replace_value(good, b""),
            replace_value(good, good.value[:40]),
            replace_value(good, CODEC["Delete"].encode({"message_id": bytes(16)})),
        ],
        "UNKNOWN_SCHEMA": [replace_value(good, b"\xc3\x01" + bytes(8) + good.value[10:])],
        "MISSING_KEY": [
            MemoryRecord(good.topic, None, good.value, good.partition),
            MemoryRecord(good.topic, b"other", good.value, good.partition),
        ],
        "WRONG_PARTITION": [operation_record(elsewhere, "ann", post(), recipients=["bob"], shards=4)],
    }
    for code, records in bad.items():
        for record in records:
            assert thread.shard.run(thread.stage, record) == DONE
            assert thread.shard.dead[-1].code == code
    assert not thread.shard.outputs
    assert not thread.shard.state.rows
