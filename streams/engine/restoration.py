"""Reads a shard's own topics into its local store: at opening, and up to whatever point the claim protocol asks.

Three topics hold all that a shard is: shard.state (state rows, progress, claims), shard.ledger, and inbox.updates.
They are read under read_committed from the store's markers on; `Applying` writes what was read, with the markers.
Claims beyond the committed end are looked at under read_uncommitted. A store that cannot be continued from its
markers is wiped first (`reason_to_wipe`), and restored in full.
Tested in tests/engine/test_restoration.py on real Kafka.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.connection import Connection
from streams.engine.applying import OFFSET_BYTES, Applying
from streams.engine.claims import TABLE as CLAIMS
from streams.engine.claims import ClaimLog
from streams.engine.settings import ShardStatus
from streams.engine.store import Store
from streams.errors import StateTopicReplaced
from streams.ports import Record, Restorer

_FETCH_BYTES = 4 << 20
_FETCH_WAIT_MS = 20
_POLL_MS = 50
_RECORDS_A_POLL = 20_000
_UNLOGGED_ROWS_MIN = 50_000
"""From here on it is cheaper to read again after a SIGKILL than to write everything twice."""


class Restoration:
    """Brings one shard's store up to the log, and its claims with it."""

    def __init__(  # one place builds it; each argument is another part's business
        self,
        *,
        connection: Connection,
        number: int,
        state_topic: str,
        restorers: Sequence[Restorer],
        store: Store,
        claims: ClaimLog,
        log_ends: Callable[[Sequence[TopicPartition]], Awaitable[dict[TopicPartition, int]]],
        status: ShardStatus,
    ) -> None:
        self._state = TopicPartition(state_topic, number)
        self._applying = Applying(store, state_topic, restorers, self._observe)
        self._partitions = [TopicPartition(topic, number) for topic in self._applying.topics]
        self._store = store
        self._claims = claims
        self._log_ends = log_ends
        self._connection = connection
        self._consumer = _consumer(connection, "read_committed")
        self._tail: AIOKafkaConsumer | None = None
        self._status = status

    async def start(self) -> None:
        """Connect, and begin where the store's markers stand; the store has been checked by reason_to_wipe."""
        for key, value in self._store.rows(CLAIMS):
            offset = int.from_bytes(value[:OFFSET_BYTES], "big")
            self._claims.observe(offset, key, value[OFFSET_BYTES:], committed=True)
        await self._consumer.start()
        self._consumer.assign(self._partitions)
        starts = await self._consumer.beginning_offsets(self._partitions)
        ends = await self._consumer.end_offsets(self._partitions)
        kept = 0
        for partition in self._partitions:
            marker = self._store.marker(partition.topic)
            begin = starts[partition] if marker is None else marker
            self._consumer.seek(partition, begin)
            kept += begin - starts[partition]
        self._status.is_warm = 2 * kept >= sum(ends.values()) - sum(starts.values())

    async def close(self) -> None:
        """Let go of the connections; the store stays open."""
        await self._consumer.stop()
        if self._tail is not None:
            await self._tail.stop()

    async def read_committed(self) -> None:
        """Read what is committed now."""
        await self._read_to(await self._consumer.end_offsets(self._partitions), None)

    async def read_settled(self, patience_s: float) -> bool:
        """Read until nothing before the present high watermark is undecided; False when patience ran out."""
        return await self._read_to(await self._log_ends(self._partitions), time.monotonic() + patience_s)

    async def observe_tail(self) -> None:
        """Look at the claims between the committed end and the high watermark, decided or not.

        The store's marker may lie beyond the committed end: a holder's own units stand behind a claim that lost and
        was left open. Only who looks below the marker can fence its owner; else everyone waits for the time-out.
        """
        self._claims.discard_uncommitted()
        end = (await self._log_ends([self._state]))[self._state]
        committed_end = (await self._consumer.end_offsets([self._state]))[self._state]
        start = min(await self._consumer.position(self._state), committed_end)
        if start >= end:
            return
        if self._tail is None:
            self._tail = _consumer(self._connection, "read_uncommitted")
            await self._tail.start()
            self._tail.assign([self._state])
        self._tail.seek(self._state, start)
        while await self._tail.position(self._state) < end:
            for records in (await self._tail.getmany(timeout_ms=_POLL_MS)).values():
                for record in records:
                    if record.key is not None and record.key.startswith(CLAIMS):
                        self._claims.observe(record.offset, record.key, record.value, committed=False)

    async def _read_to(self, ends: Mapping[TopicPartition, int], deadline: float | None) -> bool:
        consumer = self._consumer
        behind = {one: end for one, end in ends.items() if await consumer.position(one) < end}
        left = [end - await consumer.position(one) for one, end in behind.items()]
        self._status.rows_total = self._status.rows_read + sum(left)
        is_logged = sum(left) < _UNLOGGED_ROWS_MIN
        while behind:
            fetched = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_RECORDS_A_POLL)
            await self._apply(fetched, is_logged=is_logged)
            behind = {one: end for one, end in behind.items() if await consumer.position(one) < end}
            if behind and deadline is not None and time.monotonic() > deadline:
                return False
            await asyncio.sleep(0)
        return True

    async def _apply(self, fetched: Mapping[TopicPartition, Sequence[Record]], *, is_logged: bool) -> None:
        if fetched:
            markers = {one.topic: await self._consumer.position(one) for one in fetched}
            self._status.rows_read += sum(len(records) for records in fetched.values())
            by_topic = {one.topic: records for one, records in fetched.items()}
            self._applying.apply(by_topic, markers, is_logged=is_logged)

    def _observe(self, offset: int, key: bytes, value: bytes | None) -> None:
        self._claims.observe(offset, key, value, committed=True)


def refuse_replaced(store: Store, state_topic: str, topic_ids: Mapping[str, str]) -> None:
    """Raise StateTopicReplaced when the store was filled from another topic of that name.

    The state topic is where a store is rebuilt from; when it is not the same any more, the store is the last copy.
    """
    known = store.topic_id(state_topic)
    if known is not None and topic_ids.get(state_topic, known) != known:
        raise StateTopicReplaced(
            f"{state_topic} was deleted and made anew; {store.path} holds the last copy of this shard's state and is "
            "kept. Restore the topic from a backup, or accept the loss: stop the workers and remove that folder"
        )


def reason_to_wipe(  # what is compared
    store: Store,
    topics: Sequence[str],
    *,
    starts: Mapping[str, int],
    ends: Mapping[str, int],
    topic_ids: Mapping[str, str],
    tombstones_kept_ms: int,
    now_ms: int,
) -> str | None:
    """Return why a store cannot be continued from its markers, or None.

    A marker below a topic's log start or above its end, a topic that was made anew, or a store that was offline for
    longer than tombstones are kept (a deletion may be gone from the log): the store is wiped and restored in full.
    """
    written_at_ms = store.written_at_ms()
    if written_at_ms is None:
        return None
    if now_ms - written_at_ms > tombstones_kept_ms:
        return f"offline for {(now_ms - written_at_ms) // 1000} s, deletions may be gone from the log"
    for topic in topics:
        marker, known = store.marker(topic), store.topic_id(topic)
        if known is not None and topic in topic_ids and known != topic_ids[topic]:
            return f"{topic} was deleted and made anew"
        if marker is not None and not starts[topic] <= marker <= ends[topic]:
            return f"the marker of {topic} is {marker}, its log is {starts[topic]} to {ends[topic]}"
    return None


def _consumer(connection: Connection, isolation: str) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        isolation_level=isolation,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=_FETCH_BYTES,
        fetch_max_wait_ms=_FETCH_WAIT_MS,
        **connection.client_arguments(),
    )
