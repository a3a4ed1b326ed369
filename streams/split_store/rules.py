"""Which metadata rows and which bodies follow from what a thread admitted. Pure.

A thread's operations come in the order of their positions. Each leaves a metadata row at its position; a
post or a form message also a body. An edit is a new version of a body, a delete turns a message's row
into a tombstone and erases its body. An edit or a delete whose target is nobody's message, no message, or
deleted leaves only its own row.

Guarantees: applying operations again, from any earlier point in their order, changes nothing (an object
changes only to a greater version); and what happens to a message's row and to its body is the same
decision, each made from its own store. Tested in tests/split_store/test_rules.py and
tests/split_store/test_convergence.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from streams.errors import MissingKey, RecordError, Undecodable
from streams.ids import id_problem
from streams.records import Kind, OperationName
from streams.store_ports import Body, MessageKey, MetadataRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from streams.codec import Codec

_KINDS = {
    OperationName.POST: Kind.POST,
    OperationName.POST_FORM: Kind.POST_FORM,
    OperationName.EDIT: Kind.EDIT,
    OperationName.DELETE: Kind.DELETE,
    OperationName.MARK_READ: Kind.MARK_READ,
    OperationName.CHANGE_MEMBERS: Kind.CHANGE_MEMBERS,
}


class NotStorable(RecordError):
    """The record decodes, but is no operation of a thread that a store could hold."""

    code = "NOT_STORABLE"


@dataclass(frozen=True, slots=True)
class Operation:
    """What the split store needs of one ThreadMessage: its own row, and what it does to bodies."""

    row: MetadataRow
    content: bytes = b""
    """The framed Post or PostForm that becomes a body; empty for other kinds."""
    text: bytes | None = None
    """What an edit puts in place of its target's text."""

    @property
    def is_edit(self) -> bool:
        return self.row.kind == Kind.EDIT

    @property
    def is_delete(self) -> bool:
        return self.row.kind == Kind.DELETE

    @property
    def changed_key(self) -> MessageKey | None:
        """The message, other than its own, that the operation changes if there is one."""
        if self.row.target is None or not (self.is_edit or self.is_delete):
            return None
        return MessageKey(self.row.thread_id, self.row.target)

    @property
    def body(self) -> Body | None:
        """The body that the operation brings into being."""
        row = self.row
        return Body(row.thread_id, row.message_id, row.version, self.content) if self.content else None


def parse(codec: Codec, key: bytes | None, value: bytes | None) -> Operation:
    """Return the operation that a record of thread.messages holds; raise RecordError when it holds none."""
    fields = codec.decode_as("ThreadMessage", value)
    thread_id, position = fields["thread_id"], fields["thread_position"]
    if key != thread_id.encode():
        raise MissingKey(f"the key is {key!r}; expected the thread {thread_id!r} of the record")
    problem = id_problem(thread_id) or id_problem(fields["sender_id"])
    if problem is not None or position < 1:
        raise NotStorable(problem or f"the thread position is {position}; expected 1 or more")
    if fields["content"] is None:
        raise NotStorable(f"a {fields['kind']} without content is no operation of a thread")
    name, content = fields["content"]
    if _KINDS.get(name) != fields["kind"]:
        raise NotStorable(f"the kind is {fields['kind']}, the content a {name}")
    has_body = name in (OperationName.POST, OperationName.POST_FORM)
    row = MetadataRow(
        thread_id=thread_id,
        position=position,
        message_id=fields["message_id"],
        kind=fields["kind"],
        sender_id=fields["sender_id"],
        server_at_ms=fields["server_at_ms"],
        version=position,
        has_body=has_body,
        target=content.get("message_id"),
        members=_members(codec, name, content, fields["created_with"]),
    )
    framed = _framed(codec, name.removeprefix("lockstep."), content) if has_body else b""
    return Operation(row, framed, content["body"] if name == OperationName.EDIT else None)


def _members(codec: Codec, name: str, content: dict[str, Any], created_with: list[str] | None) -> bytes:
    if name == OperationName.CHANGE_MEMBERS:
        return _framed(codec, "ChangeMembers", content)
    if created_with:
        return _framed(codec, "ChangeMembers", {"add": created_with, "remove": []})
    return b""


def _framed(codec: Codec, name: str, fields: dict[str, Any]) -> bytes:
    try:
        return codec[name].encode(fields)
    except (TypeError, ValueError) as error:
        raise Undecodable(f"{name}: {error}") from error


def _is_newer(version: int, stored: MetadataRow | Body | None) -> bool:
    return stored is None or version > stored.version


def changed_keys(operations: Iterable[Operation]) -> list[MessageKey]:
    """The messages whose present state decides what the operations do, each once."""
    keys = (operation.changed_key for operation in operations)
    return list(dict.fromkeys(key for key in keys if key is not None))


def metadata_rows(
    operations: Iterable[Operation], existing: Mapping[MessageKey, MetadataRow]
) -> list[MetadataRow]:
    """The rows to upsert, at most one a message; `existing` holds what is stored of `changed_keys`."""
    known = dict(existing)
    rows: dict[MessageKey, MetadataRow] = {}
    for operation in operations:
        own = operation.row
        if _is_newer(own.version, known.get(own.key)):
            known[own.key] = rows[own.key] = own
        key = operation.changed_key
        target = known.get(key) if key is not None else None
        if target is None or not target.has_body or target.is_deleted or not _is_newer(own.version, target):
            continue
        changed = replace(target, version=own.version, is_deleted=operation.is_delete)
        known[target.key] = rows[target.key] = changed
    return list(rows.values())


def body_writes(operations: Iterable[Operation], existing: Mapping[MessageKey, Body]) -> list[Body]:
    """The bodies to upsert, at most one a message; `existing` holds what is stored of `changed_keys`."""
    known = dict(existing)
    bodies: dict[MessageKey, Body] = {}
    for operation in operations:
        own = operation.body
        if own is not None and _is_newer(own.version, known.get(own.key)):
            known[own.key] = bodies[own.key] = own
        key = operation.changed_key
        target = known.get(key) if key is not None else None
        version = operation.row.version
        if target is None or target.is_erased or not _is_newer(version, target):
            continue
        if operation.is_delete:
            changed = Body(target.thread_id, target.message_id, version)
        else:
            changed = replace(target, version=version, text=operation.text)
        known[target.key] = bodies[target.key] = changed
    return list(bodies.values())
