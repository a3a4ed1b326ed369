"""Reading a thread so that metadata and bodies match (the sibling pattern: W7, W10).

Metadata is read first, with the store's pointer. The body store catches up to that pointer from the
queue. Then each message is returned with the body of exactly the version its metadata names, or flagged
pending: never with another version, never empty without saying so. A body store that does not answer is
stood in for by the queue, as far as it reaches. Not promised: that a pending body comes soon. Tested in
tests/split_store/test_reads.py.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from streams.errors import BrokerUnavailable
from streams.limits import STORE_READ_ROWS_MAX
from streams.split_store.rules import body_writes
from streams.store_ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streams.split_store.stage import StorePartition
    from streams.store_ports import Body, BodyStore, MessageKey, MetadataRow, MetadataStore

CATCH_UP_S_MAX: Final = 2.0
"""How long a reader waits for bodies before it looks for them in the queue."""
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One position of a thread; `body` is the version that `row` names, None where there is none."""

    row: MetadataRow
    body: Body | None
    is_pending: bool
    """There is a body, but it cannot be had yet."""


def matched(row: MetadataRow, bodies: Mapping[MessageKey, Body]) -> StoredMessage:
    """Return a row with its body if that is of its version, else pending."""
    if not row.has_body or row.is_deleted:
        return StoredMessage(row, None, is_pending=False)
    body = bodies.get(row.key)
    if body is None or body.version != row.version or body.is_erased:
        return StoredMessage(row, None, is_pending=True)
    return StoredMessage(row, body, is_pending=False)


class ThreadReader:
    """Reads the threads of the partitions that this process holds."""

    def __init__(
        self, metadata: MetadataStore, bodies: BodyStore, *, catch_up_s_max: float = CATCH_UP_S_MAX
    ) -> None:
        self._metadata = metadata
        self._bodies = bodies
        self._catch_up_s_max = catch_up_s_max

    async def read(
        self,
        partition: StorePartition,
        thread_id: str,
        first: int,
        last: int,
        rows_max: int = STORE_READ_ROWS_MAX,
    ) -> list[StoredMessage]:
        """Return positions first..last in order; raises StoreUnavailable when metadata cannot be had."""
        messages: list[StoredMessage] = []
        for _ in range(_ATTEMPTS):
            rows, pointer = await self._metadata.read(
                partition.partition, thread_id, first, last, min(rows_max, STORE_READ_ROWS_MAX)
            )
            bodies = await self._bodies_of(partition, thread_id, rows, pointer)
            messages = [matched(row, bodies) for row in rows]
            if not any(one.is_pending and _is_older(one.row, bodies) for one in messages):
                break
        return messages

    async def _bodies_of(
        self, partition: StorePartition, thread_id: str, rows: Sequence[MetadataRow], pointer: int
    ) -> Mapping[MessageKey, Body]:
        keys = [row.key for row in rows if row.has_body and not row.is_deleted]
        if not keys:
            return {}
        stored: dict[MessageKey, Body] = {}
        try:
            async with asyncio.timeout(self._catch_up_s_max):
                await partition.bodies.catch_up(pointer)
                stored = await self._bodies.get(keys)
        except (StoreUnavailable, TimeoutError):
            stored = {}
        if not any(matched(row, stored).is_pending for row in rows):
            return stored
        try:
            ahead = await partition.bodies.operations_ahead(thread_id)
        except BrokerUnavailable:
            return stored
        return {**stored, **{body.key: body for body in body_writes(ahead, stored)}}


def _is_older(row: MetadataRow, bodies: Mapping[MessageKey, Body]) -> bool:
    """Whether the body went on after the metadata was read: reading again will match."""
    body = bodies.get(row.key)
    return body is not None and body.version > row.version
