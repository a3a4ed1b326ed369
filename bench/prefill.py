"""Puts state into a cluster before any worker starts: what a million messages leave, on the state's own topics.

Rows are made by the product's tables and written where their changelog is, so a worker that starts restores them as it
would its own. Much faster than sending a million messages first; what differs from a store that grew by itself is that
a restored one is freshly sorted. Tokens are spread over the last 20 hours, so that none has expired.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.load import ACCOUNTS, BODY, ENDPOINT, Fed, account, thread
from streams.adapters.memory import MemoryState
from streams.client.publisher import Publisher
from streams.client.requests import Request, post
from streams.ids import Token, shard_of
from streams.ingest.payload import payload_digest
from streams.records import Kind
from streams.tables import LEDGER, POSITIONS
from streams.tables.inboxes import NEW, Inbox, InboxesTable
from streams.tables.ledger import Ledger, client_of

if TYPE_CHECKING:
    from bench.sitting import Sitting
    from streams.codec import Codec

SPAN_MS = 20 * 3_600_000
_BUCKET_MS = 3_600_000
_STRIDE = 7
"""Recipient of token i is account i * 7 + 1: everybody's neighbours differ from the threads' of the load."""


def message_of(number: int) -> bytes:
    """Return the message id in queue row `number`."""
    return number.to_bytes(16, "big")


class Prefill:
    """`tokens` rows of the ledger and, if asked for, as many queue rows with the positions that belong to them."""

    def __init__(
        self, tokens: int, codec: Codec, partitions: int, *, has_queue: bool, accounts: int = ACCOUNTS
    ) -> None:
        self.tokens = tokens
        self.has_queue = has_queue
        self._codec = codec
        self._partitions = partitions
        self._accounts = accounts
        self._began_ms = time.time_ns() // 1_000_000 - SPAN_MS

    def request(self, number: int) -> Request:
        """Return the request that token `number` stands for; sent again, it is a repeat."""
        sender = number % self._accounts
        token = Token(self._began_ms + number * SPAN_MS // max(1, self.tokens), number)
        recipients = [account(number * _STRIDE + 1, self._accounts)]
        return Request(
            account(sender), ENDPOINT, thread(sender), post(BODY), recipients=recipients, token=token
        )

    @property
    def rows(self) -> int:
        """Rows that a full restore reads."""
        return self.tokens * 2 + self._accounts if self.has_queue else self.tokens

    @property
    def heads(self) -> dict[str, int]:
        """Account -> greatest number given so far."""
        heads: dict[str, int] = {}
        if self.has_queue:
            for number in range(self.tokens):
                name = account(number * _STRIDE + 1, self._accounts)
                heads[name] = heads.get(name, 0) + 1
        return heads

    async def write(self, sitting: Sitting) -> None:
        """Write everything; the topics have to be there."""
        async with Publisher(sitting.client_arguments()) as publisher:
            for one in self._ledger():
                await publisher.put(LEDGER.changelog.value, one.partition, one.key, one.value)
            if self.has_queue:
                for one in self._queue():
                    await publisher.put("inbox.updates", one.partition, one.key, one.value)
                for one in self._positions():
                    await publisher.put(POSITIONS.changelog.value, one.partition, one.key, one.value)

    def _ledger(self) -> Iterator[Fed]:
        state = MemoryState()
        ledger = Ledger(state, _BUCKET_MS)
        for number in range(self.tokens):
            request = self.request(number)
            client = client_of(request.account_id, request.endpoint_id)
            digest = payload_digest(request.thread_id, list(request.recipients or ()), request.operation)
            ledger.record(client, request.token, digest, is_newest=True)
            shard = shard_of(request.account_id, self._partitions)
            yield from (
                Fed(shard, key, value, b"")
                for key, value in state.rows.items()
                if key.startswith(LEDGER.byte)
            )
            state.rows.clear()

    def _queue(self) -> Iterator[Fed]:
        split = self._codec["InboxUpdate"].split("message_id")
        post_fields = {"content_type": "text/plain; charset=utf-8", "body": BODY, "media": []}
        rest = split.encode_tail(
            {
                "message_id": bytes(16),
                "thread_id": thread(0),
                "thread_position": 1,
                "sender_id": account(0),
                "server_at_ms": self._began_ms,
                "kind": Kind.POST.value,
                "content": ("lockstep.Post", post_fields),
            }
        )[16:]
        heads: dict[str, int] = {}
        for number in range(self.tokens):
            name = account(number * _STRIDE + 1, self._accounts)
            seq = heads[name] = heads.get(name, 0) + 1
            head = {"account_id": name, "epoch": NEW.epoch, "seq_first": seq, "seq": seq, "token": None}
            value = split.write(head, message_of(number) + rest)
            yield Fed(shard_of(name, self._partitions), name.encode(), value, b"")

    def _positions(self) -> Iterator[Fed]:
        state = MemoryState()
        table = InboxesTable(state)
        for name, head in self.heads.items():
            table.put(name, Inbox(NEW.epoch, head + 1, NEW.seq_first_kept))
            shard = shard_of(name, self._partitions)
            yield from (Fed(shard, key, value, b"") for key, value in state.rows.items())
            state.rows.clear()
