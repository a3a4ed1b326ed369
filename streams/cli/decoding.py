"""Records for people: decoded fields as JSON values, and one coloured line a record.

Tested in tests/cli/test_outside.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

_STATUS_COLOURS = {"ACCEPTED": "green", "DUPLICATE": "yellow", "OK": "green"}
_BODY_CHARACTERS = 80


def to_plain(value: Any) -> Any:  # noqa: ANN401  # any decoded Avro value
    """Return a decoded value as JSON takes it: bytes of a body as text where they are text, else hexadecimal.

    A branch of a union, (name, fields), becomes {name without namespace: fields}.
    """
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        return {value[0].removeprefix("lockstep."): to_plain(value[1])}
    if isinstance(value, Mapping):
        return {
            name: _text(one) if name == "body" and isinstance(one, bytes) else to_plain(one)
            for name, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [to_plain(one) for one in value]
    return value


def summary(record: str, fields: Mapping[str, Any]) -> Text:
    """Return one line about a record: who, where, what."""
    make = _LINES.get(record)
    line = Text(f"{record} {to_plain(fields)}") if make is None else make(fields)
    # Ids of a request that was not judged yet may hold anything: nothing of it may steer the terminal.
    line.plain = "".join(
        one if one == "\n" or one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in line.plain
    )
    return line


def _request(fields: Mapping[str, Any]) -> Text:
    token = fields["token"]
    line = Text.assemble(
        (f"{fields['account_id']}/{fields['endpoint_id']}", "cyan"),
        " -> ",
        (fields["thread_id"], "magenta"),
        " ",
    )
    line.append_text(_content(fields["operation"]))
    return line.append(f"  token {token['timestamp_ms']}:{token['nonce']}", "dim")


def _result(fields: Mapping[str, Any]) -> Text:
    token = fields["token"] or {"timestamp_ms": "?", "nonce": "?"}
    message = "" if fields["message_id"] is None else f" message {fields['message_id'].hex()}"
    return Text.assemble(
        (f"{fields['account_id']}/{fields['endpoint_id']}", "cyan"),
        " ",
        (fields["status"], _STATUS_COLOURS.get(fields["status"], "red")),
        f" {fields['code']}" if fields["code"] else "",
        (f"{message}  token {token['timestamp_ms']}:{token['nonce']}", "dim"),
    )


def _update(fields: Mapping[str, Any]) -> Text:
    owner = fields["account_id"] + (f"/{fields['endpoint_id']}" if "endpoint_id" in fields else "")
    numbers = (
        f"{fields['seq']}"
        if fields["seq"] == fields["seq_first"]
        else f"{fields['seq_first']}..{fields['seq']}"
    )
    line = Text.assemble(
        (owner, "cyan"),
        (f" {fields['epoch']}/{numbers} ", "bold"),
        (f"{fields['thread_id']}@{fields['thread_position']}", "magenta"),
        f" {fields['sender_id']}: ",
    )
    return line.append_text(_content(fields["content"]))


def _command_result(fields: Mapping[str, Any]) -> Text:
    return Text.assemble(
        (f"{fields['account_id']}/{fields['endpoint_id']}", "cyan"),
        " command ",
        (fields["code"], _STATUS_COLOURS.get(fields["code"], "red")),
        f" head {fields['head']} attached from {fields['attached_from_seq']}",
        (f"  command {fields['command_id']}", "dim"),
    )


def _batch(fields: Mapping[str, Any]) -> Text:
    line = Text.assemble(
        (f"{fields['account_id']}/{fields['endpoint_id']}", "cyan"),
        (f" batch {fields['epoch']}/{fields['seq_first']}..{fields['seq']}", "bold"),
        " and more" if fields["has_more"] else "",
    )
    for update in fields["updates"]:
        line.append("\n  ").append_text(_update(update))
    return line


def _dead_letter(fields: Mapping[str, Any]) -> Text:
    return Text.assemble(
        (fields["code"], "red"),
        f" {fields['topic']} {fields['partition']}@{fields['offset']} {len(fields['value'] or b'')} bytes: ",
        (fields["detail"], "dim"),
    )


def _content(branch: Any) -> Text:  # noqa: ANN401  # a branch of a union, or nothing
    if branch is None:
        return Text("noop", "dim")
    name, fields = branch
    kind = name.removeprefix("lockstep.")
    if "body" in fields:
        return Text.assemble((f"{kind} ", "yellow"), repr(_text(fields["body"])[:_BODY_CHARACTERS]))
    if "text" in fields:
        return Text.assemble((f"{kind} ", "yellow"), repr(fields["text"]))
    shown = " ".join(f"{key}={one.hex() if isinstance(one, bytes) else one}" for key, one in fields.items())
    return Text.assemble((f"{kind} ", "yellow"), shown)


def _text(body: bytes) -> str:
    return body.decode("utf-8", "backslashreplace")


_LINES = {
    "SendRequest": _request,
    "SendResult": _result,
    "InboxUpdate": _update,
    "EndpointUpdate": _update,
    "CommandResult": _command_result,
    "UpdateBatch": _batch,
    "DeadLetter": _dead_letter,
}
