"""What is joined from encoded pieces is, byte for byte, what the codec writes."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streams.codec.primitives import long_once, text_once, token_bytes
from streams.ingest.outputs import OutputWriter
from streams.ingest.request import RequestReader, Sender
from streams.records import Status
from tests.ingest.scenes import CODEC
from tests.schemas.values import values_of

WRITER = OutputWriter(CODEC)
READER = RequestReader(CODEC)


@given(values_of(CODEC["SendResult"].schema))
def test_an_answer_is_what_the_codec_writes(fields: dict[str, Any]) -> None:
    """Every SendResult, with and without token, message and code."""
    account_id, endpoint_id, token = fields["account_id"], fields["endpoint_id"], fields["token"]
    sender = Sender(
        account_id, text_once(account_id) + text_once(endpoint_id), token and token_bytes(**token)
    )
    status, message_id = Status(fields["status"]), fields["message_id"]
    value = WRITER.result(sender, status, message_id, fields["server_at_ms"], fields["code"])
    assert value == CODEC["SendResult"].encode(fields)


@given(values_of(CODEC["ThreadOperation"].schema))
def test_an_operation_is_what_the_codec_writes(fields: dict[str, Any]) -> None:
    """Every ThreadOperation, made of its request."""
    request = READER.read(CODEC["SendRequest"].encode(fields))
    value = WRITER.operation(request, fields["message_id"], fields["server_at_ms"])
    assert value == CODEC["ThreadOperation"].encode(fields)


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_number_takes_as_few_bytes_as_it_can(number: int) -> None:
    """Seven bits a byte, small numbers of either sign first, and no empty byte at the end."""
    encoded = long_once(number)
    assert len(encoded) == max(1, -(-(abs(number) * 2 - (number < 0)).bit_length() // 7))
    assert len(encoded) == 1 or encoded[-1] != 0
