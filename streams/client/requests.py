"""What a sender asks for: operations, tokens, and the request that carries them.

A token is made once, when a message is composed, and stays with it over every retry: that is what makes a
retry harmless. Nothing here talks to Kafka; a `Request` is plain data with a known message id.
Tested in tests/client/test_requests.py.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streams.ids import Token, message_id
from streams.records import Branch, OperationName

_NONCE_BITS = 63


def new_token(now_ms: int | None = None) -> Token:
    """Return a fresh token: the clock in milliseconds (default: the system's) and 63 random bits."""
    return Token(time.time_ns() // 1_000_000 if now_ms is None else now_ms, secrets.randbits(_NONCE_BITS))


def post(
    body: str | bytes,
    content_type: str = "text/plain; charset=utf-8",
    media: Sequence[Mapping[str, Any]] = (),
) -> Branch:
    """A message that a person wrote. `media`: mappings with label, width (pixels), bytes, address."""
    data = body.encode() if isinstance(body, str) else body
    fields = {"content_type": content_type, "body": data, "media": [dict(one) for one in media]}
    return (OperationName.POST.value, fields)


def post_form(form_id: str, arguments: Mapping[str, str] | None = None) -> Branch:
    """A message whose text comes from the catalogue, in each endpoint's own language."""
    return (OperationName.POST_FORM.value, {"form_id": form_id, "arguments": dict(arguments or {})})


def edit(message: bytes, body: str | bytes) -> Branch:
    """Replace the body of one's own message of the same thread."""
    data = body.encode() if isinstance(body, str) else body
    return (OperationName.EDIT.value, {"message_id": message, "body": data})


def delete(message: bytes) -> Branch:
    """Remove one's own message of the same thread."""
    return (OperationName.DELETE.value, {"message_id": message})


def mark_read(message: bytes) -> Branch:
    """Say that the sender has read the thread up to a message."""
    return (OperationName.MARK_READ.value, {"message_id": message})


def change_members(add: Sequence[str] = (), remove: Sequence[str] = ()) -> Branch:
    """Add and remove members of the thread."""
    return (OperationName.CHANGE_MEMBERS.value, {"add": list(add), "remove": list(remove)})


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `recipients` (the sender is included) creates the thread when there is none."""

    account_id: str
    endpoint_id: str
    thread_id: str
    operation: Branch
    recipients: Sequence[str] | None = None
    token: Token = field(default_factory=new_token)

    @property
    def message_id(self) -> bytes:
        """The 16 bytes that name the message once it is accepted, on every retry alike."""
        return message_id(self.account_id, self.endpoint_id, self.token)

    def fields(self) -> dict[str, Any]:
        """The fields of lockstep.SendRequest."""
        return {
            "account_id": self.account_id,
            "endpoint_id": self.endpoint_id,
            "token": {"timestamp_ms": self.token.timestamp_ms, "nonce": self.token.nonce},
            "thread_id": self.thread_id,
            "recipients": None if self.recipients is None else list(self.recipients),
            "operation": self.operation,
        }
