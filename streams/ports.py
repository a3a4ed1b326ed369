"""What the parts ask of each other, as protocols.

The engine gives a stage a `Shard` (state, clock, outputs) and calls it record by record; a stage knows nothing of
Kafka, of RocksDB, of transactions or of time. Everything a stage does through its shard is undone when the record
fails, and becomes visible to others only when the unit of work commits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

DONE = b""
"""The cursor of a record that is finished."""


class Record(Protocol):
    """One record of an input topic, as the consumer hands it out."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class State(Protocol):
    """The state tables of one shard: bytes to bytes, the first byte of a key names its table.

    Reads see every write of the unit so far. Which tables have a changelog is decided at the wiring, by table byte.
    """

    def get(self, key: bytes) -> bytes | None:
        """Return the value, or None."""
        ...

    def may_contain(self, key: bytes) -> bool:
        """Return False only if the key is certainly absent: a probabilistic test that reads no data block."""
        ...

    def put(self, key: bytes, value: bytes) -> None: ...

    def delete(self, key: bytes) -> None: ...

    def delete_range(self, start: bytes, end: bytes) -> None:
        """Forget every key in [start, end) when the unit commits.

        Local only (no changelog entry), for rows that no rule will ask for again; reads of this unit may still see
        them. A record that fails takes its range deletes back too.
        """
        ...


class Shard(Protocol):
    """What a stage may do for the record at hand."""

    @property
    def number(self) -> int:
        """Partition number in every pipeline topic."""
        ...

    @property
    def state(self) -> State: ...

    @property
    def now_ms(self) -> int:
        """The shard clock: the largest append time of any processed record of a clock topic."""
        ...

    @property
    def is_expiry_held(self) -> bool:
        """Whether the clock has jumped and nothing may be expired by it yet (D20)."""
        ...

    def emit(self, topic: str, key: bytes, value: bytes, partition: int) -> None:
        """Send a record in this unit's transaction.

        Raises Oversize when key and value do not fit the topic: caught before the transaction begins, so that one
        oversize record never aborts a unit.
        """
        ...

    def dead_letter(self, record: Record, code: str, detail: str) -> None:
        """Keep a record that can never be processed, whole, on dead.letters."""
        ...

    def shard_of(self, key: str) -> int:
        """Return the shard of an account or a thread: the partition of every pipeline topic that it belongs to."""
        ...

    def count(self, metric: str, amount: int = 1) -> None:
        """Add to a counter that is published when the unit commits; taken back when the record fails."""
        ...


class Stage(Protocol):
    """One step of the pipeline, for one shard.

    Called on the event loop, one record at a time, never concurrently. Must be deterministic: same state, same record,
    same clock -> same effects; a unit that was aborted is simply run again.
    """

    name: str
    topics: tuple[str, ...]
    """Input topics."""

    def process(self, record: Record, cursor: bytes) -> bytes:
        """Work on a record from `cursor` on (DONE at first) and return where to go on, or DONE.

        A returned cursor is kept in the shard's progress; the stage's later records wait until it is DONE.
        Raises RecordError for a record that can never be processed: what it did is undone, the record becomes a dead
        letter and the partition goes on. Any other exception stops the worker: it is a bug or a broken disk.
        """
        ...


class CanonicalUpdate(NamedTuple):
    """One entry of an inbox, the same for all endpoints of its account."""

    account_id: str
    epoch: int
    seq: int
    place: bytes
    """account_id, epoch, seq_first and seq, encoded."""
    token: bytes
    """Token of the request in the sender's own inbox, elsewhere null: encoded, as a union."""
    tail: bytes
    """Encoded fields from message_id on."""


class UpdateSink(Protocol):
    """Receives each canonical update in the unit of work that made it (delivery, behind the sequencer)."""

    def deliver(self, update: CanonicalUpdate) -> None: ...


class Customised(NamedTuple):
    """What one endpoint gets of an update."""

    value: bytes
    """The framed EndpointUpdate."""
    is_fallback: bool
    """Whether a fallback stands for something that could not be customised (Q17)."""


class Customiser(Protocol):
    """Turns a canonical update into what one endpoint gets. Pure: same input, same bytes."""

    def customise(
        self, endpoint_id: str, parameters: EndpointParameters, update: CanonicalUpdate
    ) -> Customised:
        """Return what the endpoint gets; never raises for an update's content."""
        ...

    def tombstone(self, endpoint_id: str, update: CanonicalUpdate, reason: str) -> bytes:
        """Return the framed EndpointUpdate that takes an update's place.

        An empty tail: nothing is known of the update but its number.
        """
        ...


class EndpointParameters(Protocol):
    """What an endpoint said of itself when it registered, with defaults for what it left out."""

    @property
    def locale(self) -> str: ...
    @property
    def capabilities(self) -> Sequence[str]: ...
    @property
    def media_width_max(self) -> int: ...
    @property
    def route(self) -> str: ...
    @property
    def window(self) -> int: ...


class Rows(Protocol):
    """Where a restorer puts rows that it derives from a topic's records while a shard is opened."""

    def put(self, key: bytes, value: bytes) -> None: ...

    def get(self, key: bytes) -> bytes | None: ...


class Restorer(Protocol):
    """Rebuilds tables from a topic that is their changelog (shard.ledger, inbox.updates)."""

    topic: str

    def restore(self, records: Iterable[Record], rows: Rows) -> None:
        """Apply a run of committed records, in log order; idempotent."""
        ...
