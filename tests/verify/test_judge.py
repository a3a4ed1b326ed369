"""The verdict: a right world is ok to the last number, and each fault, planted once, is found and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from streams.client import Request, post
from streams.ids import Token, delivery_key
from streams.verify.judge import StoreFindings
from streams.verify.report import FAULTS
from tests.verify.world import CODEC, World, busy_world

ANN_PHONE = delivery_key("ann", "phone")
ANN_TABLET = delivery_key("ann", "tablet")


async def test_a_right_world_is_ok_and_its_counters_are_those_of_the_records() -> None:
    report = await busy_world().verdict()
    assert report.offenders == {}
    assert report.ok
    counted = {
        "requests": 15, "distinct_tokens": 13, "accepted": 13, "duplicates": 1, "refused": 1, "admitted": 12,
        "dead_letters": 0, "bodies_without_metadata": None, "metadata_without_body": None,
    }  # fmt: skip
    assert {name: report.counters[name] for name in counted} == counted
    assert report.to_json()["ok"] is True


async def test_an_empty_cluster_is_ok() -> None:
    assert (await World().verdict()).ok


async def test_a_window_owes_no_more_than_it_lets_through() -> None:
    """Q16: what lies beyond acked + window is not owed; an acknowledgement makes more of it owed."""
    world = World()
    world.register("ann", "phone", window=2)
    world.attach("ann", "phone")
    for _ in range(4):
        world.send(Request("ann", "phone", "t", post("x"), ["bob"]))
    log, _ = world.find("delivery.mobile", ANN_PHONE)
    del log[2:]  # a parked endpoint gets nothing
    assert (await world.verdict()).ok
    world.ack("ann", "phone", 1)
    report = await world.verdict()
    assert report.counters["delivery_missing"] == 1
    assert report.offenders["delivery_missing"] == ["endpoint ann/phone: nothing of 1/3..3"]


async def test_an_answer_that_says_so_ends_an_attachment() -> None:
    """Q16: a parked endpoint whose next update is gone loses its attachment with its ack's answer."""
    world = World()
    world.register("ann", "phone")
    world.attach("ann", "phone")
    world.send(Request("ann", "phone", "t", post("x"), ["bob"]))
    world.endpoints["ann", "phone"].first = None
    world.ack("ann", "phone", 1)
    world.send(Request("ann", "phone", "t", post("nobody is there")))
    assert (await world.verdict()).ok


Plant = Callable[[World], None]


def _lose_request(world: World) -> None:
    """A request that was read, but whose answer and operation never came."""
    request = Request("ann", "phone", "t1", post("lost"))
    world.put("ingest.requests", "ann", "SendRequest", request.fields())


def _answer_only(world: World) -> None:
    request = Request("ann", "phone", "t1", post("lost"))
    world.put("ingest.requests", "ann", "SendRequest", request.fields())
    world.answer(request, "ACCEPTED")


def _operation_only(world: World) -> None:
    request = Request("ann", "phone", "t1", post("lost"))
    _answer_only(world)
    world.put("ingest.requests", "ann", "SendRequest", request.fields())
    world.answer(request, "ACCEPTED")
    operation = {**request.fields(), "message_id": request.message_id, "server_at_ms": 7}
    world.put("thread.operations", "t1", "ThreadOperation", operation)


def _unasked(world: World) -> None:
    request = Request("ann", "phone", "t1", post("nobody sent this"))
    operation = {**request.fields(), "message_id": request.message_id, "server_at_ms": 7}
    world.put("thread.operations", "t1", "ThreadOperation", operation)


def _swap_seqs(world: World) -> None:
    """Two updates of one thread, each with the other's number: dense, but in another order."""
    logs = [log for (topic, _), log in world.logs.items() if topic == "inbox.updates"]
    log = next(log for log in logs if any(record.key == b"dee" for record in log))
    at = [number for number, record in enumerate(log) if record.key == b"dee"]
    fields = [CODEC.decode_as("InboxUpdate", log[number].value) for number in at]
    first, second = [n for n, one in enumerate(fields) if one["thread_id"] == "t1"][:2]
    for here, there in ((first, second), (second, first)):
        swapped = {**fields[there], "seq": fields[here]["seq"], "seq_first": fields[here]["seq"]}
        log[at[here]] = replace(log[at[here]], value=CODEC["InboxUpdate"].encode(swapped))


def _deliver_detached(world: World) -> None:
    """Eve's phone was not attached when number 1 was made, and got it by replay alone."""
    fields = world.update("eve", "phone", 1)
    world.put_for("eve", "phone", "delivery.mobile", "EndpointUpdate", fields)


def _deliver_to_offline(world: World) -> None:
    world.register("bob", "tablet")
    world.put_for("bob", "tablet", "delivery.mobile", "EndpointUpdate", world.update("bob", "tablet", 1))


def _deliver_to_stranger(world: World) -> None:
    world.put_for("fay", "car", "delivery.mobile", "EndpointUpdate", world.update("fay", "car", 1))


def _other_route(world: World) -> None:
    log, at = world.find("delivery.mobile", ANN_PHONE)
    moved = replace(log[at], topic="delivery.web")
    del log[at]
    world.logs.setdefault(("delivery.web", moved.partition), []).append(moved)


def _stranger_update(world: World) -> None:
    log, at = world.find("inbox.updates")
    fields = CODEC.decode_as("InboxUpdate", log[at].value)
    other = {**fields, "account_id": "zed", "seq": 1, "seq_first": 1}
    world.put("inbox.updates", "zed", "InboxUpdate", other)


def _batches(world: World) -> list[tuple[list[object], int]]:
    logs = [log for (topic, _), log in world.logs.items() if topic == "replay.updates"]
    return [
        (log, at)  # type: ignore[misc]  # a list of records is a list of objects here
        for log in logs
        for at, record in enumerate(log)
        if record.key == ANN_TABLET and CODEC.decode(record.value)[0] == "UpdateBatch"
    ]


def _drop_batch(world: World) -> None:
    log, at = _batches(world)[0]
    del log[at]


def _repeat_batch(world: World) -> None:
    log, at = _batches(world)[-1]
    log.insert(at + 1, log[at])


FAULT_TABLE: list[tuple[str, Plant, str]] = [
    ("a request was never answered", _lose_request, "requests_unanswered"),
    ("an answer is gone", lambda w: w.drop("ingest.results", b"dee"), "requests_unanswered"),
    ("an answer stands twice", lambda w: w.repeat("ingest.results", b"dee"), "answers_doubled"),
    ("accepted, but no operation", _answer_only, "operations_lost"),
    ("an operation is gone", lambda w: w.drop("thread.operations"), "operations_lost"),
    ("an operation reached nobody", _operation_only, "operations_lost"),
    ("an operation stands twice", lambda w: w.repeat("thread.operations"), "operations_doubled"),
    ("a message stands twice", lambda w: w.repeat("thread.messages"), "operations_doubled"),
    ("an operation nobody asked for", _unasked, "operations_unasked"),
    ("a message is gone", lambda w: w.drop("thread.messages", b"t1"), "thread_gaps"),
    ("an update is gone", lambda w: w.drop("inbox.updates", b"dee"), "inbox_gaps"),
    ("an update stands twice", lambda w: w.repeat("inbox.updates", b"ann"), "inbox_doubled"),
    ("an update for a stranger", _stranger_update, "inbox_doubled"),
    (
        "an update of another message",
        lambda w: w.rewrite("inbox.updates", "InboxUpdate", b"dee", message_id=bytes(16)),
        "inbox_gaps",
    ),
    (
        "a member gets a position twice and another never",
        lambda w: w.rewrite("inbox.updates", "InboxUpdate", b"bob", thread_position=1, thread_id="t1"),
        "inbox_gaps",
    ),
    ("a thread in another order", _swap_seqs, "thread_order_violations"),
    ("a delivery is gone", lambda w: w.drop("delivery.mobile", ANN_PHONE), "delivery_missing"),
    ("a delivery stands twice", lambda w: w.repeat("delivery.mobile", ANN_PHONE), "delivery_doubled"),
    ("a delivery on another route", _other_route, "delivery_missing"),
    ("a replay is gone", _drop_batch, "delivery_missing"),
    ("a replay stands twice", _repeat_batch, "delivery_doubled"),
    ("a delivery while detached", _deliver_detached, "delivery_unowed"),
    ("a delivery to an endpoint that never attached", _deliver_to_offline, "delivery_unowed"),
    ("a delivery to an endpoint that nobody registered", _deliver_to_stranger, "delivery_unowed"),
]


@pytest.mark.parametrize(
    ("plant", "fault"), [row[1:] for row in FAULT_TABLE], ids=[row[0] for row in FAULT_TABLE]
)
async def test_a_planted_fault_is_found_and_named(plant: Plant, fault: str) -> None:
    world = busy_world()
    plant(world)
    report = await world.verdict()
    assert not report.ok
    assert report.counters[fault], report.to_json()
    assert report.offenders[fault]


def test_every_fault_that_topics_can_show_is_planted_once() -> None:
    planted = {fault for _, _, fault in FAULT_TABLE}
    assert planted == set(FAULTS) - {"bodies_without_metadata", "metadata_without_body"}


async def test_both_faults_of_the_store_are_found() -> None:
    """W6: a body without metadata is a fault; so is, once drained, metadata without its body."""
    assert (await busy_world().verdict(StoreFindings([], []))).ok
    report = await busy_world().verdict(StoreFindings(["thread t message 1"], []))
    assert (report.ok, report.counters["bodies_without_metadata"]) == (False, 1)
    report = await busy_world().verdict(StoreFindings([], ["thread t message 1", "thread t message 2"]))
    assert (report.ok, report.counters["metadata_without_body"]) == (False, 2)


async def test_a_request_that_became_a_dead_letter_is_excused() -> None:
    """D18: what cannot be processed has a dead letter; that is counted, and is no loss."""
    world = busy_world()
    _lose_request(world)
    log, _ = world.find("ingest.requests", b"ann")
    lost = log[-1]
    dead = {
        "topic": lost.topic, "partition": lost.partition, "offset": lost.offset, "key": lost.key,
        "value": lost.value, "headers": [], "code": "WRONG_PARTITION", "detail": "", "at_ms": 7,
    }  # fmt: skip
    world.put("dead.letters", "ann", "DeadLetter", dead)
    report = await world.verdict()
    assert report.ok, report.to_json()
    assert report.counters["dead_letters"] == 1


async def test_undecodable_requests_count_as_requests_and_have_no_token() -> None:
    world = busy_world()
    log, _ = world.find("ingest.requests")
    log.append(replace(log[-1], value=b"not avro", offset=log[-1].offset + 1))
    report = await world.verdict()
    assert report.counters["requests"] == 16
    assert report.counters["distinct_tokens"] == 13


async def test_topics_whose_oldest_records_are_gone_are_judged_by_what_is_kept() -> None:
    world = busy_world()
    for (topic, _), log in world.logs.items():
        if topic == "thread.operations":
            log.clear()
    world.starts["thread.operations"] = 50
    report = await world.verdict()
    assert report.ok, report.to_json()
    assert report.trimmed == ["thread.operations"]


async def test_a_token_is_told_apart_by_its_client() -> None:
    """D9: the same token of another client is another one."""
    world = busy_world()
    token = Token(5, 5)
    for account in ("ann", "bob"):
        world.send(Request(account, "phone", "t1", post("same token"), None, token))
    report = await world.verdict()
    assert report.ok
    assert report.counters["distinct_tokens"] == 15
