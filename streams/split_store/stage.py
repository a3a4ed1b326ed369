"""The split store of one partition: two halves over one queue, and what a crash between them leaves.

Order of effects for a batch of records:
1. refused records go to the dead letters; a crash after it: the restart comes by again, and the sink, which tells
   them by topic, partition and offset, keeps one;
2. rows and pointer are committed to the metadata store; a crash after it: metadata without bodies, which readers
   see as pending; the body store's pointer is behind, and a restart begins there;
3. the store's success is observed, and the batch is handed on;
4. bodies and pointer are committed to the body store; a crash after it leaves nothing to do.

Both halves run on their own: a metadata store that is down stops both (W2), a body store that is down
only itself (W3). Not promised: a lock; exactly one worker may hold a partition. Tested in
tests/split_store/.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from streams.errors import QueueReplaced, TrimmedBelowProgress
from streams.split_store.admission import Admission
from streams.split_store.backlog import Backlog
from streams.split_store.body_half import BodyHalf
from streams.split_store.metadata_half import MetadataHalf
from streams.split_store.retry import CALL_S_MAX, Retry
from streams.store_ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from streams.ports import Record
    from streams.store_ports import BodyStore, DeadLetters, MetadataStore, QueueReader, QueueSpan


class Pointers(NamedTuple):
    """Offsets of the first record that each half does not hold; bodies None while that is unknown."""

    metadata: int
    bodies: int | None

    @property
    def lowest(self) -> int:
        """Every record below is stored in both halves (W9)."""
        return min(self.metadata, self.bodies or 0)


@dataclass(frozen=True, slots=True)
class Parts:
    """What all partitions share."""

    metadata: MetadataStore
    bodies: BodyStore
    queue: QueueReader
    admission: Admission
    dead_letters: DeadLetters
    sleep: Callable[[float], Awaitable[None]]
    chance: Callable[[], float]
    call_s_max: float = CALL_S_MAX
    counters: Counter[str] = field(default_factory=Counter)
    """What was written since the process began: rows, bodies, dead_letters; what came twice counts twice."""

    def retry(self) -> Retry:
        """A fresh one."""
        return Retry(sleep=self.sleep, chance=self.chance, call_s_max=self.call_s_max)


class StorePartition:
    """Both halves of one partition. Made by `open_partition`; give it records with `take`, let `run` run."""

    def __init__(self, partition: int, parts: Parts, pointers: Pointers) -> None:
        self.partition = partition
        self.start = pointers.metadata if pointers.bodies is None else min(pointers.metadata, pointers.bodies)
        """Where the records given to `take` must begin (W5)."""
        self.metadata = MetadataHalf(
            partition,
            store=parts.metadata,
            admission=parts.admission,
            dead_letters=parts.dead_letters,
            retry=parts.retry(),
            pointer=pointers.metadata,
            counters=parts.counters,
        )
        self.bodies = BodyHalf(
            partition,
            store=parts.bodies,
            queue=parts.queue,
            admission=parts.admission,
            retry=parts.retry(),
            pointer=pointers.bodies,
            limit=pointers.metadata,
            backlog=Backlog(self.start),
            counters=parts.counters,
        )

    @property
    def pointers(self) -> Pointers:
        return Pointers(self.metadata.pointer, self.bodies.pointer)

    @property
    def has_room(self) -> bool:
        """Whether more records should be fetched."""
        return self.metadata.has_room

    def take(self, records: Iterable[Record]) -> None:
        """Queue records for both halves, in order and without holes from `start` on."""
        self.metadata.take(records)

    async def run(self) -> None:
        """Store what is taken, until cancelled; raises StoreError and TrimmedBelowProgress."""
        halves = [
            asyncio.create_task(self.metadata.run(self.bodies.follow)),
            asyncio.create_task(self.bodies.run()),
        ]
        try:
            done, _ = await asyncio.wait(halves, return_when=asyncio.FIRST_EXCEPTION)
            for half in done:
                half.result()
        finally:
            for half in halves:
                half.cancel()
            await asyncio.gather(*halves, return_exceptions=True)


async def open_partition(partition: int, parts: Parts) -> StorePartition:
    """Find both pointers; waits for the metadata store, but for the body store only where nothing is known.

    Raises TrimmedBelowProgress when a store lacks records that the queue no longer holds, QueueReplaced when the
    queue is not the one in which the pointers count.
    """
    retry = parts.retry()
    span = await retry.until_done(lambda: parts.queue.span(partition))
    metadata = await retry.until_done(lambda: parts.metadata.pointer(partition))
    known = await retry.until_done(lambda: parts.metadata.queue_id(partition))
    if known not in {None, span.queue_id}:
        raise _replaced(partition, span, metadata or 0)
    opened = (
        await _open_fresh(partition, parts, retry, span)
        if metadata is None
        else await _open_again(partition, parts, span, metadata)
    )
    if known is None:
        await retry.until_done(lambda: parts.metadata.keep_queue_id(partition, span.queue_id))
    return opened


async def _open_again(partition: int, parts: Parts, span: QueueSpan, metadata: int) -> StorePartition:
    bodies: int | None
    try:
        async with asyncio.timeout(parts.call_s_max):
            bodies = await parts.bodies.pointer(partition) or 0
    except (StoreUnavailable, TimeoutError):
        bodies = None
    _check_kept(partition, span, {metadata} if bodies is None else {metadata, bodies})
    return StorePartition(partition, parts, Pointers(metadata, bodies))


async def _open_fresh(partition: int, parts: Parts, retry: Retry, span: QueueSpan) -> StorePartition:
    """Begin at the queue's start, which both stores note down, bodies first.

    A metadata store without a pointer beside bodies that have gone further was lost: it needs the queue
    from 0.
    """
    bodies = await retry.until_done(lambda: parts.bodies.pointer(partition))
    first = span.start if bodies is None or bodies <= span.start else 0
    _check_kept(partition, span, {first} if bodies is None else {first, max(first, bodies)})
    if bodies is None:
        await retry.until_done(lambda: parts.bodies.commit(partition, [], first))
    await retry.until_done(lambda: parts.metadata.commit(partition, [], first))
    return StorePartition(partition, parts, Pointers(first, first if bodies is None else bodies))


def _check_kept(partition: int, span: QueueSpan, pointers: set[int]) -> None:
    """Compare what the stores need and have with what the queue holds."""
    if max(pointers) > span.end:
        raise _replaced(partition, span, max(pointers))
    if min(pointers) < span.start:
        raise TrimmedBelowProgress(
            f"partition {partition} of the split store's queue starts at {span.start}, its stores need it from "
            f"{min(pointers)}: restore the stores from a backup, or remove both to begin at the queue's start"
        )


def _replaced(partition: int, span: QueueSpan, pointer: int) -> QueueReplaced:
    return QueueReplaced(
        f"the split store's queue was deleted and made anew, or lost its end: partition {partition} is stored up to "
        f"{pointer} of another one, this one holds {span.start} to {span.end}. What was not stored is lost; both "
        "stores are the last copy of the rest and are kept: see docs/operations.md, QUEUE_REPLACED"
    )
