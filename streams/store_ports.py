"""What the split store asks of its two stores and of its queue, as protocols.

A message is split in a metadata row (who, when, where, which version) and a body (what it says). Each
store keeps, per partition of the queue, a pointer: the offset of the first record that it does not hold
yet.

Who calls: one writer per partition, one call at a time, and any number of readers beside it. Every call is a
coroutine and may be cancelled, which says nothing about whether it took effect.

What any call may raise: `StoreUnavailable` (try again later), `StoreTimedOut` (it may or may not have
been applied; try again), `StoreError` (the store is damaged or full: stop). A commit refuses nothing that
`refusal` has let pass. Every adapter passes tests/contract/test_store_contract.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from streams.errors import LockstepError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from streams.ports import Record


class StoreUnavailable(LockstepError):
    """A store does not answer; what was asked of it was not done, and may be asked again."""

    code = "STORE_UNAVAILABLE"


class StoreTimedOut(StoreUnavailable):
    """A store did not answer in time; what was asked of it may have been done, or may yet be done."""

    code = "STORE_TIMED_OUT"


class MessageKey(NamedTuple):
    """A message, wherever it stands in its thread."""

    thread_id: str
    message_id: bytes


@dataclass(frozen=True, slots=True)
class MetadataRow:
    """All of a thread's operation but its body. Key: (thread, position, message id).

    `version` is the thread position of the last operation that changed the message: its own position at
    first, then that of each edit, and of the delete that made the row a tombstone (which nothing changes
    any more).
    """

    thread_id: str
    position: int
    message_id: bytes
    kind: str
    sender_id: str
    server_at_ms: int
    version: int
    has_body: bool = False
    is_deleted: bool = False
    target: bytes | None = None
    """The message that an edit, a delete or a mark_read names."""
    members: bytes = b""
    """The members that this operation added or removed, as a framed ChangeMembers; empty if it touched
    none.
    """

    @property
    def key(self) -> MessageKey:
        return MessageKey(self.thread_id, self.message_id)


@dataclass(frozen=True, slots=True)
class Body:
    """What a message says. Key: (thread, message id).

    `version` is the thread position of the operation that wrote it. A body is erased by a version without
    content, which stays so that a late write of an older version finds something newer.
    """

    thread_id: str
    message_id: bytes
    version: int
    content: bytes = b""
    """The framed Post or PostForm as it was sent; empty when erased."""
    text: bytes | None = None
    """What the last edit put in place of the content's text; None when there was none."""

    @property
    def key(self) -> MessageKey:
        return MessageKey(self.thread_id, self.message_id)

    @property
    def is_erased(self) -> bool:
        return not self.content


class ThreadRows(NamedTuple):
    """A part of a thread, with the pointer at which the metadata store was when it was read."""

    rows: list[MetadataRow]
    pointer: int


class MetadataStore(Protocol):
    """Metadata rows and one pointer a partition."""

    def refusal(self, row: MetadataRow) -> str | None:
        """Why the store can never take this row, or None.

        Pure and the same for ever, whatever the store holds: both halves of a message are withheld on its
        word, again after every restart.
        """
        ...

    async def pointer(self, partition: int) -> int | None:
        """Return the partition's pointer, or None before its first commit."""
        ...

    async def queue_id(self, partition: int) -> str | None:
        """Return what `keep_queue_id` was given last for the partition, or None."""
        ...

    async def keep_queue_id(self, partition: int, queue_id: str) -> None:
        """Note down which queue the partition's pointer counts in; returned means that it survives a kill."""
        ...

    async def get(self, keys: Sequence[MessageKey]) -> dict[MessageKey, MetadataRow]:
        """Return the rows that exist, tombstones included."""
        ...

    async def commit(self, partition: int, rows: Sequence[MetadataRow], pointer: int) -> None:
        """Upsert rows and move the pointer, all or nothing; returned means that it survives a kill.

        A row takes effect only where the stored version is older or there is none; the pointer never
        moves back. So the same commit may come twice, and a delayed one after newer ones, without harm.
        At most one row of a message in one call. Not promised: that a commit which raised was not
        applied.
        """
        ...

    async def read(self, partition: int, thread_id: str, first: int, last: int, rows_max: int) -> ThreadRows:
        """Return the rows at positions first..last in order, at most rows_max, and the pointer.

        Both as of one moment. The pointer is 0 before the partition's first commit.
        """
        ...


class BodyStore(Protocol):
    """Bodies and one pointer a partition."""

    def refusal(self, body: Body) -> str | None:
        """Why the store can never take this body, or None; on the same terms as the metadata store's."""
        ...

    async def pointer(self, partition: int) -> int | None:
        """Return the partition's pointer, or None before its first commit."""
        ...

    async def get(self, keys: Sequence[MessageKey]) -> dict[MessageKey, Body]:
        """Return the bodies that exist, erased ones included."""
        ...

    async def commit(self, partition: int, bodies: Sequence[Body], pointer: int) -> None:
        """Upsert bodies and move the pointer, on the same terms as the metadata store's commit."""
        ...


class QueueSlice(NamedTuple):
    """Committed records of a partition and the offset at which to go on (offsets have holes)."""

    records: Sequence[Record]
    next_offset: int


class QueueSpan(NamedTuple):
    """A partition of the queue: which queue it is, and what its log holds."""

    queue_id: str
    """A queue that is deleted and made anew has another."""
    start: int
    """Offset of the oldest record that is kept."""
    end: int
    """Offset behind the last record, committed or not."""


class QueueReader(Protocol):
    """Reads the queue a second time, for bodies that their store could not take when the record came by."""

    async def span(self, partition: int) -> QueueSpan:
        """Return what the queue holds now; raises BrokerUnavailable, and TopologyError when it is not there."""
        ...

    async def read(self, partition: int, first: int, before: int, records_max: int) -> QueueSlice:
        """Return committed records from `first` on, all below `before`, at most records_max.

        `before` lies at or below a committed record's offset + 1, so there is always something to wait
        for. Returns at least one record, or next_offset = before. Raises BrokerUnavailable, and
        TrimmedBelowProgress when `first` is no longer kept.
        """
        ...


class DeadLetters(Protocol):
    """Takes a record that can never be stored."""

    def __call__(self, record: Record, code: str, detail: str, /) -> Awaitable[None]:
        """Keep the record, whole; raises BrokerUnavailable.

        Called before the pointer passes the record, once per success. After a kill between the two it is
        called again with the same topic, partition and offset, and should then keep only one.
        """
        ...
