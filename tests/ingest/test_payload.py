"""The digest tells payloads apart, and nothing else."""

from __future__ import annotations

from typing import Any

from hypothesis import given

from streams.ids import hash64
from streams.ingest.payload import payload_digest
from tests.ingest.scenes import CODEC, post, variant
from tests.schemas.values import values_of

REQUESTS = values_of(CODEC["SendRequest"].schema)


def digest(fields: dict[str, Any]) -> bytes:
    return payload_digest(fields["thread_id"], fields["recipients"], fields["operation"])


def test_digests_never_change() -> None:
    """Vectors of every operation: a ledger outlives a release, and so does a retry."""
    message = bytes(range(16))
    found = [
        payload_digest("thread", None, post(b"hello")).hex(),
        payload_digest("thread", ["bob", "ann"], post(b"", media=[variant()])).hex(),
        payload_digest(
            "thread", None, ("lockstep.PostForm", {"form_id": "f", "arguments": {"b": "2", "a": "1"}})
        ).hex(),
        payload_digest("thread", None, ("lockstep.Edit", {"message_id": message, "body": b"x"})).hex(),
        payload_digest("thread", None, ("lockstep.Delete", {"message_id": message})).hex(),
        payload_digest("thread", None, ("lockstep.MarkRead", {"message_id": message})).hex(),
        payload_digest("thread", None, ("lockstep.ChangeMembers", {"add": ["a"], "remove": ["b"]})).hex(),
    ]
    assert found == VECTORS


VECTORS = [
    "54d3c8fad859fc27",
    "a5a144365e3e16b9",
    "14d0d3b972ecc2fc",
    "2e39b81f09212e46",
    "add2bb46592e3d0d",
    "734b48e008e0812a",
    "4d27b67182b46425",
]


def test_a_digest_is_over_length_prefixed_parts() -> None:
    """Anybody can compute it: the parts of the documented form, hashed as ids are."""
    assert payload_digest("t", ["b", "a"], post(b"body")) == hash64(
        ("t", "2", "b", "a", "lockstep.Post", "text/plain", b"body", "0")
    )
    assert payload_digest(
        "t", None, ("lockstep.PostForm", {"form_id": "f", "arguments": {"é": "2", "z": "1"}})
    ) == (hash64(("t", "null", "lockstep.PostForm", "f", "2", "z", "1", "é", "2")))


def test_the_order_of_a_map_does_not_matter_and_that_of_a_list_does() -> None:
    """Arguments of a form are a map; recipients are a list."""
    forms = [
        ("lockstep.PostForm", {"form_id": "f", "arguments": dict(pairs)})
        for pairs in ([("a", "1"), ("b", "2")], [("b", "2"), ("a", "1")])
    ]
    assert len({payload_digest("t", None, form) for form in forms}) == 1
    assert payload_digest("t", ["a", "b"], post()) != payload_digest("t", ["b", "a"], post())


@given(REQUESTS, REQUESTS)
def test_payloads_differ_exactly_when_their_digests_do(one: dict[str, Any], other: dict[str, Any]) -> None:
    """D17: thread, recipients (none is not the empty list) and every field of the operation count."""
    other = {**other, "operation": other["operation"] if len(str(other)) % 2 else one["operation"]}
    names = ("thread_id", "recipients", "operation")
    is_same = all(one[name] == other[name] for name in names)
    assert (digest(one) == digest(other)) == is_same


@given(REQUESTS)
def test_neither_sender_nor_token_counts(fields: dict[str, Any]) -> None:
    """The same payload has one digest, whoever sends it in whatever bytes."""
    again = CODEC.decode_as("SendRequest", CODEC["SendRequest"].encode({**fields, "account_id": "other"}))
    assert digest(again) == digest(fields)
