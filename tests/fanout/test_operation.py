"""What is read of an operation by hand is what the codec reads (streams/fanout/operation.py)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codec.primitives import long_once, text_once, token_bytes
from streams.errors import RecordError, Undecodable
from streams.fanout.operation import OperationReader
from tests.fixtures.pipeline import CODEC
from tests.schemas.values import values_of

FORMAT = CODEC["ThreadOperation"]
READER = OperationReader(CODEC)


FIELDS: dict[str, Any] = {
    "account_id": "ann",
    "endpoint_id": "phone",
    "token": {"timestamp_ms": 1_700_000_000_000, "nonce": 2**40},
    "message_id": bytes(range(16)),
    "server_at_ms": 1_700_000_000_001,
    "thread_id": "thread",
    "recipients": ["ben", "cy"],
    "operation": ("lockstep.Delete", {"message_id": bytes(16)}),
}


@pytest.mark.parametrize("name", [b"ann", b"phone", b"thread", b"ben", b"cy"])
def test_a_name_that_is_no_text_is_a_bad_record(name: bytes) -> None:
    """D18: no field passes on bytes that a reader cannot decode, whether anybody here looks at it or not."""
    broken = FORMAT.encode(FIELDS).replace(name, b"\xff" * len(name))
    with pytest.raises(Undecodable):
        READER.read(broken)


@given(values_of(FORMAT.schema))
def test_every_operation_is_read_in_its_pieces(fields: dict[str, Any]) -> None:
    """Long names, many recipients and every kind of operation: by hand or by the codec, it is the same tuple."""
    found = READER.read(FORMAT.encode(fields))
    assert (found.account_id, found.thread_id, found.recipients) == (
        fields["account_id"],
        fields["thread_id"],
        fields["recipients"],
    )
    assert found.account_bytes == text_once(fields["account_id"])
    assert found.endpoint_bytes == text_once(fields["endpoint_id"])
    assert found.token_bytes == token_bytes(**fields["token"])
    assert found.message_id == fields["message_id"]
    assert found.server_at_bytes == long_once(fields["server_at_ms"])
    assert found.thread_bytes == text_once(fields["thread_id"])
    assert found.content == FORMAT.split("operation").encode_tail(fields)


@given(values_of(FORMAT.schema), st.data())
def test_broken_bytes_are_a_bad_record_and_nothing_else(fields: dict[str, Any], data: st.DataObject) -> None:
    """D18: whatever byte is changed or cut off, the reader gives an operation or a RecordError, as the codec does."""
    value = bytearray(FORMAT.encode(fields))
    at = data.draw(st.integers(len(FORMAT.frame), len(value) - 1))
    value[at] = data.draw(st.integers(0, 255))
    broken = bytes(value[: data.draw(st.integers(len(FORMAT.frame), len(value)))])
    try:
        expected = FORMAT.split("operation").read(broken)
    except RecordError:
        with pytest.raises(RecordError):
            READER.read(broken)
        return
    found = READER.read(broken)
    assert found.account_id == expected[0]["account_id"]
    assert found.content == expected[1]
