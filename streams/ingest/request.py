"""Reads a SendRequest into what the rules need, and into the encoded pieces of what is sent on.

A decoder's cost is per call and per field, so the usual shape (newest schema, single-object framing, short
ids; a post without media, an edit, a delete or a mark) is read here by hand; everything else goes through the
codec. Both ways give the same tuple, and pieces in Avro's minimal encoding: what leaves this stage is
well-formed for every Avro library, whatever freedom (longer numbers, negative branches, several blocks) the
sender's bytes took.

Guarantees: what is read by hand is what the codec reads. Checked for a sample when a reader is made, so that
a changed schema is never read in the old layout; property-tested in tests/ingest/test_request.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from streams.codec import Codec
from streams.codec.primitives import (
    read_bytes,
    read_long,
    read_short_text,
    read_short_texts,
    short_text_end,
    text_once,
    token_bytes,
)
from streams.errors import ConfigurationError, RecordError
from streams.ids import MESSAGE_ID_BYTES, Token
from streams.records import Branch, OperationName

RECORD = "SendRequest"


class Sender(NamedTuple):
    """Who is to be answered, and about which token."""

    account_id: str
    names_bytes: bytes
    """account_id and endpoint_id, encoded."""
    token_bytes: bytes | None
    """The token, encoded; None when it could not be read."""


class Request(NamedTuple):
    """One request: decoded for the rules, encoded for what is sent on."""

    account_id: str
    endpoint_id: str
    token: Token
    thread_id: str
    recipients: list[str] | None
    operation: Branch
    payload_bytes: bytes
    """thread_id, recipients and operation, encoded."""
    sender: Sender


class RequestReader:
    """Reads requests of every published version."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._split = codec[RECORD].split("thread_id")
        self._frame = self._split.frame
        self._is_plain_framing = len(self._frame) == _FRAME_BYTES
        self._prove_layout()

    def read(self, value: bytes | None) -> Request:
        """Return the request; raise Undecodable or UnknownSchema."""
        if self._is_plain_framing and value is not None and value.startswith(self._frame):
            try:
                return read_by_hand(value)
            except (
                IndexError,
                ValueError,
            ):  # another shape, or broken: the codec tells which (bad UTF-8 is a ValueError)
                pass
        return self._read_by_codec(value)

    def read_sender(self, value: bytes | None) -> Sender | None:
        """Return the sender of a request whose payload cannot be read, if the part before it can."""
        try:
            head, _ = self._split.read(value or b"")
        except RecordError:
            return None
        return _sender(head)

    def _read_by_codec(self, value: bytes | None) -> Request:
        fields: dict[str, Any] = self._codec.decode_as(RECORD, value)
        return Request(
            fields["account_id"],
            fields["endpoint_id"],
            Token(**fields["token"]),
            fields["thread_id"],
            fields["recipients"],
            fields["operation"],
            self._split.encode_tail(fields),
            _sender(fields),
        )

    def _prove_layout(self) -> None:
        for fields in SAMPLES:
            value = self._codec[RECORD].encode(fields)
            body = value[len(self._frame) :]
            try:
                found = read_by_hand(bytes(_FRAME_BYTES) + body)
            except (IndexError, ValueError):
                found = None
            if found is None or found != self._read_by_codec(value) or _encoded(found) != body:
                raise ConfigurationError(
                    f"{RECORD} has a layout that streams/ingest/request.py does not know"
                )


def _encoded(request: Request) -> bytes:
    return request.sender.names_bytes + (request.sender.token_bytes or b"") + request.payload_bytes


def _sender(fields: dict[str, Any]) -> Sender:
    account_id, endpoint_id, token = fields["account_id"], fields["endpoint_id"], Token(**fields["token"])
    return Sender(account_id, text_once(account_id) + text_once(endpoint_id), token_bytes(*token))


# --- by hand ---

_FRAME_BYTES = 10


def read_by_hand(value: bytes) -> Request:
    """Return a request of the usual shape, behind a frame of 10 bytes that the caller has checked.

    Raises ValueError or IndexError for every other shape: longer ids, more recipients, other operations,
    numbers that are not minimal, anything broken. A slice never fails, so that the end is compared with the
    size at last.
    """
    token_at = short_text_end(value, short_text_end(value, _FRAME_BYTES))
    names_bytes = value[_FRAME_BYTES:token_at]
    account_id, endpoint_id = _names(names_bytes)
    timestamp_ms, nonce_at = read_long(value, token_at)
    nonce, payload_at = read_long(value, nonce_at)
    thread_id, at = read_short_text(value, payload_at)
    recipients, at = read_short_texts(value, at)
    operation, at = _READERS[value[at]](value, at + 1)
    if at != len(value):
        raise ValueError
    return Request(
        account_id,
        endpoint_id,
        Token(timestamp_ms, nonce),
        thread_id,
        recipients,
        operation,
        value[payload_at:],
        Sender(account_id, names_bytes, value[token_at:payload_at]),
    )


@lru_cache(maxsize=65_536)  # a client that sends once sends again
def _names(names_bytes: bytes) -> tuple[str, str]:
    account_id, endpoint_at = read_short_text(names_bytes, 0)
    return account_id, read_short_text(names_bytes, endpoint_at)[0]


def _post(value: bytes, at: int) -> tuple[Branch, int]:
    content_type, at = read_short_text(value, at)
    body, at = read_bytes(value, at)
    if value[at]:  # media
        raise ValueError
    return (_POST, {"content_type": content_type, "body": body, "media": []}), at + 1


def _edit(value: bytes, at: int) -> tuple[Branch, int]:
    end = at + MESSAGE_ID_BYTES
    body, after = read_bytes(value, end)
    return (_EDIT, {"message_id": value[at:end], "body": body}), after


def _delete(value: bytes, at: int) -> tuple[Branch, int]:
    end = at + MESSAGE_ID_BYTES
    return (_DELETE, {"message_id": value[at:end]}), end


def _mark_read(value: bytes, at: int) -> tuple[Branch, int]:
    end = at + MESSAGE_ID_BYTES
    return (_MARK_READ, {"message_id": value[at:end]}), end


def _other(_value: bytes, _at: int) -> tuple[Branch, int]:
    raise ValueError


_POST, _EDIT = OperationName.POST.value, OperationName.EDIT.value
_DELETE, _MARK_READ = OperationName.DELETE.value, OperationName.MARK_READ.value
_READERS: list[Callable[[bytes, int], tuple[Branch, int]]] = [_other] * 256
_READERS[0], _READERS[4], _READERS[6], _READERS[8] = _post, _edit, _delete, _mark_read


def _sample(recipients: list[str] | None, name: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "account_id": "account",
        "endpoint_id": "endpoint",
        "token": {"timestamp_ms": 1_700_000_000_000, "nonce": 2**63 - 1},
        "thread_id": "thread",
        "recipients": recipients,
        "operation": (name, fields),
    }


SAMPLES = (
    _sample(None, _POST, {"content_type": "text/plain", "body": b"b" * 200, "media": []}),
    _sample(["a", "b"], _EDIT, {"message_id": b"m" * MESSAGE_ID_BYTES, "body": b""}),
    _sample(None, _DELETE, {"message_id": b"m" * MESSAGE_ID_BYTES}),
    _sample([], _MARK_READ, {"message_id": b"m" * MESSAGE_ID_BYTES}),
)
"""Requests that the layouts of this package are proven with."""
