"""Warm copies of shards that other workers own, so that a lost worker's shards serve again within a moment.

One reader for all of them: it follows each shard's own topics under read_committed, as far as they are committed, and
`Applying` writes what it reads into the store that an opening would go on with. Nothing else happens here: a standby
never commits, claims or fences, and is never ahead of the log. When the shard becomes this worker's own, the store is
closed at once, in the same turn of the event loop as the assignment is taken in; its opening then reads only what came
since. A shard that is given away becomes a standby when its store is closed.

It is meant to cost little: reads are gathered (up to half a second, or a quarter of a MiB), bounded, and put off while
shards of this worker are being opened. Whatever fails here is waited out with a growing back-off, a damaged store is
wiped and rebuilt, and nothing of it harms the worker. Not promised: how far a standby is behind; `behind` says it,
and so do the metrics of standbys.
Tested in tests/engine/test_standby.py and tests/chaos/test_standbys.py.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from streams.connection import Connection
from streams.engine.applying import Applying
from streams.engine.settings import HostSettings, ShardStatus
from streams.engine.store import Store, explained, wipe
from streams.engine.stores import Stores
from streams.errors import LockstepError, StoreDamaged
from streams.ports import Record

log = structlog.get_logger("engine")

_FETCH_WAIT_MS = 500
_FETCH_BYTES_MIN = 256 << 10
"""A fetch is answered when so much is there, or the wait is over: few fetches, each with many units in it."""
_FETCH_BYTES_MAX = 8 << 20
_PARTITION_BYTES_MAX = 1 << 20
_POLL_MS = 200
_RECORDS_A_POLL = 1_000
"""Some ten milliseconds of applying between two turns of the event loop."""
_TURN_S = 0.1
_TOUCH_MS = 30_000
"""How often a store is told that nothing came: after a day without a word it would count as offline."""
_HELD_S_MAX = 30.0
"""How long openings after an assignment may hold up the copies."""
_STOP_SECONDS_MAX = 2.0
_BACK_OFF_S_FIRST = 0.5
_BACK_OFF_S_MAX = 60.0


class _Copy:
    """One open standby."""

    def __init__(self, store: Store, applying: Applying) -> None:
        self.store = store
        self.applying = applying
        self.behind: int | None = None
        """Offsets between the copy and the committed end, as of the last fetch."""
        self._heard_at_ms: dict[str, int] = {}
        """Topic -> when the broker last said what there is, by this machine's clock."""
        self._written_at_ms = 0

    def marker(self, topic: str) -> int:
        marker = self.store.marker(topic)
        assert marker is not None  # Stores.checked writes them
        return marker

    def hear(self, topic: str, at_ms: int | None, silence_ms_max: int) -> bool:
        """Note when a broker answered; return False after a silence so long that deletions may be gone from the log.

        The store says by its last write how long it was offline, so it is to be closed then, before anything is
        written, and to be opened by the usual checks.
        """
        before_ms = self._heard_at_ms.get(topic)
        if at_ms is not None:
            self._heard_at_ms[topic] = at_ms
        return at_ms is None or before_ms is None or at_ms - before_ms <= silence_ms_max

    def take(self, fetched: Mapping[str, Sequence[Record]], markers: Mapping[str, int], kept_ms: int) -> None:
        """Write what was read; now and then also that nothing came. Raises StoreError, or what a restorer raises."""
        now_ms = time.time_ns() // 1_000_000
        is_touched = (
            self._heard_at_ms.keys() >= markers.keys()
            and min(self._heard_at_ms.values()) > now_ms - _TOUCH_MS > self._written_at_ms
        )
        if fetched or is_touched:
            self.applying.apply(fetched, markers)
            self.applying.expire(kept_ms)
            self._written_at_ms = now_ms


class Standbys:
    """The standbys of one worker."""

    def __init__(
        self,
        settings: HostSettings,
        stores: Stores,
        owned: Container[int],
        status: Mapping[int, ShardStatus],
        counters: Counter[str],
    ) -> None:
        """`owned`: shards whose stores the worker has open as their owner; `status`: what it is opening. Both live.

        `counters`: the worker's; told of what was written to copies.
        """
        self._settings = settings
        self._stores = stores
        self._owned = owned
        self._status = status
        self._counters = counters
        self._wanted: frozenset[int] = frozenset()
        self._copies: dict[int, _Copy] = {}
        self._followed: list[_Copy] = []
        """The copies that the reader is at, as of its last assignment."""
        self._waits: dict[int, tuple[float, float]] = {}
        """Shard whose store failed -> when to try again, and how long to wait after that."""
        self._held_until_s = 0.0
        self._changed = asyncio.Event()

    def reconcile(self, numbers: Iterable[int]) -> None:
        """Take in which shards to follow; the stores of all others are closed when this returns."""
        self._wanted = frozenset(numbers)
        for number in self._copies.keys() - self._wanted:
            self._close(number)
        self._waits = {number: wait for number, wait in self._waits.items() if number in self._wanted}
        self._held_until_s = time.monotonic() + _HELD_S_MAX
        self._changed.set()

    def reopen(self) -> None:
        """Close every store, so that each is compared with its topics again before it goes on."""
        for number in list(self._copies):
            self._close(number)

    def status(self) -> list[dict[str, Any]]:
        """Return what people see; the keys are stable. `behind` is None until it is known."""
        copies = self._copies
        return [
            {"shard": number, "behind": copies[number].behind if number in copies else None}
            for number in sorted(self._wanted)
        ]

    async def run(self) -> None:
        """Follow until cancelled; then every store is closed."""
        wait_s = _BACK_OFF_S_FIRST
        try:
            while True:
                self._changed.clear()
                if not self._wanted:
                    await self._changed.wait()
                    continue
                began_s = time.monotonic()
                try:
                    await self._follow()
                except (OffsetOutOfRangeError, NoOffsetForPartitionError) as error:
                    log.warning("engine.standbys_reopened", reason=repr(error))
                    self.reopen()
                except (KafkaError, LockstepError, OSError) as error:
                    log.warning("engine.standbys_wait", reason=str(error) or repr(error))
                except Exception:
                    log.exception("engine.standbys_failed")
                    self.reopen()
                else:
                    continue
                wait_s = _BACK_OFF_S_FIRST if time.monotonic() > began_s + _BACK_OFF_S_MAX else wait_s
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _BACK_OFF_S_MAX)
        finally:
            self.reconcile(())

    async def _follow(self) -> None:
        """Follow for as long as there is something to follow; raises what the cluster does."""
        consumer = _consumer(self._settings.connection)
        self._followed = []
        try:
            await consumer.start()
            while self._wanted:
                if self._is_held():
                    await asyncio.sleep(_TURN_S)
                    continue
                await self._open_missing()
                self._point(consumer)
                if self._followed:
                    await self._read(consumer)
                else:
                    await asyncio.sleep(_TURN_S)
        finally:
            await _stop(consumer)

    def _is_held(self) -> bool:
        """Whether shards are being opened, which comes first."""
        return time.monotonic() < self._held_until_s and any(
            status.state == "opening" for status in self._status.values()
        )

    async def _open_missing(self) -> None:
        for number in sorted(self._wanted - self._copies.keys()):
            due_s, _ = self._waits.get(number, (0.0, 0.0))
            if number in self._owned or time.monotonic() < due_s:
                continue
            try:
                store = await self._stores.checked(number)
            except LockstepError as error:
                self._failed(number, error)
                continue
            if number not in self._wanted or number in self._owned:  # the assignment changed meanwhile
                store.close()
                continue
            settings = self._settings
            self._copies[number] = _Copy(store, Applying(store, settings.state_topic, settings.restorers()))
            log.info("engine.standby_opened", shard=number)

    def _point(self, consumer: AIOKafkaConsumer) -> None:
        """Let the reader follow just the copies that are open, each from its markers."""
        copies = list(self._copies.values())
        if self._followed == copies:
            return
        self._followed = copies
        places = {
            TopicPartition(topic, number): copy.marker(topic)
            for number, copy in self._copies.items()
            for topic in copy.applying.topics
        }
        consumer.assign(list(places))
        for place, marker in places.items():
            consumer.seek(place, marker)

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        fetched = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_RECORDS_A_POLL)
        positions = {place: await consumer.position(place) for place in consumer.assignment()}
        for number, copy in list(self._copies.items()):
            if self._copies.get(number) is copy and copy in self._followed:  # not closed since the fetch
                self._take(consumer, number, fetched, positions)
                await asyncio.sleep(0)

    def _take(
        self,
        consumer: AIOKafkaConsumer,
        number: int,
        fetched: Mapping[TopicPartition, Sequence[Record]],
        positions: Mapping[TopicPartition, int],
    ) -> None:
        copy, places = self._copies[number], [place for place in positions if place.partition == number]
        silence_ms_max = self._settings.tombstones_kept_ms // 4
        heard = [copy.hear(one.topic, consumer.last_poll_timestamp(one), silence_ms_max) for one in places]
        if not all(heard):
            log.warning("engine.standby_was_silent", shard=number)
            self._close(number)
            return
        try:
            copy.take(
                {one.topic: fetched[one] for one in places if one in fetched},
                {one.topic: positions[one] for one in places},
                self._settings.ledger_kept_ms,
            )
        except Exception as error:  # noqa: BLE001  # a damaged file raises anything, and must not end the worker
            self._failed(number, error)
        else:
            self._counters["engine.standby_records"] += sum(len(fetched.get(one, ())) for one in places)
            copy.behind = _behind(consumer, {one: positions[one] for one in places})
            self._waits.pop(number, None)

    def _failed(self, number: int, error: Exception) -> None:
        """Close a copy whose store failed, wipe it when it is damaged, and say when to try again."""
        path = self._stores.path(number)
        reason = error if isinstance(error, LockstepError) else explained(path, error)
        log.warning("engine.standby_failed", shard=number, code=reason.code, reason=str(reason))
        self._close(number)
        if isinstance(reason, StoreDamaged):
            wipe(path)
        _, wait_s = self._waits.get(number, (0.0, _BACK_OFF_S_FIRST))
        self._waits[number] = (time.monotonic() + wait_s, min(2 * wait_s, _BACK_OFF_S_MAX))

    def _close(self, number: int) -> None:
        copy = self._copies.pop(number, None)
        if copy is not None:
            copy.store.close()
            log.info("engine.standby_closed", shard=number, behind=copy.behind)


def _behind(consumer: AIOKafkaConsumer, positions: Mapping[TopicPartition, int]) -> int | None:
    behind = 0
    for place, position in positions.items():
        end = consumer.last_stable_offset(place)
        if end is None:
            return None
        behind += max(0, end - position)
    return behind


async def _stop(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer, or leave it when that hangs: nothing of it is needed any more.

    aiokafka lets the cancellation of its own tasks through, as if it were ours; not from here.
    """
    stopping = asyncio.ensure_future(consumer.stop())
    done, _ = await asyncio.wait({stopping}, timeout=_STOP_SECONDS_MAX)
    if not done:
        stopping.cancel()
    elif stopping.cancelled():
        await consumer._client.close()  # noqa: SLF001  # what was left of the stop; aiokafka does it once only
    elif (error := stopping.exception()) is not None:
        raise error


def _consumer(connection: Connection) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=_FETCH_WAIT_MS,
        fetch_min_bytes=_FETCH_BYTES_MIN,
        fetch_max_bytes=_FETCH_BYTES_MAX,
        max_partition_fetch_bytes=_PARTITION_BYTES_MAX,
        **connection.client_arguments(),
    )
