"""Bad input is told to its sender and kept as one dead letter; nothing else is lost."""

from __future__ import annotations

from typing import Any

import pytest

from streams.adapters.memory import MemoryRecord, MemoryShard
from streams.codec import MAGIC
from streams.ids import shard_of
from tests.ingest.scenes import CODEC, NOW_MS, Scene, post, record_of, request, request_record, variant

MESSAGE = bytes(16)


def form(arguments: dict[str, str], form_id: str = "greeting") -> Any:
    return ("lockstep.PostForm", {"form_id": form_id, "arguments": arguments})


def change(add: list[str], remove: list[str]) -> Any:
    return ("lockstep.ChangeMembers", {"add": add, "remove": remove})


def token(timestamp_ms: int, nonce: int) -> dict[str, int]:
    return {"timestamp_ms": timestamp_ms, "nonce": nonce}


MALFORMED: list[tuple[str, dict[str, Any]]] = [
    ("ID_TOO_LONG", {"account_id": "a" * 129}),
    ("ID_TOO_LONG", {"account_id": "é" * 65}),
    ("ID_CONTROL_CHARACTER", {"account_id": "a\0b"}),
    ("ID_EMPTY", {"endpoint_id": ""}),
    ("ID_TOO_LONG", {"endpoint_id": "e" * 129}),
    ("ID_CONTROL_CHARACTER", {"endpoint_id": "a\0b"}),
    ("TIMESTAMP_NEGATIVE", {"token": token(-1, 1)}),
    ("NONCE_NEGATIVE", {"token": token(NOW_MS, -1)}),
    ("ID_EMPTY", {"thread_id": ""}),
    ("ID_CONTROL_CHARACTER", {"thread_id": "line\nbreak"}),
    ("RECIPIENTS_EMPTY", {"recipients": []}),
    ("RECIPIENTS_TOO_MANY", {"recipients": [f"r{number}" for number in range(1_001)]}),
    ("ID_EMPTY", {"recipients": ["bob", ""]}),
    ("BODY_TOO_LARGE", {"operation": post(bytes(65_537))}),
    ("CONTENT_TYPE_INVALID", {"operation": post(content_type="t" * 129)}),
    ("CONTENT_TYPE_INVALID", {"operation": post(content_type="text/\x7fplain")}),
    ("CONTENT_TYPE_INVALID", {"operation": post(content_type="é" * 65)}),
    ("MEDIA_TOO_MANY", {"operation": post(media=[variant()] * 17)}),
    ("MEDIA_INVALID", {"operation": post(media=[variant(), variant(width=-1)])}),
    ("MEDIA_INVALID", {"operation": post(media=[variant(bytes=-1)])}),
    ("MEDIA_INVALID", {"operation": post(media=[variant(label="l" * 129)])}),
    ("MEDIA_INVALID", {"operation": post(media=[variant(address="a" * 2_049)])}),
    ("ID_EMPTY", {"operation": form({}, form_id="")}),
    ("FORM_ARGUMENTS_TOO_MANY", {"operation": form({f"k{number}": "v" for number in range(33)})}),
    ("FORM_ARGUMENT_TOO_LONG", {"operation": form({"name": "é" * 513})}),
    ("ID_EMPTY", {"operation": form({"": "v"})}),
    ("BODY_TOO_LARGE", {"operation": ("lockstep.Edit", {"message_id": MESSAGE, "body": bytes(65_537)})}),
    ("MEMBERS_EMPTY", {"operation": change([], [])}),
    ("MEMBERS_TOO_MANY", {"operation": change([f"r{number}" for number in range(1_001)], [])}),
    ("MEMBERS_TOO_MANY", {"operation": change([], [f"r{number}" for number in range(1_001)])}),
    ("ID_TOO_LONG", {"operation": change(["bob"], ["b" * 129])}),
]

AT_THE_LIMIT: list[dict[str, Any]] = [
    {"account_id": "a" * 128, "endpoint_id": "é" * 64, "thread_id": "t" * 128},
    {"token": token(NOW_MS, 0)},
    {"token": token(NOW_MS, 2**63 - 1)},
    {"recipients": [f"r{number}" for number in range(1_000)]},
    {"operation": post(b"")},
    {"operation": post(bytes(65_536), "t" * 128, [variant(address="a" * 2_048, width=0)] * 16)},
    {"operation": form({f"k{number}": "v" * 1_024 for number in range(32)})},
    {"operation": change([f"r{number}" for number in range(1_000)], ["x"])},
    {"operation": ("lockstep.Delete", {"message_id": MESSAGE})},
    {"operation": ("lockstep.MarkRead", {"message_id": MESSAGE})},
    {"operation": ("lockstep.Edit", {"message_id": MESSAGE, "body": b""})},
]


@pytest.mark.parametrize(("code", "changes"), MALFORMED, ids=lambda value: str(value)[:60])
def test_a_malformed_request_is_rejected_and_kept(code: str, changes: dict[str, Any]) -> None:
    """D18: REJECTED with a stable code and the token, one dead letter, no operation, no row in the ledger."""
    scene = Scene()
    record = request_record(request(**changes))
    (answer,) = scene.take(record)
    assert (answer["status"], answer["code"], answer["message_id"]) == ("REJECTED", code, None)
    sent = request(**changes)
    assert [answer[name] for name in ("account_id", "endpoint_id", "token")] == [
        sent[name] for name in ("account_id", "endpoint_id", "token")
    ]
    assert [(dead.record, dead.code) for dead in scene.shard.dead] == [(record, code)]
    assert scene.shard.dead[0].detail
    assert (scene.operations, scene.shard.state.rows) == ([], {})


@pytest.mark.parametrize("changes", AT_THE_LIMIT, ids=lambda value: str(value)[:60])
def test_a_request_exactly_at_a_limit_is_accepted(changes: dict[str, Any]) -> None:
    """D18: limits are the largest values that are taken."""
    scene = Scene()
    assert scene.send(**changes)["status"] == "ACCEPTED"
    assert {name: scene.operations[0][name] for name in request()} == request(**changes)
    assert scene.shard.dead == []


def test_a_rejected_token_can_be_used_for_the_mended_request() -> None:
    """D18: a rejection does not use up the token."""
    scene = Scene()
    assert scene.send(recipients=[])["status"] == "REJECTED"
    assert scene.send(recipients=["bob"])["status"] == "ACCEPTED"


VALID = CODEC["SendRequest"].encode(request(operation=post(b"hello")))

UNREADABLE = {
    "no value": ("UNDECODABLE", None),
    "no bytes": ("UNDECODABLE", b""),
    "text": ("UNDECODABLE", b'{"account_id": "ann"}'),
    "unknown fingerprint": ("UNKNOWN_SCHEMA", MAGIC + bytes(8) + VALID[10:]),
    "another record": (
        "UNDECODABLE",
        CODEC["Refusal"].encode({**request(), "message_id": MESSAGE, "server_at_ms": 0, "code": "X"}),
    ),
    "head cut off": ("UNDECODABLE", VALID[:12]),
    "tail cut off": ("UNDECODABLE", VALID[:-1]),
    "bytes behind the record": ("UNDECODABLE", VALID + b"\0"),
    "unknown operation": (
        "UNDECODABLE",
        VALID.replace(b"\x14text/plain", b"").replace(b"\0\0\n", b"\0\x0e\n"),
    ),
    "bad UTF-8 in the thread": ("UNDECODABLE", VALID.replace(b"thread", b"thre\xffd")),
    "bad UTF-8 in the content type": ("UNDECODABLE", VALID.replace(b"text/plain", b"text/\xc3lain")),
    "bad UTF-8 in the account": ("UNDECODABLE", VALID.replace(b"ann", b"\xffnn")),
    "a number without an end": ("UNDECODABLE", VALID[:20] + b"\xff" * 100_000),
}
WITH_TOKEN = {
    name for name in UNREADABLE if "tail" in name or "in the thread" in name or "content" in name
} | {
    "bytes behind the record",
    "unknown operation",
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_rejected_and_kept(name: str) -> None:
    """D18: its sender (the readable head's, or else the key's) is told; one dead letter holds it."""
    code, value = UNREADABLE[name]
    scene = Scene()
    record = record_of(value)
    (answer,) = scene.take(record)
    assert (answer["status"], answer["code"], answer["account_id"]) == ("REJECTED", code, "ann")
    assert answer["token"] == (token(NOW_MS, 1) if name in WITH_TOKEN else None)
    assert [(dead.record, dead.code) for dead in scene.shard.dead] == [(record, code)]
    assert (scene.operations, scene.shard.state.rows) == ([], {})


@pytest.mark.parametrize("key", [None, b"", b"\xff", b"a\0b", b"a" * 129], ids=str)
def test_what_cannot_be_read_and_names_nobody_is_only_kept(key: bytes | None) -> None:
    """D18: without a readable head or a key that is an id, nobody is told: one dead letter, no answer."""
    scene = Scene()
    record = record_of(b"garbage", key)
    assert scene.take(record) == []
    assert [(dead.record, dead.code) for dead in scene.shard.dead] == [(record, "UNDECODABLE")]


@pytest.mark.parametrize("key", [None, b"", b"bob", b"\xff"], ids=str)
def test_a_request_under_another_key_is_only_kept(key: bytes | None) -> None:
    """D18: a missing key, or one that is not the account, is MISSING_KEY; nobody is told."""
    scene = Scene()
    record = record_of(VALID, key)
    assert scene.take(record) == []
    assert [(dead.record, dead.code) for dead in scene.shard.dead] == [(record, "MISSING_KEY")]
    assert scene.shard.outputs == []


def test_a_request_of_nobody_is_only_kept() -> None:
    """D18: an empty account is ID_EMPTY, and there is nobody to tell."""
    scene = Scene()
    assert scene.take(request_record(request(account_id=""))) == []
    assert [dead.code for dead in scene.shard.dead] == ["ID_EMPTY"]


def test_a_request_on_another_shard_is_refused() -> None:
    """D19: WRONG_PARTITION is told on the sender's own shard and kept; this shard's state stays as it is."""
    shards = 12
    home = shard_of("ann", shards)
    shard = MemoryShard(number=(home + 1) % shards, shards=shards, now_ms=NOW_MS)
    scene = Scene(shard)
    (answer,) = scene.take(request_record(request()))
    assert (answer["status"], answer["code"]) == ("REJECTED", "WRONG_PARTITION")
    assert [(one.topic, one.partition) for one in shard.outputs] == [("ingest.results", home)]
    assert [dead.code for dead in shard.dead] == ["WRONG_PARTITION"]
    assert shard.state.rows == {}


def test_the_partition_goes_on_after_bad_input() -> None:
    """D18: what comes between bad records is processed as ever."""
    scene = Scene()
    for nonce, (_, value) in enumerate(UNREADABLE.values()):
        scene.take(record_of(value))
        assert scene.send(nonce=nonce)["status"] == "ACCEPTED"
    assert len(scene.operations) == len(scene.shard.dead) == len(UNREADABLE)


def test_an_operation_that_does_not_fit_its_topic_is_rejected() -> None:
    """D18: OVERSIZE is told, kept, and does not use up the token."""
    scene = Scene()
    scene.shard.record_bytes_max = 1_000
    answer = scene.send(operation=post(bytes(600)))
    assert (answer["status"], answer["code"]) == ("REJECTED", "OVERSIZE")
    assert [dead.code for dead in scene.shard.dead] == ["OVERSIZE"]
    assert scene.shard.state.rows == {}
    assert scene.send(operation=post(b"shorter"))["status"] == "ACCEPTED"


REFUSAL = {"account_id": "ann", "endpoint_id": "phone", "token": token(NOW_MS, 1), "message_id": MESSAGE}


@pytest.mark.parametrize(
    ("code", "key", "changes"),
    [
        ("MISSING_KEY", b"bob", {}),
        ("MISSING_KEY", None, {}),
        ("UNDECODABLE", b"ann", {"token": token(-1, 1)}),
        ("WRONG_PARTITION", b"ann", {}),
    ],
)
def test_a_broken_refusal_is_only_kept(code: str, key: bytes | None, changes: dict[str, Any]) -> None:
    """D18, D19: a refusal that nobody of ours wrote becomes a dead letter and changes nothing."""
    shards = 1 if code != "WRONG_PARTITION" else 12
    number = (shard_of("ann", shards) + 1) % shards
    scene = Scene(MemoryShard(number=number, shards=shards, now_ms=NOW_MS))
    value = CODEC["Refusal"].encode({**REFUSAL, "server_at_ms": NOW_MS, "code": "NOT_A_MEMBER", **changes})
    assert scene.take(MemoryRecord("ingest.refusals", key, value)) == []
    assert [dead.code for dead in scene.shard.dead] == [code]
    assert (scene.shard.outputs, scene.shard.state.rows) == ([], {})
