"""How metadata rows, bodies and pointers lie in RocksDB.

Keys, one byte for the table and then: pointers `p` and ids of queues `q` partition (4 bytes); metadata rows `m` thread,
position (8), message id (16); places `i` thread, message id -> position; bodies `b` thread, message id. A
thread is its length (2 bytes) and its UTF-8; numbers are big-endian. Values are packed as the heads below
say. Tested in tests/contract/test_store_contract.py.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, cast

from streams.ids import MESSAGE_ID_BYTES
from streams.limits import RECORD_BYTES_MAX
from streams.store_ports import Body, MessageKey, MetadataRow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rocksdict import Rdict

POINTER, QUEUE, ROW, PLACE, BODY = b"p", b"q", b"m", b"i", b"b"
NUMBER = Struct(">q")
_ROW_HEAD = Struct(">qqBBBH")  # version, server_at_ms, flags, bytes of kind, of target, of sender
_BODY_HEAD = Struct(">qBI")  # version, flags, bytes of content
_HAS_BODY, _IS_DELETED = 1, 2
_HAS_TEXT = 1
_THREAD_BYTES_MAX = 0xFFFF


def thread_refusal(thread_id: str) -> str | None:
    """Why a thread's id cannot be part of a key, or None."""
    size = len(thread_id.encode())
    return f"a thread id of {size} bytes; at most {_THREAD_BYTES_MAX}" if size > _THREAD_BYTES_MAX else None


def size_refusal(size: int) -> str | None:
    """Why a value of so many bytes cannot be stored, or None."""
    return f"{size} bytes; a row takes at most {RECORD_BYTES_MAX}" if size > RECORD_BYTES_MAX else None


def rows_of(database: Rdict, prefix: bytes, start: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The rows under a prefix, from `start` on, in the order of their keys."""
    for key, value in database.items(from_key=start):
        raw = cast("bytes", key)  # the database is opened in raw mode
        if not raw.startswith(prefix):
            return
        yield raw, cast("bytes", value)


def number_of(value: bytes | None) -> int | None:
    """A stored pointer or place."""
    return None if value is None else int(NUMBER.unpack(value)[0])


def pointer_key(partition: int) -> bytes:
    """The key of a partition's pointer."""
    return POINTER + partition.to_bytes(4, "big")


def queue_key(partition: int) -> bytes:
    """The key of the id of the queue in which a partition's pointer counts."""
    return QUEUE + partition.to_bytes(4, "big")


def _thread(thread_id: str) -> bytes:
    name = thread_id.encode()
    return len(name).to_bytes(2, "big") + name


def message_key(table: bytes, key: MessageKey) -> bytes:
    """The key of a message in the table of places or of bodies."""
    return table + _thread(key.thread_id) + key.message_id


def message_of(raw: bytes) -> MessageKey:
    """The message of a key that ends with its id and begins with table and thread."""
    end = 3 + int.from_bytes(raw[1:3], "big")
    return MessageKey(raw[3:end].decode(), raw[-MESSAGE_ID_BYTES:])


def row_start(thread_id: str, position: int) -> bytes:
    """Where the metadata rows of a thread begin, from a position on."""
    return ROW + _thread(thread_id) + position.to_bytes(8, "big")


def row_key(row: MetadataRow) -> bytes:
    """The key of a metadata row."""
    return row_start(row.thread_id, row.position) + row.message_id


def row_value(row: MetadataRow) -> bytes:
    """A metadata row without what its key says."""
    kind, target, sender = row.kind.encode(), row.target or b"", row.sender_id.encode()
    flags = (_HAS_BODY if row.has_body else 0) | (_IS_DELETED if row.is_deleted else 0)
    head = _ROW_HEAD.pack(row.version, row.server_at_ms, flags, len(kind), len(target), len(sender))
    return head + kind + target + sender + row.members


def row_of(raw: bytes, value: bytes) -> MetadataRow:
    """The metadata row under a key."""
    key = message_of(raw)
    version, server_at_ms, flags, kind_bytes, target_bytes, sender_bytes = _ROW_HEAD.unpack_from(value)
    kind_end = _ROW_HEAD.size + kind_bytes
    target_end = kind_end + target_bytes
    sender_end = target_end + sender_bytes
    return MetadataRow(
        thread_id=key.thread_id,
        position=int.from_bytes(raw[-MESSAGE_ID_BYTES - 8 : -MESSAGE_ID_BYTES], "big"),
        message_id=key.message_id,
        kind=value[_ROW_HEAD.size : kind_end].decode(),
        sender_id=value[target_end:sender_end].decode(),
        server_at_ms=server_at_ms,
        version=version,
        has_body=bool(flags & _HAS_BODY),
        is_deleted=bool(flags & _IS_DELETED),
        target=value[kind_end:target_end] or None,
        members=value[sender_end:],
    )


def body_value(body: Body) -> bytes:
    """A body without what its key says."""
    flags = 0 if body.text is None else _HAS_TEXT
    return _BODY_HEAD.pack(body.version, flags, len(body.content)) + body.content + (body.text or b"")


def body_of(key: MessageKey, value: bytes) -> Body:
    """The body under a key."""
    version, flags, content_bytes = _BODY_HEAD.unpack_from(value)
    content_end = _BODY_HEAD.size + content_bytes
    text = value[content_end:] if flags & _HAS_TEXT else None
    return Body(key.thread_id, key.message_id, version, value[_BODY_HEAD.size : content_end], text)


def body_version(value: bytes) -> int:
    """The version of a stored body, without reading the rest."""
    return int(_BODY_HEAD.unpack_from(value)[0])
