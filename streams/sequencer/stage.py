"""The sequencer stage: inbox.appends in, inbox.updates out; what it numbers is handed to delivery at once.

Order of effects:
1. the canonical update under the inbox's next (epoch, seq), on inbox.updates;
2. its queue row;
3. the inbox's position, with its oldest updates forgotten when they are due;
4. delivery to the endpoints.

All of them are one unit of work: a crash between any two leaves none, so no number is skipped, and none is
used for two updates (Q1, Q13). An update that does not fit the topic keeps its number as a tombstone, and
the append is kept as a dead letter. Storage (split_store) reads another topic: neither waits for the other
(Q7). Tested in tests/sequencer/ and tests/properties/test_threads.py.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from streams.codec.primitives import place_bytes, text
from streams.errors import MissingKey, Oversize, Undecodable, WrongPartition
from streams.ports import DONE, CanonicalUpdate
from streams.sequencer.trimming import TRIM_ROWS, candidate, is_due
from streams.tables.inboxes import UPDATES, Inbox, InboxesTable
from streams.tables.tails import Tails

if TYPE_CHECKING:
    from streams.codec import Codec
    from streams.ports import Record, Shard, UpdateSink

APPENDS = "inbox.appends"

_OWNERS = 16_384
"""Accounts of one shard of which is kept what every append repeats: about 4 MiB."""


class SequencerStage:
    """Numbers the appends to a shard's inboxes."""

    name = "sequencer"
    topics: tuple[str, ...] = (APPENDS,)

    def __init__(self, shard: Shard, codec: Codec, sink: UpdateSink, kept_ms: int) -> None:
        """`kept_ms`: how long queue rows are kept, less than the retention of inbox.updates."""
        self._shard = shard
        self._sink = sink
        self._kept_ms = kept_ms
        self._inboxes = InboxesTable(shard.state)
        self._tails = Tails(codec)
        self._append = codec["InboxAppend"].split("token")
        self._update_frame = codec["InboxUpdate"].frame
        self._owner = lru_cache(maxsize=_OWNERS)(self._owner_of)

    def process(self, record: Record, cursor: bytes) -> bytes:  # noqa: ARG002  # always done in one step
        """Implements ports.Stage."""
        account, token_and_tail = self._read(record)
        inboxes = self._inboxes
        inbox = inboxes.get(account)
        epoch, seq, _ = inbox
        place = place_bytes(account, epoch, seq)
        token_and_tail = self._write(record, place, token_and_tail)
        inboxes.append(account, epoch, seq, token_and_tail)
        inboxes.put(account, self._trimmed(account, inbox.appended()))
        token, tail = self._tails.part(token_and_tail)
        self._sink.deliver(CanonicalUpdate(account, epoch, seq, place, token, tail))
        return DONE

    def _read(self, record: Record) -> tuple[str, bytes]:
        """Return account, and what follows it: token and tail.

        An append's only decoded field is also its key, so comparing its bytes takes the place of decoding it.
        """
        value = record.value
        if value is None:
            raise Undecodable("the record has no value")
        account, before, home = self._owner(record.key or b"")
        if value.startswith(before):
            rest = value[len(before) :]
        else:
            head, rest = self._append.read(value)
            if head["account_id"] != account:
                raise MissingKey("the key of an append is its account_id")
        if home != self._shard.number:
            raise WrongPartition(f"the account belongs to shard {home}")
        return account, rest

    def _owner_of(self, key: bytes) -> tuple[str, bytes, int]:
        """Return account, the bytes that its appends begin with, its shard."""
        try:
            account = key.decode()
        except UnicodeDecodeError as error:
            raise MissingKey("the key of an append is its account_id") from error
        return account, self._append.frame + text(account), self._shard.shard_of(account)

    def _write(self, record: Record, place: bytes, token_and_tail: bytes) -> bytes:
        """Emit the canonical update and return what it holds after its number."""
        before = self._update_frame + place
        key, partition = record.key or b"", self._shard.number
        try:
            self._shard.emit(UPDATES, key, before + token_and_tail, partition)
        except Oversize as error:
            self._shard.dead_letter(record, error.code, str(error))
            self._shard.count("sequencer.oversize")
            token, tail = self._tails.part(token_and_tail)
            token_and_tail = token + self._tails.tombstone(tail, error.code)
            self._shard.emit(UPDATES, key, before + token_and_tail, partition)
        return token_and_tail

    def _trimmed(self, account: str, inbox: Inbox) -> Inbox:
        seq = candidate(inbox)
        if seq is None or self._shard.is_expiry_held:
            return inbox
        row = self._inboxes.update(account, inbox.epoch, seq)
        # A row that is gone already (its log was trimmed) is as old as can be.
        if row is not None and not is_due(self._tails.server_at_ms(row), self._shard.now_ms, self._kept_ms):
            return inbox
        inbox = inbox.trimmed(TRIM_ROWS)
        self._inboxes.forget_before(account, inbox.seq_first_kept)
        return inbox
