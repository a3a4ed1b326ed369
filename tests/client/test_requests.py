"""What a sender makes: tokens once, requests that stay the same, JSON lines that say what is wrong."""

from __future__ import annotations

import json

import pytest

from streams.client import Request, change_members, delete, edit, mark_read, new_token, post, post_form
from streams.client.jsonl import read_requests
from streams.codec import Codec
from streams.errors import ConfigurationError
from streams.ids import Token, message_id


def test_a_token_is_made_once_and_kept_by_the_request() -> None:
    request = Request("ann", "phone", "t", post("x"))
    assert request.token == request.token
    assert request.message_id == message_id("ann", "phone", request.token)
    assert Request("ann", "phone", "t", post("x")).token != request.token


def test_a_token_holds_the_given_clock_and_63_random_bits() -> None:
    tokens = {new_token(5) for _ in range(100)}
    assert len(tokens) == 100
    assert all(token.timestamp_ms == 5 and 0 <= token.nonce < 1 << 63 for token in tokens)


@pytest.mark.parametrize(
    "operation",
    [
        post("text"),
        post(b"\x00\xff", "image/png", [{"label": "small", "width": 1, "bytes": 2, "address": "a"}]),
        post_form("welcome", {"name": "ann"}),
        edit(bytes(16), "new"),
        delete(bytes(16)),
        mark_read(bytes(16)),
        change_members(["bob"], ["cy"]),
    ],
    ids=lambda operation: operation[0],
)
def test_every_operation_fits_the_schema(operation: tuple[str, dict[str, object]]) -> None:
    codec = Codec()
    request = Request("ann", "phone", "t", operation, ["bob"])
    assert codec.decode_as("SendRequest", codec["SendRequest"].encode(request.fields())) == request.fields()


def test_json_lines_become_requests() -> None:
    lines = [
        '{"account_id": "ann", "thread_id": "t", "recipients": ["bob"], "post": "hello"}\n',
        "\n",
        json.dumps({"account_id": "ann", "thread_id": "t", "edit": {"message_id": "00" * 16, "body": "new"},
                    "token": {"timestamp_ms": 1, "nonce": 2}, "endpoint_id": "phone"}),
    ]  # fmt: skip
    first, second = read_requests(lines)
    assert (first.account_id, first.endpoint_id, first.recipients) == ("ann", "device-1", ["bob"])
    assert first.operation == post("hello")
    assert (second.token, second.operation) == (Token(1, 2), edit(bytes(16), "new"))


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[]",
        '{"account_id": "ann", "post": "x"}',
        '{"account_id": "ann", "thread_id": "t"}',
        '{"account_id": "ann", "thread_id": "t", "post": "x", "delete": {"message_id": "00"}}',
        '{"account_id": "ann", "thread_id": "t", "poste": "x"}',
        '{"account_id": 5, "thread_id": "t", "post": "x"}',
        '{"account_id": "ann", "thread_id": "t", "delete": {"message_id": "xyz"}}',
    ],
)
def test_a_line_that_is_no_request_is_refused_by_its_number(line: str) -> None:
    with pytest.raises(ConfigurationError, match="line 2 of the input"):
        list(read_requests(["\n", line]))
