"""Inboxes: where each account's queue stands, and the updates that are kept in it.

`position`: account -> epoch, next seq, first kept seq. `queue`: account + seq -> epoch, token and tail of
the canonical update: all that is needed to customise it again, for any endpoint. The queue's changelog is
inbox.updates itself, so a row costs nothing beyond the update; `QueueRestorer` derives rows from that topic
and leaves out what was trimmed. A row of another epoch than the one asked for is no row. Tested in
tests/tables/test_inboxes.py.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from streams.codec.primitives import NO_TOKEN, long_end, read_long, short_text_end
from streams.errors import ConfigurationError
from streams.tables import POSITIONS, QUEUE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.codec import Codec
    from streams.ports import Record, Rows, State

UPDATES = "inbox.updates"
EPOCH_FIRST = 1

_VERSION = 1
_POSITION = struct.Struct(">BQQQ")
_ROW = struct.Struct(">BQ")
_SEQ_BYTES = 8
_PREFIXES = 32_768
"""Accounts whose encoded key prefix is kept: about 6 MiB."""


class Inbox(NamedTuple):
    """What the position table says of one account's inbox."""

    epoch: int
    seq_next: int
    seq_first_kept: int

    @property
    def head(self) -> int:
        """The greatest number given in this epoch; 0 before the first."""
        return self.seq_next - 1

    def appended(self) -> Inbox:
        """Return the inbox after one more update."""
        return Inbox(self.epoch, self.seq_next + 1, self.seq_first_kept)

    def trimmed(self, count: int) -> Inbox:
        """Return the inbox without its oldest `count` updates."""
        return Inbox(self.epoch, self.seq_next, self.seq_first_kept + count)


NEW = Inbox(EPOCH_FIRST, 1, 1)
"""The inbox of an account that never got anything."""


@lru_cache(maxsize=_PREFIXES)
def _keys(account_id: str) -> tuple[bytes, bytes]:
    account = account_id.encode()
    return POSITIONS.byte + account, _queue_prefix(account)


def _queue_prefix(account: bytes) -> bytes:
    return QUEUE.byte + account + b"\0"


def _queue_key(account_id: str, seq: int) -> bytes:
    return _keys(account_id)[1] + seq.to_bytes(_SEQ_BYTES, "big")


class InboxesTable:
    """The two tables, read and written through a shard's state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def get(self, account_id: str) -> Inbox:
        """Return where an inbox stands."""
        row = self._state.get(_keys(account_id)[0])
        return NEW if row is None else _parsed(row)

    def put(self, account_id: str, inbox: Inbox) -> None:
        """Write where an inbox stands."""
        self._state.put(_keys(account_id)[0], _POSITION.pack(_VERSION, *inbox))

    def append(self, account_id: str, epoch: int, seq: int, token_and_tail: bytes) -> None:
        """Write the row of one update."""
        self._state.put(_queue_key(account_id, seq), _ROW.pack(_VERSION, epoch) + token_and_tail)

    def update(self, account_id: str, epoch: int, seq: int) -> bytes | None:
        """Return token and tail of one update, or None when it is not kept."""
        row = self._state.get(_queue_key(account_id, seq))
        if row is None or _ROW.unpack_from(row)[1] != epoch:
            return None
        return row[_ROW.size :]

    def forget_before(self, account_id: str, seq: int) -> None:
        """Forget every row below `seq`, also those that an interrupted restore may have left behind."""
        self._state.delete_range(_queue_key(account_id, 0), _queue_key(account_id, seq))


def position_key(queue_key: bytes) -> bytes:
    """Return the key of the position row which the row of an update belongs to."""
    return POSITIONS.byte + queue_key[1 : -_SEQ_BYTES - 1]


def is_kept(queue_key: bytes, queue_row: bytes, position_row: bytes) -> bool:
    """Whether the inbox still keeps an update; a row that it does not may be there or not."""
    inbox = _parsed(position_row)
    seq = int.from_bytes(queue_key[-_SEQ_BYTES:], "big")
    return _ROW.unpack_from(queue_row)[1] == inbox.epoch and seq >= inbox.seq_first_kept


def forgotten_range(key: bytes, before: bytes | None, after: bytes) -> tuple[bytes, bytes] | None:
    """Return the range of queue rows that an inbox forgot when its position row became `after`; None for none.

    The log says it only by the position: for stores that follow it.
    """
    first_kept = _parsed(after).seq_first_kept
    if first_kept <= (1 if before is None else _parsed(before).seq_first_kept):
        return None
    prefix = _queue_prefix(key[1:])
    return prefix + bytes(_SEQ_BYTES), prefix + first_kept.to_bytes(_SEQ_BYTES, "big")


class QueueRestorer:
    """Implements ports.Restorer: rebuilds the queue table from inbox.updates.

    Rows below the first kept seq of the position table are left out, if that table was restored before.
    """

    topic = UPDATES

    def __init__(self, codec: Codec) -> None:
        self._update = codec["InboxUpdate"].split("token")
        self._prove_layout()

    def restore(self, records: Iterable[Record], rows: Rows) -> None:
        """Put the row of each update."""
        frame, body_at, put = self._update.frame, len(self._update.frame), rows.put
        seen: dict[
            bytes, tuple[bytes, tuple[int, int]]
        ] = {}  # encoded account -> its queue, what is kept of it
        for record in records:
            value = record.value
            if value is None:
                continue
            try:
                if not value.startswith(frame):
                    raise ValueError
                account, epoch, seq, token_and_tail = _read_by_hand(value, body_at)
            except (IndexError, ValueError):  # another version, longer ids, or broken: the codec tells which
                account, epoch, seq, token_and_tail = self._read_by_codec(value)
            queue = seen.get(account)
            if queue is None:
                first = _first_kept(rows.get(POSITIONS.byte + account))
                queue = seen[account] = _queue_prefix(account), first
            prefix, first = queue
            if (epoch, seq) >= first:
                put(prefix + seq.to_bytes(_SEQ_BYTES, "big"), _ROW.pack(_VERSION, epoch) + token_and_tail)

    def _read_by_codec(self, value: bytes) -> tuple[bytes, int, int, bytes]:
        head, token_and_tail = self._update.read(value)
        return head["account_id"].encode(), head["epoch"], head["seq"], token_and_tail

    def _prove_layout(self) -> None:
        value = self._update.write(_SAMPLE_PLACE, NO_TOKEN + b"tail")
        try:
            found = _read_by_hand(value, len(self._update.frame))
        except (IndexError, ValueError):
            found = None
        if found != self._read_by_codec(value):
            raise ConfigurationError("InboxUpdate has a layout that streams/tables/inboxes.py does not know")


_SAMPLE_PLACE = {"account_id": "account", "epoch": 1, "seq_first": 2, "seq": 300}


def _read_by_hand(value: bytes, at: int) -> tuple[bytes, int, int, bytes]:
    """Return account, epoch, seq, token and tail; raise ValueError or IndexError for every unusual shape."""
    account_end = short_text_end(value, at)
    epoch, seq_first_at = read_long(value, account_end)
    seq, end = read_long(value, long_end(value, seq_first_at))
    return value[at + 1 : account_end], epoch, seq, value[end:]


def _first_kept(position: bytes | None) -> tuple[int, int]:
    """Return epoch and seq from which rows are kept, by a row of the position table."""
    if position is None:
        return 0, 0
    inbox = _parsed(position)
    return inbox.epoch, inbox.seq_first_kept


def _parsed(row: bytes) -> Inbox:
    _, epoch, seq_next, seq_first_kept = _POSITION.unpack(row)
    return Inbox(epoch, seq_next, seq_first_kept)
