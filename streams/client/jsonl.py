"""Requests as JSON lines, for the shell and for other programs.

One object a line: account_id, endpoint_id (default device-1), thread_id, recipients (optional), token
(optional: {timestamp_ms, nonce}), and exactly one operation: post, post_form, edit, delete, mark_read or
change_members with the fields of its schema; `"post": "text"` is short for a body; message ids are
hexadecimal. Tested in tests/client/test_requests.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from streams.client.plans import endpoint_name
from streams.client.requests import (
    Request,
    change_members,
    delete,
    edit,
    mark_read,
    new_token,
    post,
    post_form,
)
from streams.errors import ConfigurationError
from streams.ids import Token
from streams.records import Branch


def read_requests(lines: Iterable[str]) -> Iterator[Request]:
    """Give a request a line, blank lines left out; raises ConfigurationError naming the line."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield request_of(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                reason = f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else str(error)
                raise ConfigurationError(f"line {number} of the input is no request: {reason}") from error


def request_of(fields: Mapping[str, Any]) -> Request:
    """Return the request of one JSON object; raises ValueError, TypeError or KeyError."""
    names = [name for name in _OPERATIONS if name in fields]
    unknown = sorted(fields.keys() - _OPERATIONS.keys() - _PLAIN)
    if len(names) != 1 or unknown:
        raise ValueError(
            f"expected {', '.join(sorted(_PLAIN))} and one of {', '.join(_OPERATIONS)}, "
            f"got {', '.join(fields)}"
        )
    token = fields.get("token")
    return Request(
        account_id=_text(fields["account_id"]),
        endpoint_id=_text(fields.get("endpoint_id", endpoint_name(1))),
        thread_id=_text(fields["thread_id"]),
        operation=_OPERATIONS[names[0]](fields[names[0]]),
        recipients=fields.get("recipients"),
        token=new_token() if token is None else Token(int(token["timestamp_ms"]), int(token["nonce"])),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {value!r}")
    return value


def _post(value: Any) -> Branch:  # noqa: ANN401  # any JSON; what does not fit raises
    return post(value) if isinstance(value, str) else post(**value)


_OPERATIONS: dict[str, Callable[[Any], Branch]] = {
    "post": _post,
    "post_form": lambda value: post_form(value["form_id"], value.get("arguments")),
    "edit": lambda value: edit(bytes.fromhex(value["message_id"]), value["body"]),
    "delete": lambda value: delete(bytes.fromhex(value["message_id"])),
    "mark_read": lambda value: mark_read(bytes.fromhex(value["message_id"])),
    "change_members": lambda value: change_members(value.get("add", ()), value.get("remove", ())),
}
_PLAIN = {"account_id", "endpoint_id", "thread_id", "recipients", "token"}
