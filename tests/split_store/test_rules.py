"""What follows from a thread's operations (streams/split_store/rules.py)."""

from __future__ import annotations

from typing import Any

import pytest

from streams.errors import MissingKey, RecordError, Undecodable
from streams.split_store.rules import (
    NotStorable,
    Operation,
    body_writes,
    changed_keys,
    metadata_rows,
    parse,
)
from streams.store_ports import Body, MessageKey, MetadataRow
from tests.split_store.scenes import (
    CODEC,
    Script,
    change_members,
    delete,
    edit,
    form,
    id_at,
    mark_read,
    post,
)


def operations(*contents: tuple[str, dict[str, Any]]) -> list[Operation]:
    script = Script()
    for content in contents:
        script.add(content)
    return [parse(CODEC, record.key, record.value) for record in script.records]


def key_at(position: int) -> MessageKey:
    return MessageKey("thread", id_at(position))


def test_a_post_becomes_a_row_and_a_body_of_its_position() -> None:
    """Who, when and where go in the row, what it says in the body."""
    [operation] = operations(post("hello"))
    [row] = metadata_rows([operation], {})
    assert (row.key, row.position, row.version, row.kind, row.sender_id) == (key_at(1), 1, 1, "post", "ada")
    assert (row.has_body, row.is_deleted, row.target, row.server_at_ms) == (True, False, None, 1_001)
    [body] = body_writes([operation], {})
    assert (body.key, body.version, body.text) == (key_at(1), 1, None)
    assert CODEC.decode_as("Post", body.content)["body"] == b"hello"


def test_a_form_message_keeps_its_form_and_arguments_as_body() -> None:
    """Its text is each endpoint's: what is stored is what the text is made from."""
    [operation] = operations(form("greeting"))
    [body] = body_writes([operation], {})
    assert CODEC.decode_as("PostForm", body.content)["form_id"] == "greeting"


def test_what_creates_or_changes_a_membership_names_the_members_in_its_row() -> None:
    """The first post carries the thread's first members, a change of members its own; neither is a body."""
    first, change = metadata_rows(operations(post(), change_members("cleo")), {})
    assert CODEC.decode_as("ChangeMembers", first.members)["add"] == ["ada", "ben"]
    assert CODEC.decode_as("ChangeMembers", change.members)["add"] == ["cleo"]
    assert not change.has_body


def test_an_edit_is_a_new_version_of_row_and_body() -> None:
    """W11: edits are versions: the row names the one the body has, which keeps its first content."""
    script = operations(post("one"), edit(id_at(1), "two"), edit(id_at(1), "three"))
    rows = {row.key: row for row in metadata_rows(script, {})}
    assert (rows[key_at(1)].version, rows[key_at(1)].position) == (3, 1)
    assert (rows[key_at(3)].version, rows[key_at(3)].target) == (3, id_at(1))
    [body] = body_writes(script, {})
    assert (body.version, body.text) == (3, b"three")
    assert CODEC.decode_as("Post", body.content)["body"] == b"one"


def test_a_delete_makes_a_tombstone_and_erases_the_body() -> None:
    """W11: the row stays, says who and when, and is deleted; of the body nothing but a version is left."""
    script = operations(post("secret"), edit(id_at(1), "more secret"), delete(id_at(1)))
    tombstone = next(row for row in metadata_rows(script, {}) if row.key == key_at(1))
    assert (tombstone.is_deleted, tombstone.version, tombstone.sender_id) == (True, 3, "ada")
    [body] = body_writes(script, {})
    assert (body.is_erased, body.version, body.content, body.text) == (True, 3, b"", None)


def test_nothing_changes_a_deleted_message_any_more() -> None:
    """An edit after the delete, and a second delete, leave only their own rows."""
    script = operations(post(), delete(id_at(1)), edit(id_at(1), "back"), delete(id_at(1)))
    rows = {row.key: row for row in metadata_rows(script, {})}
    assert (rows[key_at(1)].is_deleted, rows[key_at(1)].version) == (True, 2)
    assert [(body.is_erased, body.version) for body in body_writes(script, {})] == [(True, 2)]
    assert set(rows) == {key_at(position) for position in (1, 2, 3, 4)}


@pytest.mark.parametrize("target", [9, 2, 3])
def test_changing_what_is_no_message_is_harmless(target: int) -> None:
    """An edit or delete of nobody's message, of an operation, or of itself leaves its row and no body."""
    script = operations(post(), mark_read(id_at(1)), edit(id_at(target), "x"), delete(id_at(target)))
    rows = {row.key: row for row in metadata_rows(script, {})}
    assert [rows[key_at(position)].version for position in (1, 2, 3, 4)] == [1, 2, 3, 4]
    assert not any(row.is_deleted for row in rows.values())
    assert [body.key for body in body_writes(script, {})] == [key_at(1)]


def test_one_batch_or_many_come_to_the_same() -> None:
    """What a batch does depends on what is stored of the messages it changes, which `changed_keys` names."""
    script = operations(post("a"), post("b"), edit(id_at(1), "c"), delete(id_at(2)), edit(id_at(2), "d"))
    rows: dict[MessageKey, MetadataRow] = {}
    bodies: dict[MessageKey, Body] = {}
    for operation in script:
        keys = changed_keys([operation])
        rows |= {one.key: one for one in metadata_rows([operation], {key: rows[key] for key in keys})}
        bodies |= {one.key: one for one in body_writes([operation], {key: bodies[key] for key in keys})}
    assert rows == {row.key: row for row in metadata_rows(script, {})}
    assert bodies == {body.key: body for body in body_writes(script, {})}
    assert changed_keys(script) == [key_at(1), key_at(2)]


def test_a_batch_that_comes_again_changes_nothing() -> None:
    """W11: against what is stored, a repeat writes nothing newer."""
    script = operations(post("a"), edit(id_at(1), "b"), post("c"), delete(id_at(3)))
    rows = {row.key: row for row in metadata_rows(script, {})}
    bodies = {body.key: body for body in body_writes(script, {})}
    for again in (script, script[1:], script[2:]):
        assert all(row.version <= rows[row.key].version for row in metadata_rows(again, rows))
        assert all(body.version <= bodies[body.key].version for body in body_writes(again, bodies))


def test_bytes_that_are_no_thread_message_are_refused() -> None:
    """W12: each under the code of what is wrong with it."""
    script = Script()
    script.add(post())
    [good] = script.records
    answer = CODEC["WakeUp"]
    cases: list[tuple[bytes | None, bytes | None, type[RecordError]]] = [
        (b"thread", b"junk", Undecodable),
        (b"thread", None, Undecodable),
        (b"thread", answer.frame, Undecodable),
        (None, good.value, MissingKey),
        (b"other", good.value, MissingKey),
    ]
    for key, value, expected in cases:
        with pytest.raises(expected):
            parse(CODEC, key, value)


@pytest.mark.parametrize(
    "changes",
    [
        {"thread_position": 0},
        {"thread_position": -1},
        {"kind": "edit"},
        {"kind": "tombstone", "content": ("lockstep.Tombstone", {"reason": "x"})},
        {"kind": "noop", "content": None},
        {"sender_id": ""},
        {"thread_id": "a\0b"},
    ],
)
def test_a_record_that_is_no_operation_of_a_thread_is_refused(changes: dict[str, Any]) -> None:
    """W12: it decodes, but no row could stand for it."""
    script = Script()
    others = {name: value for name, value in changes.items() if name != "thread_id"}
    script.add(post(), thread_id=changes.get("thread_id"), **others)
    with pytest.raises(NotStorable):
        parse(CODEC, script.records[0].key, script.records[0].value)
