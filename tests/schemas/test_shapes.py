"""The schemas are what design and documentation say, and readable one by one (schemas/)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streams.codec import NAMESPACE, RESOURCES, Codec

CODEC = Codec()
FILES = sorted((RESOURCES / "schemas").glob("*.avsc"))

# Names and order of the fields that outside tools rely on; what came later stands behind or between them.
UPDATE = (
    "account_id epoch seq_first seq message_id thread_id thread_position sender_id server_at_ms kind content"
)
SHAPES = {
    "SendRequest": "account_id endpoint_id token thread_id recipients operation",
    "Token": "timestamp_ms nonce",
    "Post": "content_type body media",
    "MediaVariant": "label width bytes address",
    "PostForm": "form_id arguments",
    "Edit": "message_id body",
    "Delete": "message_id",
    "MarkRead": "message_id",
    "ChangeMembers": "add remove",
    "SendResult": "token status message_id server_at_ms code",
    "InboxUpdate": UPDATE,
    "EndpointUpdate": UPDATE,
    "EndpointCommand": "command_id account_id endpoint_id command",
    "Register": "locale app_version capabilities media_width_max encoding route window",
    "Unregister": "",
    "Attach": "position",
    "Detach": "",
    "Ack": "epoch seq",
    "MissingUpdates": "epoch from_seq limit",
    "Snapshot": "",
    "CommandResult": "command_id code attached_from_seq head",
    "UpdateBatch": "seq_first seq updates has_more",
    "DeadLetter": "topic partition offset key value headers code detail at_ms",
    "Tombstone": "reason",
}
UNIONS = {
    ("SendRequest", "operation"): "Post PostForm Edit Delete MarkRead ChangeMembers",
    ("InboxUpdate", "content"): "Post PostForm Edit Delete MarkRead ChangeMembers Tombstone null",
    ("EndpointUpdate", "content"): "Post FormText Edit Delete MarkRead ChangeMembers Tombstone null",
    ("EndpointCommand", "command"): "Register Unregister Attach Detach Ack MissingUpdates Snapshot",
}


def load(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((RESOURCES / "schemas" / f"{NAMESPACE}.{name}.avsc").read_text())
    return schema


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_holds_the_one_named_type_that_its_name_says(path: Any) -> None:
    schema = json.loads(path.read_text())
    assert path.name == f"{schema['namespace']}.{schema['name']}.avsc"
    inside = [field["type"] for field in schema.get("fields", ())]
    assert not [one for one in inside if isinstance(one, dict) and one["type"] in ("record", "enum", "fixed")]


@pytest.mark.parametrize("name", sorted(CODEC.formats))
def test_every_record_and_every_field_is_explained(name: str) -> None:
    schema = load(name)
    assert schema["doc"].endswith(".")
    assert [field["name"] for field in schema["fields"] if not field.get("doc", "").endswith(".")] == []


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_the_published_fields_stand_in_their_published_order(name: str) -> None:
    fields = [field["name"] for field in load(name)["fields"]]
    wanted = SHAPES[name].split()
    assert [one for one in fields if one in wanted] == wanted


@pytest.mark.parametrize(("name", "field"), sorted(UNIONS))
def test_the_branches_of_a_union_keep_their_numbers(name: str, field: str) -> None:
    (branches,) = [one["type"] for one in load(name)["fields"] if one["name"] == field]
    wanted = UNIONS[name, field].split()
    assert [branch.removeprefix(f"{NAMESPACE}.") for branch in branches][: len(wanted)] == wanted
