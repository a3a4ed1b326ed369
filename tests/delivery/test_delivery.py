"""The delivery stage behind the sequencer, over a shard in memory (streams/delivery/stage.py, sending.py)."""

from __future__ import annotations

import pytest

from streams.ids import delivery_key, shard_of
from streams.tables import ENDPOINTS
from tests.fixtures.pipeline import (
    Pipeline,
    attached,
    edit,
    form,
    mark_read,
    operation_record,
    post,
    registered,
)


def seqs(updates: list[dict[str, object]]) -> list[object]:
    return [one["seq"] for one in updates]


def test_each_attached_endpoint_gets_its_own_update_on_its_route() -> None:
    """Q2: same seq, different text, one canonical entry; key and partition are those of the account."""
    pipeline = Pipeline(shards=4)
    attached(pipeline, "bob", "phone", locale="fr")
    attached(pipeline, "bob", "tab", route="web")
    pipeline.send("t", "ann", form("member_left", name="Zoé"), ["bob"])
    (phone,), (tab,) = pipeline.routed("bob", "phone"), pipeline.routed("bob", "tab")
    assert phone["content"][1]["text"] == "Zoé a quitté la conversation."
    assert tab["content"][1]["text"] == "Zoé left the conversation."
    assert phone["seq"] == tab["seq"] == 1
    (canonical,) = pipeline.inbox("bob")
    assert canonical["content"] == form("member_left", name="Zoé")
    sent = [
        one for shard in pipeline.shards for one in shard.shard.outputs if one.topic.startswith("delivery.")
    ]
    assert [(one.topic, one.key, one.partition) for one in sent] == [
        ("delivery.mobile", delivery_key("bob", "phone"), shard_of("bob", 4)),
        ("delivery.web", delivery_key("bob", "tab"), shard_of("bob", 4)),
    ]


def test_the_senders_other_endpoints_are_recipients_too() -> None:
    """They get the update with its token, recipients get it without."""
    pipeline = Pipeline()
    attached(pipeline, "ann", "tab")
    attached(pipeline, "bob", "phone")
    pipeline.send("t", "ann", recipients=["bob"])
    assert pipeline.routed("ann", "tab")[0]["token"] is not None
    assert pipeline.routed("bob", "phone")[0]["token"] is None


def test_every_endpoint_of_an_account_ends_at_the_same_seq() -> None:
    """Q5: what is filtered for one is a noop of the same number."""
    pipeline = Pipeline()
    attached(pipeline, "bob", "old")
    attached(pipeline, "bob", "new", capabilities=["read_receipts"])
    message = pipeline.send("t", "ann", recipients=["bob"])
    pipeline.send("t", "ann", mark_read(message))
    pipeline.send("t", "ann", edit(message))
    assert [(one["seq"], one["kind"]) for one in pipeline.routed("bob", "old")] == [
        (1, "post"),
        (2, "noop"),
        (3, "edit"),
    ]
    assert [(one["seq"], one["kind"]) for one in pipeline.routed("bob", "new")] == [
        (1, "post"),
        (2, "mark_read"),
        (3, "edit"),
    ]


def test_a_detached_endpoint_gets_nothing_and_holds_nobody_up() -> None:
    """Q6: its pointer stays while the other endpoint, the inbox and storage move on."""
    pipeline = Pipeline()
    attached(pipeline, "bob", "here")
    registered(pipeline, "bob", "away")
    for _ in range(3):
        pipeline.send("t", "ann", recipients=["bob"])
    assert seqs(pipeline.routed("bob", "here")) == [1, 2, 3]
    assert pipeline.routed("bob", "away") == []
    assert len(pipeline.of("thread.messages")) == len(pipeline.inbox("bob")) == 3


def test_storage_does_not_wait_for_delivery() -> None:
    """Q7: with every inbox standing still, storage gets each operation; the inboxes catch up later."""
    pipeline = Pipeline()
    attached(pipeline, "bob", "phone")
    shard, fanout = pipeline.shards[0].shard, pipeline.shards[0].fanout
    for nonce in range(3):
        shard.run(fanout, operation_record("t", "ann", post(), nonce=nonce, recipients=["bob"]))
    assert [one["thread_position"] for one in pipeline.of("thread.messages")] == [1, 2, 3]
    assert pipeline.routed("bob", "phone") == []
    pipeline.collect()
    pipeline.drain()
    assert seqs(pipeline.routed("bob", "phone")) == [1, 2, 3]


def test_delivery_does_not_wait_for_storage() -> None:
    """Q7: with nobody reading thread.messages, every endpoint is served."""
    pipeline = Pipeline()
    attached(pipeline, "bob", "phone")
    for _ in range(3):
        pipeline.send("t", "ann", recipients=["bob"])
    assert not [one for one in pipeline.shards[0].by_topic if one == "thread.messages"]
    assert seqs(pipeline.routed("bob", "phone")) == [1, 2, 3]


@pytest.mark.parametrize("window", [0, 5])
def test_a_delivery_to_a_live_endpoint_writes_no_endpoint_row(window: int) -> None:
    """The sent pointer of a live endpoint is the inbox's head."""
    pipeline = Pipeline()
    attached(pipeline, "bob", "phone", window=window)
    state = pipeline.shards[0].shard.state
    before = state.rows[ENDPOINTS.byte + b"bob"]
    pipeline.send("t", "ann", recipients=["bob"])
    assert state.rows[ENDPOINTS.byte + b"bob"] is before


def test_a_full_window_parks_the_endpoint_with_one_wake_up() -> None:
    """Q16: after window updates without an acknowledgement nothing more is sent, and that is said once."""
    pipeline = Pipeline()
    attached(pipeline, "bob", "slow", window=2)
    attached(pipeline, "bob", "quick")
    for _ in range(5):
        pipeline.send("t", "ann", recipients=["bob"])
    assert seqs(pipeline.routed("bob", "slow")) == [1, 2]
    assert seqs(pipeline.routed("bob", "quick")) == [1, 2, 3, 4, 5]
    wakes = [one for one in pipeline.replayed("bob", "slow") if one["record"] == "WakeUp"]
    assert [(one["epoch"], one["sent_seq"]) for one in wakes] == [(1, 2)]
    assert pipeline.shards[0].shard.counters["delivery.parked"] == 1


def test_a_fallback_is_counted_and_nothing_stalls() -> None:
    """Q17: a form that nobody knows is delivered as the fallback text, and what follows is delivered too."""
    pipeline = Pipeline()
    attached(pipeline, "bob", "phone", locale="", route="")
    pipeline.send("t", "ann", form("no_such_form"), ["bob"])
    pipeline.send("t", "ann")
    assert [one["kind"] for one in pipeline.routed("bob", "phone")] == ["post_form", "post"]
    assert pipeline.shards[0].shard.counters["delivery.fallbacks"] == 1


def test_an_update_that_does_not_fit_the_route_is_a_tombstone_of_its_seq() -> None:
    """The endpoint's long id makes its update larger than the canonical one, which just fits."""
    pipeline = Pipeline(record_bytes_max=1_000)
    attached(pipeline, "bob", "e" * 128)
    pipeline.send("t", "ann", recipients=["bob"])
    body = ("lockstep.Post", {"content_type": "text/plain", "body": b"x" * 330, "media": []})
    pipeline.send("t", "ann", body)
    pipeline.send("t", "ann")
    assert [one["kind"] for one in pipeline.inbox("bob")] == ["post", "post", "post"]
    got = pipeline.routed("bob", "e" * 128)
    assert [(one["seq"], one["kind"]) for one in got] == [(1, "post"), (2, "tombstone"), (3, "post")]
    assert got[1]["content"][1] == {"reason": "OVERSIZE"}
    assert pipeline.shards[0].shard.counters["delivery.replaced"] == 1
