"""The shards of one worker: which it should have, which it has, and the loop that commits their units of work.

One transactional producer a worker; one transaction covers every shard that has something to do. Order of effects in
a unit: 1. stages run, everything staged; 2. outputs, changelog and progress in one transaction; 3. each shard's rows
and markers in one local batch. A crash after 1 leaves nothing; between 2 and 3 a store that is behind the log and is
brought up at the next opening. Any doubt about a transaction ends the transactional id: it is fenced, every shard is
dropped and opened again under a new id. Tested in tests/engine and, with kills between all steps, in tests/chaos.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams import faults
from streams.connection import Connection
from streams.engine.claims import ClaimLog
from streams.engine.opening import GiveWay, Won
from streams.engine.producer import CommitInDoubt, TransactionalProducer, fence
from streams.engine.restoration import Restoration, reason_to_wipe
from streams.engine.shard import Output, Shard, ShardSettings
from streams.engine.store import Memory, Store, wipe
from streams.engine.takeover import Membership, Patience, Takeover, release_row
from streams.errors import LockstepError, StoreError, TrimmedBelowProgress
from streams.ports import Record, Restorer, Stage
from streams.tables import TABLES, Changelog

log = structlog.get_logger("engine")

BACK_OFF_S_FIRST = 0.1
BACK_OFF_S_MAX = 5.0


class Fetching(Protocol):
    """How the host steers the consumer that feeds it."""

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Fetch from `offset` on, and begin if it was held."""
        ...

    def hold(self, topic: str, partition: int) -> None:
        """Fetch nothing of this partition."""
        ...


class ClusterView(Protocol):
    """What the host asks of the cluster beside reading and writing; adapters.cluster.Cluster."""

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]: ...

    async def end_offsets(
        self, partitions: Iterable[TopicPartition], isolation: Literal["read_committed", "read_uncommitted"]
    ) -> dict[TopicPartition, int]: ...

    async def topic_ids(self, names: Iterable[str]) -> dict[str, str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """What a worker is told at its start."""

    app: str
    worker: str
    """Name of the worker: its static membership, and the first part of its transactional ids."""
    folder: Path
    connection: Connection
    state_topic: str
    ledger_topic: str
    input_topics: tuple[str, ...]
    """Topics that agents feed."""
    shard: ShardSettings
    stages: Callable[[Shard], Sequence[Stage]]
    restorers: Callable[[], Sequence[Restorer]]
    transaction_timeout_ms: int = 6_000
    tombstones_kept_ms: int = 86_400_000
    memory_bytes: int = 192 << 20
    unit_records_max: int = 6_000
    unit_seconds_max: float = 0.15
    patience: Patience = field(default_factory=Patience)


@dataclass
class ShardStatus:
    """What people see of a shard that this worker should have."""

    state: str = "opening"
    """opening, open or failed."""
    detail: str = ""
    rows_read: int = 0
    rows_total: int = 0


class Host:
    """Owns the shards of one worker. Everything runs on one event loop; public methods that are not async return at once."""

    def __init__(
        self, settings: HostSettings, membership: Membership, fetching: Fetching, cluster: ClusterView
    ) -> None:
        self.settings = settings
        self.membership = membership
        self._fetching = fetching
        self._cluster = cluster
        self._memory = Memory.of(settings.memory_bytes)
        self._changelogs = {table.byte[0]: table.changelog for table in TABLES}
        self.shards: dict[int, Shard] = {}
        self.status: dict[int, ShardStatus] = {}
        self.counters: Counter[str] = Counter()
        self.broker = "connecting"
        """connecting, up, or what the worker is waiting for."""
        self._assigned: frozenset[int] = frozenset()
        self._openings: dict[int, asyncio.Task[None]] = {}
        self._producer: TransactionalProducer | None = None
        self._fenced: set[str] = set()
        self._work = asyncio.Event()
        self._unit = asyncio.Lock()
        """Held from the first record of a unit to its local batch, and by whatever else commits or removes a shard."""
        self._doubt: asyncio.Future[None] | None = None
        self._stopping = False

    # -- Called by the transport ---------------------------------------------------------------------------------

    def reconcile(self, assigned: Collection[int]) -> None:
        """Take in an assignment: keep what comes back, give away what does not, open what is new."""
        self._assigned = frozenset(assigned)
        for number, shard in self.shards.items():
            if number in self._assigned:
                self._feed(shard)
        for number in self._assigned - self.shards.keys():
            self._hold(number)
        for number in [number for number in self._openings if number not in self._assigned]:
            self._openings.pop(number).cancel()
        for number in [number for number in self.status if number not in self._assigned]:
            del self.status[number]
        self._work.set()

    def wants(self, topic: str, partition: int) -> bool:
        """Whether more records of a partition have room."""
        shard = self.shards.get(partition)
        return shard is not None and shard.has_room(topic)

    def take(self, topic: str, partition: int, start: int, records: Sequence[Record]) -> None:
        """Hand a fetched batch to its shard; a batch for a shard that is not ours is ignored."""
        shard = self.shards.get(partition)
        if shard is None:
            return
        if not shard.take(topic, start, records):
            self._fetching.seek(topic, partition, shard.inputs[topic].fetched_to)
        self._work.set()

    # -- Life --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until `stop`. Raises only for bugs and settings; everything a cluster can do is waited out."""
        wait_s = BACK_OFF_S_FIRST
        while not self._stopping:
            owner = f"{self.settings.app}.{self.settings.worker}.{uuid.uuid4().hex[:12]}"
            try:
                await self._begin(owner)
                wait_s = BACK_OFF_S_FIRST
                await self._serve()
            except (CommitInDoubt, KafkaError, OSError) as error:
                self.broker = f"waiting: {error}"
                log.warning("engine.unit_in_doubt", owner=owner, reason=str(error))
                await self._drop_everything()
                await self._fence_own(owner)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, BACK_OFF_S_MAX)

    async def stop(self) -> None:
        """Finish the unit at hand, give every shard away, close. The caller bounds the time."""
        self._stopping = True
        self._work.set()
        for task in self._openings.values():
            task.cancel()
        await asyncio.gather(*self._openings.values(), return_exceptions=True)
        async with self._unit:
            try:
                await self._release(list(self.shards))
            except (CommitInDoubt, KafkaError, OSError) as error:
                log.warning("engine.release_failed", reason=str(error))
            for shard in self.shards.values():
                shard.store.close()
            self.shards.clear()
            if self._producer is not None:
                await self._producer.close()
                self._producer = None

    async def _begin(self, owner: str) -> None:
        while not await self.membership.confirm():
            await asyncio.sleep(BACK_OFF_S_FIRST)
            if self._stopping:
                return
        producer = TransactionalProducer(
            self.settings.connection, owner, self.settings.transaction_timeout_ms
        )
        try:
            await producer.start()
        except BaseException:
            await producer.close()
            raise
        self._producer = producer
        self._doubt = asyncio.get_running_loop().create_future()
        self.broker = "up"
        log.info("engine.producer_ready", owner=owner)

    async def _serve(self) -> None:
        while not self._stopping:
            await self._give_away()
            self._open_missing()
            if not any(shard.has_work for shard in self.shards.values()):
                await self._await_work()
            if self._doubt is not None and self._doubt.done():
                self._doubt.result()
            async with self._unit:
                await self._run_unit()

    async def _await_work(self) -> None:
        assert self._doubt is not None  # set by _begin
        self._work.clear()
        waiting = asyncio.ensure_future(self._work.wait())
        await asyncio.wait({waiting, self._doubt}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    # -- Units ---------------------------------------------------------------------------------------------------------

    async def _run_unit(self) -> None:
        settings = self.settings
        over_at = time.monotonic() + settings.unit_seconds_max
        budget = settings.unit_records_max
        busy: list[Shard] = []
        for shard in self._in_turn():
            if not shard.has_work:
                continue
            budget -= shard.run(max(budget, 1), lambda: time.monotonic() > over_at)
            busy.append(shard)
            await asyncio.sleep(0)
            if budget <= 0 or time.monotonic() > over_at:
                break
        if busy:
            await self._commit(busy)

    def _in_turn(self) -> list[Shard]:
        """Return the shards, another one first each time, so that a full unit starves nobody."""
        numbers = sorted(self.shards)
        if not numbers:
            return []
        first = self.counters["engine.units"] % len(numbers)
        return [self.shards[number] for number in numbers[first:] + numbers[:first]]

    async def _commit(self, busy: Sequence[Shard]) -> None:
        assert self._producer is not None  # units run only between _begin and _drop_everything
        outputs: list[Output] = []
        for shard in busy:
            shard.stage_progress()
            outputs += shard.outputs
            outputs += self._changelog(shard)
        ends = await self._producer.commit(outputs)
        self.counters["engine.units"] += 1
        self.counters["engine.outputs"] += len(outputs)
        for shard in busy:
            markers = {topic: end for (topic, partition), end in ends.items() if partition == shard.number}
            try:
                counted = shard.committed(
                    {topic: markers[topic] for topic in self._own_topics & markers.keys()}
                )
            except StoreError as error:
                self._lose(shard, error)
                continue
            for metric, amount in counted:
                self.counters[metric] += amount
        faults.point("unit.after_local_batch")

    @property
    def _own_topics(self) -> set[str]:
        return {self.settings.state_topic, self.settings.ledger_topic, Changelog.INBOX_UPDATES.value}

    def _changelog(self, shard: Shard) -> Iterable[Output]:
        state, ledger, number = self.settings.state_topic, self.settings.ledger_topic, shard.number
        changelogs = self._changelogs
        for key, value in shard.overlay.staged.items():
            changelog = changelogs[key[0]]
            if changelog is Changelog.STATE:
                yield state, number, key, value
            elif changelog is Changelog.LEDGER and value is not None:
                yield ledger, number, key, value

    # -- Opening ---------------------------------------------------------------------------------------------------------

    def _open_missing(self) -> None:
        for number in self._assigned - self.shards.keys() - self._openings.keys():
            self.status.setdefault(number, ShardStatus())
            self._openings[number] = asyncio.create_task(self._open(number), name=f"open shard {number}")

    async def _open(self, number: int) -> None:
        wait_s = BACK_OFF_S_FIRST
        while number in self._assigned and not self._stopping:
            try:
                if await self._try_open(number):
                    break
            except asyncio.CancelledError:
                raise
            except CommitInDoubt:
                break
            except (KafkaError, LockstepError, OSError) as error:
                self.status[number] = ShardStatus("failed", f"{getattr(error, 'code', 'KAFKA')}: {error}")
                log.warning("engine.opening_failed", shard=number, reason=str(error))
                if isinstance(error, StoreError) and "disk under" not in str(error):
                    wipe(self._path(number))
                if isinstance(error, TrimmedBelowProgress):
                    wait_s = BACK_OFF_S_MAX
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, BACK_OFF_S_MAX)
        self._openings.pop(number, None)
        self._work.set()

    async def _try_open(self, number: int) -> bool:
        settings = self.settings
        status = self.status[number] = ShardStatus()
        claims = ClaimLog()
        store = await self._checked_store(number)
        restoration = Restoration(
            settings.connection,
            number,
            settings.state_topic,
            settings.restorers(),
            store,
            claims,
            self._high_watermarks,
        )
        try:
            await restoration.start()
            outcome = await self._takeover(number).open(restoration, claims)
            status.rows_read = restoration.rows_read
            if isinstance(outcome, GiveWay) or number not in self._assigned:
                log.info("engine.shard_given_way", shard=number, outcome=str(outcome))
                store.close()
                return False
            await self._adopt(number, store, outcome)
        except BaseException:
            store.close()
            raise
        finally:
            await restoration.close()
        return True

    async def _high_watermarks(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return await self._cluster.end_offsets(partitions, "read_uncommitted")

    async def _checked_store(self, number: int) -> Store:
        settings = self.settings
        topics = [settings.state_topic, *(restorer.topic for restorer in settings.restorers())]
        partitions = [TopicPartition(topic, number) for topic in topics]
        ids = await self._cluster.topic_ids(topics)
        starts = await self._cluster.beginning_offsets(partitions)
        ends = await self._high_watermarks(partitions)
        path = self._path(number)
        try:
            store = Store(path, self._memory)
        except StoreError:
            if not path.exists():
                raise
            log.warning("engine.store_damaged", shard=number)
            wipe(path)
            store = Store(path, self._memory)
        reason = reason_to_wipe(
            store,
            topics,
            {one.topic: offset for one, offset in starts.items()},
            {one.topic: offset for one, offset in ends.items()},
            ids,
            settings.tombstones_kept_ms,
            int(time.time() * 1000),
        )
        if reason is not None:
            log.warning("engine.store_wiped", shard=number, reason=reason)
            store.close()
            wipe(path)
            store = Store(path, self._memory)
        for topic, topic_id in ids.items():
            store.keep_topic_id(topic, topic_id)
        return store

    def _takeover(self, number: int) -> Takeover:
        settings = self.settings
        producer = self._producer
        assert producer is not None  # openings live between _begin and _drop_everything

        async def fence_owner(owner: str) -> None:
            await fence(settings.connection, owner, settings.transaction_timeout_ms)

        async def commit_claim(rows: list[tuple[bytes, bytes | None]]) -> None:
            # Shielded: an opening may be cancelled at any moment, a transaction may not.
            await asyncio.shield(self._commit_rows(producer, number, rows))

        return Takeover(
            producer.transactional_id,
            self.membership,
            self._fenced,
            fence_owner,
            commit_claim,
            settings.patience,
        )

    async def _commit_rows(
        self, producer: TransactionalProducer, number: int, rows: list[tuple[bytes, bytes | None]]
    ) -> None:
        async with self._unit:
            try:
                await producer.commit((self.settings.state_topic, number, key, value) for key, value in rows)
            except CommitInDoubt as error:
                if self._doubt is not None and not self._doubt.done():
                    self._doubt.set_exception(error)
                raise

    async def _adopt(self, number: int, store: Store, won: Won) -> None:
        shard = Shard(number, store, self.settings.shard)
        shard.claim_number = won.claim.number
        for stage in self.settings.stages(shard):
            shard.add_stage(stage)
        starts = await self._cluster.beginning_offsets(
            [TopicPartition(topic, number) for topic in shard.inputs]
        )
        for partition, start in starts.items():
            shard.inputs[partition.topic].begin_at(start)
        self.shards[number] = shard
        self.status[number] = ShardStatus("open")
        log.info("engine.shard_opened", shard=number, claim=won.claim.number)
        self._feed(shard)

    # -- Letting go --------------------------------------------------------------------------------------------------------

    async def _give_away(self) -> None:
        """Release what was assigned to somebody else."""
        lost = [number for number in self.shards if number not in self._assigned]
        if lost:
            async with self._unit:
                await self._release(lost)

    async def _release(self, numbers: Sequence[int]) -> None:
        if not numbers or self._producer is None:
            return
        state, generation = self.settings.state_topic, self.membership.generation
        rows = [
            (state, number, *release_row(self.shards[number].claim_number, generation)) for number in numbers
        ]
        await self._producer.commit(rows)
        for number in numbers:
            self.shards.pop(number).store.close()
            log.info("engine.shard_released", shard=number)

    def _lose(self, shard: Shard, error: StoreError) -> None:
        """Drop a shard whose local store failed after the commit: the log has the unit, the store is rebuilt."""
        log.error("engine.store_failed", shard=shard.number, reason=str(error))
        self._hold(shard.number)
        self.shards.pop(shard.number, None)
        self.status[shard.number] = ShardStatus("failed", f"{error.code}: {error}")
        shard.store.close()

    async def _drop_everything(self) -> None:
        for task in self._openings.values():
            task.cancel()
        await asyncio.gather(*self._openings.values(), return_exceptions=True)
        self._openings.clear()
        async with self._unit:
            for shard in self.shards.values():
                self._hold(shard.number)
                self.status[shard.number] = ShardStatus()
                shard.store.close()
            self.shards.clear()
            if self._producer is not None:
                await self._producer.close()
                self._producer = None

    async def _fence_own(self, owner: str) -> None:
        """Decide what was in doubt: nothing of this id can become visible any more once the broker has answered."""
        wait_s = BACK_OFF_S_FIRST
        while not self._stopping:
            try:
                await fence(self.settings.connection, owner, self.settings.transaction_timeout_ms)
            except (KafkaError, OSError) as error:
                self.broker = f"waiting: {error}"
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, BACK_OFF_S_MAX)
            else:
                self._fenced.add(owner)
                return

    # -- Small -----------------------------------------------------------------------------------------------------------

    def _feed(self, shard: Shard) -> None:
        for one in shard.inputs.values():
            self._fetching.seek(one.topic, shard.number, one.fetched_to)

    def _hold(self, number: int) -> None:
        for topic in self.settings.input_topics:
            self._fetching.hold(topic, number)

    def _path(self, number: int) -> Path:
        return self.settings.folder / f"shard-{number:04d}"
