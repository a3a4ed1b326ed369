"""The two-hop job on Lockstep's engine: two thin stages on the product's own reader, rules and tables.

Equal work to the peers': dedup by (client, token) inside the age threshold with a changelog, repartition by recipient,
a gapless number a recipient, two outputs. What the product adds beyond that (answers, threads, queue rows, endpoints)
is left to the whole pipeline (job J1b).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.errors import MissingKey, Undecodable
from streams.ingest.admission import Admission
from streams.ingest.payload import payload_digest
from streams.ingest.request import RequestReader
from streams.ports import DONE
from streams.records import Status
from streams.tables.inboxes import InboxesTable
from streams.tables.ledger import Ledger, client_of

if TYPE_CHECKING:
    from streams.codec import Codec
    from streams.ports import Record, Shard
    from streams.topology.model import Timestamps

REQUESTS = "ingest.requests"
APPENDS = "inbox.appends"
UPDATES = "inbox.updates"
DELIVERIES = "delivery.mobile"
SEQ_BYTES = 8


class DedupStage:
    """Lets each token of a client through once, to the shard of its recipient."""

    name = "dedup"
    topics: tuple[str, ...] = (REQUESTS,)

    def __init__(self, shard: Shard, codec: Codec, timestamps: Timestamps) -> None:
        self._shard = shard
        self._read = RequestReader(codec).read
        self._ledger = Ledger(shard.state, timestamps.ledger_bucket_ms)
        self._decide = Admission(timestamps.threshold_ms, timestamps.clock_ahead_ms).decide
        self._horizon_ms = timestamps.threshold_ms + timestamps.clock_ahead_ms

    def process(self, record: Record, cursor: bytes) -> bytes:  # noqa: ARG002  # always done in one step
        """Implements ports.Stage: 1. expiry, 2. the verdict, 3. the ledger, 4. the request to its recipient."""
        shard, ledger, value = self._shard, self._ledger, record.value
        request = self._read(value)
        now_ms = shard.now_ms
        if now_ms >= ledger.next_expiry_at_ms and not shard.is_expiry_held:
            ledger.expire(now_ms, self._horizon_ms)
        client = client_of(request.account_id, request.endpoint_id)
        digest = payload_digest(request.thread_id, request.recipients, request.operation)
        verdict = self._decide(ledger, client, request.token, digest, now_ms)
        if verdict.status is not Status.ACCEPTED:
            return DONE
        if not request.recipients or value is None:
            raise Undecodable("a request of this job names its recipient")
        ledger.record(client, request.token, digest, is_newest=verdict.is_newest)
        (recipient,) = request.recipients
        shard.emit(APPENDS, recipient.encode(), value, shard.shard_of(recipient))
        return DONE


class NumberingStage:
    """Gives each recipient's requests the numbers 1, 2, 3, ... and writes them to two outputs."""

    name = "numbering"
    topics: tuple[str, ...] = (APPENDS,)

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._inboxes = InboxesTable(shard.state)

    def process(self, record: Record, cursor: bytes) -> bytes:  # noqa: ARG002  # always done in one step
        """Implements ports.Stage: 1. both outputs, 2. the recipient's position."""
        key, value = record.key, record.value
        if not key or value is None:
            raise MissingKey("the key of an append is its recipient")
        recipient = key.decode()
        inbox = self._inboxes.get(recipient)
        numbered = inbox.seq_next.to_bytes(SEQ_BYTES, "big") + value
        emit, number = self._shard.emit, self._shard.number
        emit(UPDATES, key, numbered, number)
        emit(DELIVERIES, key, numbered, number)
        self._inboxes.put(recipient, inbox.appended())
        return DONE
