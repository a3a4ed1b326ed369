"""The shapes that travel on topics, as Python sees them.

The Avro schemas in schemas/ are the source; names here are those. Records are plain dictionaries (the decoder's own
output: a class for each would cost more than the work done on it), described for mypy by TypedDicts where rules use
them. Unions of records decode to (name, dictionary) pairs.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypedDict

Branch = tuple[str, dict[str, Any]]
"""A branch of a union of records: full name, fields."""


class Status(StrEnum):
    """What became of a request."""

    ACCEPTED = "ACCEPTED"
    DUPLICATE = "DUPLICATE"
    TOO_OLD = "TOO_OLD"
    CLOCK_AHEAD = "CLOCK_AHEAD"
    TOKEN_REUSED = "TOKEN_REUSED"  # noqa: S105  # a status, not a secret
    REJECTED = "REJECTED"
    REFUSED = "REFUSED"


class Kind(StrEnum):
    """What an update is."""

    POST = "post"
    POST_FORM = "post_form"
    EDIT = "edit"
    DELETE = "delete"
    MARK_READ = "mark_read"
    CHANGE_MEMBERS = "change_members"
    TOMBSTONE = "tombstone"
    NOOP = "noop"


class OperationName(StrEnum):
    """Full Avro names of the operations, in the order of the union."""

    POST = "lockstep.Post"
    POST_FORM = "lockstep.PostForm"
    EDIT = "lockstep.Edit"
    DELETE = "lockstep.Delete"
    MARK_READ = "lockstep.MarkRead"
    CHANGE_MEMBERS = "lockstep.ChangeMembers"


OPERATION_NAMES: tuple[str, ...] = tuple(OperationName)
"""Branch number -> name, the same in the unions of operations, contents and (but for forms) endpoint contents."""
KINDS: tuple[Kind, ...] = tuple(Kind)
"""Branch number -> kind."""


class RefusalCode(StrEnum):
    """Why a thread refuses an operation (Q21)."""

    NOT_A_MEMBER = "NOT_A_MEMBER"
    THREAD_UNKNOWN = "THREAD_UNKNOWN"
    THREAD_FULL = "THREAD_FULL"
    NOT_THE_AUTHOR = "NOT_THE_AUTHOR"


class CommandCode(StrEnum):
    """How a command of an endpoint ended.

    The number in COMMAND_CODE_NUMBERS tells a client what to do: 1xx done, 2xx try again later, 3xx take a snapshot,
    4xx stop: the command itself is wrong.
    """

    OK = "OK"
    NOT_ATTACHED = "NOT_ATTACHED"
    BELOW_KEPT = "BELOW_KEPT"
    EPOCH_CHANGED = "EPOCH_CHANGED"
    BEYOND_HEAD = "BEYOND_HEAD"
    UNKNOWN_ENDPOINT = "UNKNOWN_ENDPOINT"
    UNKNOWN_ROUTE = "UNKNOWN_ROUTE"
    TOO_MANY_ENDPOINTS = "TOO_MANY_ENDPOINTS"
    UNSUPPORTED = "UNSUPPORTED"
    REJECTED = "REJECTED"


COMMAND_CODE_NUMBERS: dict[CommandCode, int] = {
    CommandCode.OK: 100,
    CommandCode.NOT_ATTACHED: 200,
    CommandCode.BELOW_KEPT: 300,
    CommandCode.EPOCH_CHANGED: 301,
    CommandCode.BEYOND_HEAD: 400,
    CommandCode.UNKNOWN_ENDPOINT: 401,
    CommandCode.UNKNOWN_ROUTE: 402,
    CommandCode.TOO_MANY_ENDPOINTS: 403,
    CommandCode.UNSUPPORTED: 404,
    CommandCode.REJECTED: 405,
}


class TokenFields(TypedDict):
    """lockstep.Token."""

    timestamp_ms: int
    nonce: int


class SendRequest(TypedDict):
    """lockstep.SendRequest."""

    account_id: str
    endpoint_id: str
    token: TokenFields
    thread_id: str
    recipients: list[str] | None
    operation: Branch


class ThreadOperationHead(TypedDict):
    """lockstep.ThreadOperation without its operation, which stays encoded."""

    account_id: str
    endpoint_id: str
    token: TokenFields
    message_id: bytes
    server_at_ms: int
    thread_id: str
    recipients: list[str] | None


class UpdateTail(TypedDict):
    """The fields that ThreadMessage, InboxAppend, InboxUpdate and EndpointUpdate share, from message_id on."""

    message_id: bytes
    thread_id: str
    thread_position: int
    sender_id: str
    server_at_ms: int
    kind: str
    content: Branch | None
