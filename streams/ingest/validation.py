"""Whether a request is well-formed: what can be said without looking at any state.

Guarantees: the verdict depends on the request and streams/limits.py alone, so a retry meets the same one. A
problem is a value: a stable code that the sender is told, and a detail for people that the dead letter keeps.
Not decided here: whether the thread exists and the sender may (fanout), and whether the token is new
(admission). Tested in tests/ingest/test_validation.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, NamedTuple

from streams import limits
from streams.ids import Token, id_problem
from streams.records import Branch, OperationName

Fields = dict[str, Any]


class RejectionCode(StrEnum):
    """Why a request is rejected, beside the codes of ids (ids.id_problem) and of records (streams.errors)."""

    TIMESTAMP_NEGATIVE = "TIMESTAMP_NEGATIVE"
    NONCE_NEGATIVE = "NONCE_NEGATIVE"
    RECIPIENTS_EMPTY = "RECIPIENTS_EMPTY"
    RECIPIENTS_TOO_MANY = "RECIPIENTS_TOO_MANY"
    BODY_TOO_LARGE = "BODY_TOO_LARGE"
    CONTENT_TYPE_INVALID = "CONTENT_TYPE_INVALID"
    MEDIA_TOO_MANY = "MEDIA_TOO_MANY"
    MEDIA_INVALID = "MEDIA_INVALID"
    FORM_ARGUMENTS_TOO_MANY = "FORM_ARGUMENTS_TOO_MANY"
    FORM_ARGUMENT_TOO_LONG = "FORM_ARGUMENT_TOO_LONG"
    MEMBERS_EMPTY = "MEMBERS_EMPTY"
    MEMBERS_TOO_MANY = "MEMBERS_TOO_MANY"


class Problem(NamedTuple):
    """What is wrong with a request: a stable code for programs, a detail for people."""

    code: str
    detail: str


def client_problem(account_id: str, endpoint_id: str) -> Problem | None:
    """Return what is wrong with the names of who sends, or None."""
    if problem := id_problem(account_id):
        return Problem(problem, f"account_id has {len(account_id.encode())} bytes: {account_id!r}")
    if problem := id_problem(endpoint_id):
        return Problem(problem, f"endpoint_id has {len(endpoint_id.encode())} bytes: {endpoint_id!r}")
    return None


def token_problem(token: Token) -> Problem | None:
    """Return what is wrong with a token, or None."""
    if token.timestamp_ms < 0:
        return Problem(
            RejectionCode.TIMESTAMP_NEGATIVE,
            f"token.timestamp_ms is {token.timestamp_ms}, at least 0 is expected",
        )
    if token.nonce < 0:
        return Problem(
            RejectionCode.NONCE_NEGATIVE, f"token.nonce is {token.nonce}, 63 random bits are expected"
        )
    return None


def payload_problem(thread_id: str, recipients: list[str] | None, operation: Branch) -> Problem | None:
    """Return what is wrong with what is asked, or None."""
    if problem := id_problem(thread_id):
        return Problem(problem, f"thread_id has {len(thread_id.encode())} bytes: {thread_id!r}")
    if recipients is not None and (found := _recipients_problem(recipients)):
        return found
    name, fields = operation
    return _PROBLEMS[name](fields)


def _recipients_problem(recipients: list[str]) -> Problem | None:
    if not recipients:
        return Problem(
            RejectionCode.RECIPIENTS_EMPTY, "recipients is an empty list; null lets the thread decide"
        )
    if len(recipients) > limits.RECIPIENTS_MAX:
        return _too_many(
            RejectionCode.RECIPIENTS_TOO_MANY, "recipients", len(recipients), limits.RECIPIENTS_MAX
        )
    return _ids_problem("recipients", recipients)


def _post_problem(fields: Fields) -> Problem | None:
    content_type, media = fields["content_type"], fields["media"]
    if _is_bad_text(content_type, limits.CONTENT_TYPE_BYTES_MAX):
        return Problem(
            RejectionCode.CONTENT_TYPE_INVALID, f"content_type {content_type[:200]!r}: {_TEXT_RULE}"
        )
    if media and (found := _media_problem(media)):
        return found
    return _body_problem(fields)


def _media_problem(media: list[Fields]) -> Problem | None:
    if len(media) > limits.MEDIA_VARIANTS_MAX:
        return _too_many(RejectionCode.MEDIA_TOO_MANY, "media", len(media), limits.MEDIA_VARIANTS_MAX)
    for number, variant in enumerate(media):
        for field, bytes_max in (("label", limits.ID_BYTES_MAX), ("address", limits.MEDIA_ADDRESS_BYTES_MAX)):
            if _is_bad_text(variant[field], bytes_max):
                text = variant[field][:200]
                return Problem(RejectionCode.MEDIA_INVALID, f"media[{number}].{field} {text!r}: {_TEXT_RULE}")
        for field, most in (("width", _INT_MAX), ("bytes", _LONG_MAX)):
            if not 0 <= variant[field] <= most:
                return Problem(RejectionCode.MEDIA_INVALID, f"media[{number}].{field} is {variant[field]}")
    return None


def _post_form_problem(fields: Fields) -> Problem | None:
    arguments = fields["arguments"]
    if problem := id_problem(fields["form_id"]):
        return Problem(problem, f"form_id {fields['form_id'][:200]!r}")
    if len(arguments) > limits.FORM_ARGUMENTS_MAX:
        return _too_many(
            RejectionCode.FORM_ARGUMENTS_TOO_MANY, "arguments", len(arguments), limits.FORM_ARGUMENTS_MAX
        )
    for key, value in arguments.items():
        if problem := id_problem(key):
            return Problem(problem, f"name of the argument {key[:200]!r}")
        if len(value.encode()) > limits.FORM_ARGUMENT_BYTES_MAX:
            return _too_many(
                RejectionCode.FORM_ARGUMENT_TOO_LONG,
                f"bytes of the argument {key!r}",
                len(value.encode()),
                limits.FORM_ARGUMENT_BYTES_MAX,
            )
    return None


def _body_problem(fields: Fields) -> Problem | None:
    size = len(fields["body"])
    if size > limits.BODY_BYTES_MAX:
        return _too_many(RejectionCode.BODY_TOO_LARGE, "bytes of the body", size, limits.BODY_BYTES_MAX)
    return None


def _no_problem(_fields: Fields) -> Problem | None:
    return None


def _change_members_problem(fields: Fields) -> Problem | None:
    add, remove = fields["add"], fields["remove"]
    if not add and not remove:
        return Problem(RejectionCode.MEMBERS_EMPTY, "nobody to add and nobody to remove")
    for field, accounts in (("add", add), ("remove", remove)):
        if len(accounts) > limits.RECIPIENTS_MAX:
            return _too_many(RejectionCode.MEMBERS_TOO_MANY, field, len(accounts), limits.RECIPIENTS_MAX)
        if found := _ids_problem(field, accounts):
            return found
    return None


_PROBLEMS: dict[str, Callable[[Fields], Problem | None]] = {
    OperationName.POST: _post_problem,
    OperationName.POST_FORM: _post_form_problem,
    OperationName.EDIT: _body_problem,
    OperationName.DELETE: _no_problem,
    OperationName.MARK_READ: _no_problem,
    OperationName.CHANGE_MEMBERS: _change_members_problem,
}

_INT_MAX, _LONG_MAX = 2**31 - 1, 2**63 - 1
"""Avro's own; our decoder takes an int that other libraries refuse."""
_TEXT_RULE = "too long, or holds control characters"


def _is_bad_text(text: str, bytes_max: int) -> bool:
    if text.isascii() and text.isprintable():  # the usual case, without a look at each character
        return len(text) > bytes_max
    return len(text.encode()) > bytes_max or any(
        character < " " or "\x7f" <= character <= "\x9f" for character in text
    )


def _ids_problem(field: str, names: Iterable[str]) -> Problem | None:
    for number, name in enumerate(names):
        if problem := id_problem(name):
            return Problem(problem, f"{field}[{number}] has {len(name.encode())} bytes: {name[:200]!r}")
    return None


def _too_many(code: RejectionCode, what: str, found: int, limit: int) -> Problem:
    return Problem(code, f"{what}: {found}, at most {limit} are taken")
