"""What a sender and a thread hear of a request, whatever was sent before."""

from __future__ import annotations

from typing import Any

import pytest

from streams.adapters.memory import MemoryRecord, MemoryShard
from streams.ids import Token, message_id, shard_of
from streams.tables import LEDGER
from streams.tables.ledger import LedgerRestorer
from tests.ingest.scenes import HOUR_MS, NOW_MS, SECOND_MS, TIMES, Scene, post, request, request_record


def test_a_new_request_is_accepted_and_goes_to_its_thread() -> None:
    """ACCEPTED names the message, and the operation carries all that the sender asked."""
    scene = Scene()
    answer = scene.send(nonce=7, recipients=["bob"], operation=post(b"hi"))
    message = message_id("ann", "phone", Token(NOW_MS, 7))
    assert answer == {
        "token": {"timestamp_ms": NOW_MS, "nonce": 7},
        "status": "ACCEPTED",
        "message_id": message,
        "server_at_ms": NOW_MS,
        "code": None,
        "account_id": "ann",
        "endpoint_id": "phone",
    }
    expected = {**request(nonce=7, recipients=["bob"], operation=post(b"hi"))}
    assert scene.operations == [{**expected, "message_id": message, "server_at_ms": NOW_MS}]


def test_answers_and_operations_go_where_their_keys_belong() -> None:
    """An answer lies on the sender's shard, an operation on its thread's."""
    shards = 12
    home = shard_of("ann", shards)
    shard = MemoryShard(number=home, shards=shards, now_ms=NOW_MS)
    Scene(shard).take(request_record(request(thread_id="elsewhere"), shards=shards))
    assert [(one.topic, one.key, one.partition) for one in shard.outputs] == [
        ("thread.operations", b"elsewhere", shard_of("elsewhere", shards)),
        ("ingest.results", b"ann", home),
    ]
    assert shard_of("elsewhere", shards) != home


def test_a_token_that_comes_again_is_accepted_once() -> None:
    """D1: a token sent five times makes one operation, and all five answers name the same message."""
    scene = Scene()
    answers = [scene.send() for _ in range(5)]
    assert [answer["status"] for answer in answers] == ["ACCEPTED", *["DUPLICATE"] * 4]
    assert len({answer["message_id"] for answer in answers}) == 1
    assert len(scene.operations) == 1


def test_equal_bodies_under_two_tokens_are_two_operations() -> None:
    """D3: the body is never what dedup looks at."""
    scene = Scene()
    assert {scene.send(nonce=nonce)["status"] for nonce in (1, 2)} == {"ACCEPTED"}
    assert len(scene.operations) == 2


def test_a_request_older_than_the_threshold_is_not_taken() -> None:
    """D4: TOO_OLD with the server's time, and not one access to the state, even for a token that is known."""
    scene = Scene()
    sent_at_ms = NOW_MS
    scene.send(sent_at_ms)
    scene.shard.now_ms = sent_at_ms + TIMES.threshold_ms + 1
    scene.send(scene.shard.now_ms, nonce=2)  # the bucket that has ended is dropped here
    before, operations = scene.accesses, len(scene.operations)
    answer = scene.send(sent_at_ms)
    assert (answer["status"], answer["message_id"]) == ("TOO_OLD", None)
    assert answer["server_at_ms"] == scene.shard.now_ms
    assert (scene.accesses, len(scene.operations)) == (before, operations)


def test_a_request_exactly_at_the_threshold_is_taken() -> None:
    """D5: exactly at the threshold is not older."""
    assert Scene().send(NOW_MS - TIMES.threshold_ms)["status"] == "ACCEPTED"


def test_a_duplicate_exactly_at_the_threshold_is_known() -> None:
    """D1, D5: a token is known as long as it is not too old, whatever has expired in between."""
    scene = Scene()
    scene.send(NOW_MS)
    for hour in range(25):
        scene.shard.now_ms = NOW_MS + hour * HOUR_MS
        scene.send(scene.shard.now_ms, nonce=100 + hour, endpoint_id="other")
    scene.shard.now_ms = NOW_MS + TIMES.threshold_ms
    assert scene.send(NOW_MS)["status"] == "DUPLICATE"


def test_newer_than_the_most_recent_needs_no_lookup() -> None:
    """D6: each request newer than all before it is accepted without filter or exact look-up."""
    scene = Scene()
    for step in range(20):
        assert scene.send(NOW_MS - HOUR_MS + step, nonce=step)["status"] == "ACCEPTED"
    assert scene.lookups() == (0, 0)


def test_out_of_order_but_unseen_is_accepted() -> None:
    """D7: a fresh token older than the client's most recent is accepted, by the filter's word alone."""
    scene = Scene()
    scene.send(NOW_MS)
    assert scene.send(NOW_MS - HOUR_MS, nonce=2)["status"] == "ACCEPTED"
    assert scene.lookups() == (1, 0)


def test_an_older_token_does_not_lower_the_most_recent() -> None:
    """D7: after an out-of-order token, the same newest token is still known."""
    scene = Scene()
    scene.send(NOW_MS)
    scene.send(NOW_MS - 1, nonce=2)
    assert scene.send(NOW_MS)["status"] == "DUPLICATE"


def test_the_same_timestamp_with_another_nonce_is_another_token() -> None:
    """D8: both are accepted."""
    scene = Scene()
    assert [scene.send(nonce=nonce)["status"] for nonce in (5, 4, 6)] == ["ACCEPTED"] * 3


@pytest.mark.parametrize("other", [{"account_id": "bob"}, {"endpoint_id": "laptop"}])
def test_tokens_of_two_clients_are_two_tokens(other: dict[str, Any]) -> None:
    """D9: the same token from another account or endpoint is accepted, as another message."""
    scene = Scene()
    first, second = scene.send(), scene.send(**other)
    assert (first["status"], second["status"]) == ("ACCEPTED", "ACCEPTED")
    assert first["message_id"] != second["message_id"]


def test_account_and_endpoint_do_not_run_into_each_other() -> None:
    """D9: clients whose names are equal when put together are two clients."""
    scene = Scene()
    scene.send(account_id="ab", endpoint_id="c")
    assert scene.send(account_id="a", endpoint_id="bc")["status"] == "ACCEPTED"


def test_a_clock_far_ahead_is_told_and_leaves_no_trace() -> None:
    """D15: CLOCK_AHEAD with the server's time; the most recent is not raised, nothing is recorded."""
    scene = Scene()
    ahead_ms = NOW_MS + TIMES.clock_ahead_ms
    before = scene.accesses
    answer = scene.send(ahead_ms + 1)
    assert (answer["status"], answer["server_at_ms"]) == ("CLOCK_AHEAD", NOW_MS)
    assert (scene.shard.state.rows, scene.operations) == ({}, [])
    assert scene.accesses <= before + 2  # the removal of expired buckets, which is no look-up
    assert scene.send(ahead_ms)["status"] == "ACCEPTED"
    scene.shard.now_ms += SECOND_MS
    assert scene.send(ahead_ms + 1)["status"] == "ACCEPTED"


def test_a_clock_far_behind_is_told_the_time() -> None:
    """D15: TOO_OLD with the server's time, so that the client can see by how much its clock is wrong."""
    answer = Scene().send(NOW_MS - 2 * TIMES.threshold_ms)
    assert (answer["status"], answer["server_at_ms"]) == ("TOO_OLD", NOW_MS)


@pytest.mark.parametrize(
    "other", [{"operation": post(b"bye")}, {"thread_id": "other"}, {"recipients": ["bob"]}], ids=str
)
def test_a_token_with_another_payload_is_told(other: dict[str, Any]) -> None:
    """D17: TOKEN_REUSED names the first message; the first payload stays, the second goes nowhere."""
    scene = Scene()
    first = scene.send()
    answer = scene.send(**other)
    assert (answer["status"], answer["message_id"]) == ("TOKEN_REUSED", first["message_id"])
    assert len(scene.operations) == 1
    assert scene.send()["status"] == "DUPLICATE"


def test_a_refused_token_stays_refused() -> None:
    """A retry of what the thread refused is answered REFUSED with its code, not DUPLICATE."""
    scene = Scene()
    accepted = scene.send()
    (refused,) = scene.refuse(accepted, "NOT_A_MEMBER")
    assert (refused["status"], refused["code"]) == ("REFUSED", "NOT_A_MEMBER")
    retried = scene.send()
    for answer in (refused, retried):
        assert answer == {**accepted, "status": "REFUSED", "code": "NOT_A_MEMBER"}
    assert scene.send(thread_id="other")["status"] == "TOKEN_REUSED"
    assert len(scene.operations) == 1


def test_a_refusal_that_comes_again_changes_nothing() -> None:
    """Marking a token is idempotent."""
    scene = Scene()
    accepted = scene.send()
    scene.refuse(accepted)
    rows = dict(scene.shard.state.rows)
    assert [answer["status"] for answer in scene.refuse(accepted)] == ["REFUSED"]
    assert scene.shard.state.rows == rows


def test_the_refusal_of_an_expired_token_is_still_told() -> None:
    """A refusal that comes after the ledger forgot its token is answered, and brings no row back."""
    scene = Scene()
    accepted = scene.send()
    scene.shard.state.rows.clear()
    assert [answer["status"] for answer in scene.refuse(accepted)] == ["REFUSED"]
    assert scene.shard.state.rows == {}


def test_a_restarted_stage_knows_all_tokens() -> None:
    """D1: nothing that dedup needs is kept in the stage itself."""
    scene = Scene()
    scene.send()
    scene.restart()
    assert scene.send()["status"] == "DUPLICATE"


def test_a_unit_that_was_undone_is_simply_run_again() -> None:
    """With the state taken back as it was before a unit, the unit's records give the same outputs again."""
    scene = Scene()
    scene.send(nonce=1)
    rows, outputs = dict(scene.shard.state.rows), len(scene.shard.outputs)
    runs = []
    for _ in range(2):
        scene.shard.state.rows = dict(rows)
        del scene.shard.outputs[outputs:]
        for nonce in (1, 2, 2, 3):
            scene.send(NOW_MS, nonce)
        runs.append((list(scene.shard.outputs), dict(scene.shard.state.rows)))
    assert runs[0] == runs[1]


def test_the_window_is_rebuilt_from_its_changelog() -> None:
    """D14: with the store wiped and restored from shard.ledger, answers and state are what they were."""
    scene = Scene()
    changelog: list[MemoryRecord] = []
    accepted: dict[str, Any] = {}
    for step in (3, 1, 2, 26, 25):
        accepted = scene.send(NOW_MS - step * HOUR_MS // 2, nonce=step)
        changelog += [
            MemoryRecord("shard.ledger", key, value)
            for key, value in scene.shard.state.rows.items()
            if key.startswith(LEDGER.byte)
        ]
    scene.refuse(accepted)
    marked = {key: value for key, value in scene.shard.state.rows.items() if key.startswith(LEDGER.byte)}
    changelog += [MemoryRecord("shard.ledger", key, value) for key, value in marked.items()]
    rows = dict(scene.shard.state.rows)

    scene.shard.state.rows.clear()
    restorer = LedgerRestorer()
    for start in range(0, len(changelog), 4):
        restorer.restore(changelog[start : start + 4], scene.shard.state)
    assert scene.shard.state.rows == rows
    scene.restart()
    statuses = [scene.send(NOW_MS - step * HOUR_MS // 2, nonce=step)["status"] for step in (1, 2, 3, 25, 26)]
    assert statuses == ["DUPLICATE", "DUPLICATE", "DUPLICATE", "REFUSED", "DUPLICATE"]


def test_no_token_is_taken_twice_when_the_clock_jumps() -> None:
    """D20: the append time jumps ahead by hours and stands; tokens are known, or too old."""
    scene = Scene()
    tokens = [NOW_MS - hours * HOUR_MS for hours in (23, 12, 1, 0)]
    for at_ms in tokens:
        assert scene.send(at_ms)["status"] == "ACCEPTED"
    rows = dict(scene.shard.state.rows)
    scene.shard.now_ms += 6 * HOUR_MS
    scene.shard.is_expiry_held = True
    statuses = [scene.send(at_ms)["status"] for at_ms in tokens]
    assert statuses == ["TOO_OLD", "DUPLICATE", "DUPLICATE", "DUPLICATE"]
    assert scene.shard.state.rows == rows, "expiry is held"
    scene.shard.is_expiry_held = False
    assert [scene.send(at_ms)["status"] for at_ms in tokens] == statuses
    assert len(scene.shard.state.rows) < len(rows), "and goes on afterwards"
    assert len(scene.operations) == len(tokens)
