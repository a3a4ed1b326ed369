"""The tail that ThreadMessage, InboxAppend, InboxUpdate and EndpointUpdate share: message_id up to content.

It is encoded once, when a thread admits an operation, and carried as opaque bytes from then on; what stands
in the queue table is such a tail with the token before it. This module is the only one that knows how a
tail is put together, looked into, and replaced by a tombstone or a noop. It guarantees that identity, order
and time of an update survive each of these. Not known here: what any of it means. Tested in
tests/tables/test_tails.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from streams.codec.primitives import NO_TOKEN, PRESENT, long, long_end, text_end
from streams.errors import Undecodable
from streams.ids import MESSAGE_ID_BYTES
from streams.records import KINDS, Kind

if TYPE_CHECKING:
    from streams.codec import Codec
    from streams.records import Branch, UpdateTail

_KINDS_END = 2 * len(KINDS)


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
        self._branches_end = 2 * self._facts.branches

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

    def kind(self, tail: bytes) -> Kind:
        """Return what an update is, without decoding it; raise Undecodable when this is no tail.

        Not promised: that its content can be decoded; only its branch number is looked at.
        """
        try:
            thread_end = text_end(tail, MESSAGE_ID_BYTES)
            sender_end = text_end(tail, long_end(tail, thread_end))
            at = long_end(tail, sender_end)
            number, branch = tail[at], tail[at + 1]
        except (IndexError, ValueError):
            return self._kind_by_codec(tail)
        if number & 1 or number >= _KINDS_END or branch & 1 or branch >= self._branches_end:
            raise Undecodable(f"no kind of update has the number {number}, with content of {branch}")
        return KINDS[number >> 1]

    def _kind_by_codec(self, tail: bytes) -> Kind:
        return Kind(self.facts(tail).fields["kind"])

    def part(self, token_and_tail: bytes) -> tuple[bytes, bytes]:
        """Return (token, tail) of a queue row, the token encoded as a union with null; raise Undecodable."""
        first = token_and_tail[:1]
        if first == NO_TOKEN:
            return first, token_and_tail[1:]
        try:
            if first != PRESENT:
                raise ValueError
            end = long_end(token_and_tail, long_end(token_and_tail, 1))
        except (IndexError, ValueError) as error:
            raise Undecodable("what stands before the message_id is no token") from error
        return token_and_tail[:end], token_and_tail[end:]

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


class Pieces(Protocol):
    """What an operation and its tail share, encoded."""

    @property
    def message_id(self) -> bytes: ...
    @property
    def thread_bytes(self) -> bytes: ...
    @property
    def account_bytes(self) -> bytes: ...
    @property
    def server_at_bytes(self) -> bytes: ...


def tail_of_operation(operation: Pieces, position: int, content: bytes) -> bytes:
    """Return the tail of an admitted operation.

    `content`: the encoded operation, whose branch number is also that of the content, and of the kind.
    """
    parts = (
        operation.message_id,
        operation.thread_bytes,
        long(position),
        operation.account_bytes,
        operation.server_at_bytes,
        content[:1],
        content,
    )
    return b"".join(parts)


def kind_of_operation(operation: bytes) -> Kind:
    """Return what an encoded operation is: its union's branch number is the kind's number."""
    return KINDS[operation[0] >> 1]
