"""The tail that ThreadMessage, InboxAppend, InboxUpdate and EndpointUpdate share: message_id up to content.

It is encoded once, when a thread admits an operation, and carried as opaque bytes from then on; what stands
in the queue table is such a tail with the token before it. This module is the only one that knows how a
tail is put together, looked into, and replaced by a tombstone or a noop. It guarantees that identity, order
and time of an update survive each of these. Not known here: what any of it means. Tested in
tests/tables/test_tails.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from streams.records import KINDS, Kind
from streams.tables.wire import NO_TOKEN, long, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.codec import Codec
    from streams.records import Branch, UpdateTail


class TailFacts(NamedTuple):
    """What a tail says before its content, and the content as it stands."""

    fields: UpdateTail
    """Everything but the content."""
    content: bytes


class Tails:
    """Builds and reads tails; pure, safe to share."""

    def __init__(self, codec: Codec) -> None:
        append = codec["InboxAppend"]
        self._facts = append.split("content")
        self._whole = append.split("message_id")
        # An append of nobody without a token: what stands before the tail is then a constant.
        self._before = self._whole.write({"account_id": "", "token": None}, b"")
        self._token = append.split("token")
        self._before_token = self._token.write({"account_id": ""}, b"")

    def facts(self, tail: bytes) -> TailFacts:
        """Look into a tail without decoding its content; raise Undecodable when it is none."""
        head, content = self._facts.read(self._before + tail)
        del head["account_id"], head["token"]
        return TailFacts(cast("UpdateTail", head), content)

    def content(self, tail: bytes) -> Branch | None:
        """Return the decoded content; raise Undecodable when it is none."""
        return cast("Branch | None", self._whole.decode_tail(tail)["content"])

    def server_at_ms(self, token_and_tail: bytes) -> int:
        """Return when the operation of a queue row was accepted, by the shard clock of its sender."""
        head, _ = self._facts.read(self._before_token + token_and_tail)
        return int(head["server_at_ms"])

    def part(self, token_and_tail: bytes) -> tuple[dict[str, int] | None, bytes]:
        """Return (token, tail) of a queue row."""
        if token_and_tail[:1] == NO_TOKEN:
            return None, token_and_tail[1:]
        head, tail = self._whole.read(self._before_token + token_and_tail)
        return head["token"], tail

    def tombstone(self, tail: bytes, reason: str) -> bytes:
        """Return the same tail with a tombstone in the place of its content."""
        return self._replaced(tail, Kind.TOMBSTONE, ("lockstep.Tombstone", {"reason": reason}))

    def noop(self, tail: bytes) -> bytes:
        """Return the same tail with nothing in the place of its content."""
        return self._replaced(tail, Kind.NOOP, None)

    def lost(self, reason: str) -> bytes:
        """Return a tombstone for an update of which nothing is known but its number."""
        return self._whole.encode_tail(
            {
                "message_id": bytes(16),
                "thread_id": "",
                "thread_position": 0,
                "sender_id": "",
                "server_at_ms": 0,
                "kind": Kind.TOMBSTONE.value,
                "content": ("lockstep.Tombstone", {"reason": reason}),
            }
        )

    def _replaced(self, tail: bytes, kind: Kind, content: Branch | None) -> bytes:
        return self._whole.encode_tail({**self.facts(tail).fields, "kind": kind.value, "content": content})


def tail_of_operation(operation: Mapping[str, Any], position: int, content: bytes) -> bytes:
    """Return the tail of an admitted operation.

    `operation`: the head of a ThreadOperation; `content`: its encoded operation, whose branch number is also
    that of the content, and of the kind.
    """
    parts = (
        operation["message_id"],
        text(operation["thread_id"]),
        long(position),
        text(operation["account_id"]),
        long(operation["server_at_ms"]),
        content[:1],
        content,
    )
    return b"".join(parts)


def kind_of_operation(operation: bytes) -> Kind:
    """Return what an encoded operation is: its union's branch number is the kind's number."""
    return KINDS[operation[0] >> 1]
