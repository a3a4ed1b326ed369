"""The law of the split: head and tail are the record, in fields and in bytes (streams/codec/formats.py)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codec import Codec
from streams.errors import Undecodable, UnknownSchema
from tests.schemas.values import values_of

CODEC = Codec()
SPLITS = [
    (name, field["name"]) for name, one in sorted(CODEC.formats.items()) for field in one.schema["fields"][1:]
]
TAIL = {
    "message_id": bytes(16),
    "thread_id": "t",
    "thread_position": 1,
    "sender_id": "ann",
    "server_at_ms": 5,
    "kind": "noop",
    "content": None,
}


@given(data=st.data(), at=st.sampled_from(SPLITS))
def test_head_and_tail_are_the_record_in_fields_and_in_bytes(
    data: st.DataObject, at: tuple[str, str]
) -> None:
    name, first_of_tail = at
    whole = CODEC[name]
    fields = data.draw(values_of(whole.schema))
    value = whole.encode(fields)
    split = whole.split(first_of_tail)
    head, tail = split.read(value)
    rest = split.decode_tail(tail)
    assert [*head, *rest] == [field["name"] for field in whole.schema["fields"]]
    assert {**head, **rest} == fields
    assert split.write(head, tail) == value
    assert split.encode_tail(fields) == tail


def test_one_tail_serves_append_update_and_thread_message() -> None:
    """What all recipients share is encoded once: the bytes are the same in every record that carries them."""
    splits = [CODEC[name].split("message_id") for name in ("ThreadMessage", "InboxAppend", "InboxUpdate")]
    assert len({split.encode_tail(TAIL) for split in splits}) == 1


def test_an_operation_is_carried_from_request_to_thread_as_it_stands() -> None:
    content = ("lockstep.Edit", {"message_id": bytes(16), "body": b"new"})
    request, operation = CODEC["SendRequest"].split("operation"), CODEC["ThreadOperation"].split("operation")
    update = CODEC["InboxUpdate"].split("content")
    tail = request.encode_tail({"operation": content})
    assert operation.encode_tail({"operation": content}) == update.encode_tail({"content": content}) == tail


@pytest.mark.parametrize("branch", ["", "01", "03", "0c", "ff01"], ids=["none", "-1", "-2", "6", "-128"])
def test_a_branch_that_no_union_has_never_travels_on(branch: str) -> None:
    """The decoder takes branch -1 for the last one; in a longer union downstream it would be another."""
    split = CODEC["SendRequest"].split("operation")
    head = {
        "account_id": "ann",
        "endpoint_id": "phone",
        "token": {"timestamp_ms": 1, "nonce": 2},
        "thread_id": "t",
        "recipients": None,
    }
    value = split.write(head, bytes.fromhex(branch) + b"\x02\x02x\x00\x00"[: 5 if branch else 0])
    with pytest.raises(Undecodable, match="branches"):
        split.read(value)


def test_a_tail_with_anything_behind_it_is_refused() -> None:
    split = CODEC["InboxUpdate"].split("message_id")
    with pytest.raises(Undecodable, match="1 bytes follow"):
        split.decode_tail(split.encode_tail(TAIL) + b"\x00")


def test_another_record_and_an_unknown_one_are_not_split() -> None:
    split = CODEC["InboxUpdate"].split("message_id")
    other = CODEC["WakeUp"].encode({"account_id": "a", "endpoint_id": "e", "epoch": 0, "sent_seq": 1})
    with pytest.raises(Undecodable, match="expected a InboxUpdate, found a WakeUp"):
        split.read(other)
    with pytest.raises(UnknownSchema):
        split.read(b"\xc3\x01" + bytes(8))
    with pytest.raises(Undecodable):
        split.read(b"junk")
