"""Reads a ThreadOperation: decoded as far as the thread decides by it, in pieces as far as it is passed on.

Nearly every operation comes from our own ingest in the newest schema with short ids, and is read here by hand;
everything else goes through the codec. Guarantees: both ways give the same tuple, and pieces in Avro's minimal
encoding. Checked for a sample when a reader is made, so that a changed schema is never read in the old layout;
property-tested in tests/fanout/test_operation.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from streams.codec.primitives import (
    long_end,
    long_once,
    read_short_text,
    read_short_texts,
    text_once,
    token_bytes,
)
from streams.errors import ConfigurationError, Undecodable
from streams.ids import MESSAGE_ID_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.codec import Codec

RECORD: Final = "ThreadOperation"
_BRANCHES: Final = 6
"""Operations in the union."""


class Operation(NamedTuple):
    """One operation of a thread."""

    account_id: str
    """Who sent it."""
    thread_id: str
    recipients: Sequence[str] | None
    account_bytes: bytes
    """account_id, encoded; so are the fields below."""
    endpoint_bytes: bytes
    token_bytes: bytes
    message_id: bytes
    server_at_bytes: bytes
    thread_bytes: bytes
    content: bytes
    """The operation: its branch number, then its fields."""


class OperationReader:
    """Reads operations of every published version."""

    def __init__(self, codec: Codec) -> None:
        self._format = codec[RECORD]
        self._split = self._format.split("operation")
        self._frame = self._split.frame
        self._prove_layout()

    def read(self, value: bytes | None) -> Operation:
        """Return the operation; raise Undecodable or UnknownSchema. Its content is not decoded."""
        if value is None:
            raise Undecodable("the record has no value")
        if value.startswith(self._frame):
            try:
                return _read_by_hand(value, len(self._frame))
            except (IndexError, ValueError):  # another shape, or broken: the codec tells which
                pass
        return _of(*self._split.read(value))

    def fields(self, value: bytes) -> dict[str, Any]:
        """Return the decoded head of an operation that was read before: for the rare refusal."""
        return self._split.read(value)[0]

    def decode(self, content: bytes) -> dict[str, Any]:
        """Return the decoded fields of an operation's content; raise Undecodable."""
        fields: dict[str, Any] = self._split.decode_tail(content)["operation"][1]
        return fields

    def _prove_layout(self) -> None:
        for recipients in (None, [], ["b", "c"]):
            value = self._format.encode({**_SAMPLE, "recipients": recipients})
            try:
                found = _read_by_hand(value, len(self._frame))
            except (IndexError, ValueError):
                found = None
            if found != _of(*self._split.read(value)):
                raise ConfigurationError(
                    f"{RECORD} has a layout that streams/fanout/operation.py does not know"
                )


def _of(head: dict[str, Any], content: bytes) -> Operation:
    account, token = head["account_id"], head["token"]
    return Operation(
        account,
        head["thread_id"],
        head["recipients"],
        text_once(account),
        text_once(head["endpoint_id"]),
        token_bytes(**token),
        head["message_id"],
        long_once(head["server_at_ms"]),
        text_once(head["thread_id"]),
        content,
    )


def _read_by_hand(value: bytes, at: int) -> Operation:
    """Return an operation whose body begins at `at`; raise ValueError or IndexError for every unusual shape."""
    account, endpoint_at = read_short_text(value, at)
    _, token_at = read_short_text(value, endpoint_at)  # decoded because what is no text is refused here
    message_at = long_end(value, long_end(value, token_at))
    server_at = message_at + MESSAGE_ID_BYTES
    thread_at = long_end(value, server_at)
    thread, recipients_at = read_short_text(value, thread_at)
    recipients, content_at = read_short_texts(value, recipients_at)
    branch = value[content_at]
    if branch & 1 or branch >= 2 * _BRANCHES:
        raise ValueError
    return Operation(
        account,
        thread,
        recipients,
        value[at:endpoint_at],
        value[endpoint_at:token_at],
        value[token_at:message_at],
        value[message_at:server_at],
        value[server_at:thread_at],
        value[thread_at:recipients_at],
        value[content_at:],
    )


_SAMPLE: Final[dict[str, Any]] = {
    "account_id": "account",
    "endpoint_id": "endpoint",
    "token": {"timestamp_ms": 1_700_000_000_000, "nonce": 2**63 - 1},
    "message_id": bytes(range(MESSAGE_ID_BYTES)),
    "server_at_ms": 1_700_000_000_001,
    "thread_id": "thread",
    "operation": ("lockstep.Post", {"content_type": "text/plain", "body": b"b" * 200, "media": []}),
}
