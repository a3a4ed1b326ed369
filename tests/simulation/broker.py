"""Kafka as far as claims depend on it: transactions, markers, compaction, producers with epochs.

As on a real broker: a decided transaction is visible on a partition only from its marker on, and each
partition gets its marker at another time; an open one holds back the committed end; markers take offsets;
initialising an id raises its epoch and aborts what it has open; old epochs are refused. Left out:
replication, so nothing acknowledged is ever lost.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from enum import Enum
from operator import attrgetter
from typing import Any, Generic, Literal, TypeVar

Value = TypeVar("Value")


class Refusal(Enum):
    """Why the broker did not do what a producer asked for."""

    FENCED = "fenced"
    RETRY = "the last transaction of this id is not complete yet"


class Transaction:
    """One transaction, and whether it was committed; undecided until the coordinator says so."""

    __slots__ = ("is_committed", "owner")

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.is_committed = False


@dataclass(frozen=True, slots=True)
class Record(Generic[Value]):
    """One record of a partition; value None is a tombstone."""

    offset: int
    key: bytes
    value: Value | None
    transaction: Transaction


_offset = attrgetter("offset")


class Partition(Generic[Value]):
    """A log; `history` is what was ever written, for the checker's eyes only."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.history: list[Record[Value]] = []
        self.end = 0
        self._records: list[Record[Value]] = []
        self._first_offset_of_open: dict[Transaction, int] = {}

    @property
    def committed_end(self) -> int:
        """Where read_committed readers stop: the first record of the oldest transaction without a marker."""
        for offset in self._first_offset_of_open.values():
            return offset
        return self.end

    def append(self, key: bytes, value: Value | None, transaction: Transaction) -> int:
        record = Record(self.end, key, value, transaction)
        self.end += 1
        self.history.append(record)
        self._records.append(record)
        self._first_offset_of_open.setdefault(transaction, record.offset)
        return record.offset

    def mark(self, transaction: Transaction) -> None:
        """Write the marker that ends a transaction here; it takes an offset."""
        del self._first_offset_of_open[transaction]
        self.end += 1

    def committed(self, position: int, up_to: int) -> list[Record[Value]]:
        """Committed records from `position`, below `up_to` and the committed end."""
        stop = bisect_left(self._records, min(up_to, self.committed_end), key=_offset)
        start = bisect_left(self._records, position, hi=stop, key=_offset)
        return [record for record in self._records[start:stop] if record.transaction.is_committed]

    def tail(self, position: int, up_to: int) -> list[Record[Value]]:
        """What read_uncommitted shows: decided or not, aborted or not."""
        start = bisect_left(self._records, position, key=_offset)
        return [record for record in self._records[start:] if record.offset < up_to]

    def compact(self, choice: float, *, drop_tombstones: bool) -> None:
        """Clean up to some offset: keep the latest committed record of a key, and tombstones if told to."""
        cleaned_end = min(self.committed_end, int(choice * (self.end + 1)))
        latest = {
            record.key: record.offset
            for record in self._records
            if record.offset < cleaned_end and record.transaction.is_committed
        }
        self._records = [
            record
            for record in self._records
            if record.offset >= cleaned_end
            or (latest.get(record.key) == record.offset and not (drop_tombstones and record.value is None))
        ]


@dataclass(slots=True)
class Producer:
    """What the coordinator knows of one transactional id."""

    epoch: int = 0
    transaction: Transaction | None = None
    partitions: list[Partition[Any]] = field(default_factory=list)
    is_decided: bool = False


class Coordinator:
    """The transaction coordinator of all ids."""

    def __init__(self) -> None:
        self._producers: dict[str, Producer] = {}
        self._unmarked: list[tuple[Producer, Partition[Any]]] = []

    @property
    def has_unmarked(self) -> bool:
        """Some decided transaction still lacks a marker on some partition."""
        return bool(self._unmarked)

    def initialise(self, owner: str) -> int | Literal[Refusal.RETRY]:
        """InitProducerId: the new epoch, once all before it is complete; the fence acts at once."""
        producer = self._producers.setdefault(owner, Producer())
        if producer.transaction is None:
            producer.epoch += 1
            return producer.epoch
        if not producer.is_decided:
            self._abort(producer)
        return Refusal.RETRY

    def append(
        self, owner: str, epoch: int, partition: Partition[Value], key: bytes, value: Value | None
    ) -> int | Refusal:
        """Send one record in the id's transaction, which begins with its first; returns the offset."""
        producer = self._producers[owner]
        if producer.epoch != epoch:
            return Refusal.FENCED
        if producer.is_decided:
            return Refusal.RETRY
        if producer.transaction is None:
            producer.transaction = Transaction(owner)
        if partition not in producer.partitions:
            producer.partitions.append(partition)
        return partition.append(key, value, producer.transaction)

    def end(self, owner: str, epoch: int, *, is_commit: bool) -> Refusal | None:
        """EndTxn: decided when this returns None; a partition shows it when its marker is written."""
        producer = self._producers[owner]
        if producer.epoch != epoch or producer.transaction is None:
            return Refusal.FENCED
        if producer.is_decided:
            return Refusal.RETRY
        self._decide(producer, is_commit=is_commit)
        return None

    def write_marker(self, choice: float) -> None:
        """Write one of the markers that are due."""
        producer, partition = self._unmarked.pop(int(choice * len(self._unmarked)))
        assert producer.transaction is not None
        partition.mark(producer.transaction)
        producer.partitions.remove(partition)
        if not producer.partitions:
            producer.transaction = None
            producer.is_decided = False

    def expire(self, choice: float) -> str | None:
        """Let one open transaction time out; returns its owner."""
        open_owners = [
            owner
            for owner, producer in self._producers.items()
            if producer.transaction is not None and not producer.is_decided
        ]
        if not open_owners:
            return None
        owner = open_owners[int(choice * len(open_owners))]
        self._abort(self._producers[owner])
        return owner

    def _abort(self, producer: Producer) -> None:
        producer.epoch += 1
        self._decide(producer, is_commit=False)

    def _decide(self, producer: Producer, *, is_commit: bool) -> None:
        assert producer.transaction is not None
        producer.transaction.is_committed = is_commit
        producer.is_decided = True
        self._unmarked.extend((producer, partition) for partition in producer.partitions)
