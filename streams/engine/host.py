"""The shards of one worker: which it should have, which it has, and the loop that commits their units of work.

One transactional producer a worker; one transaction covers every shard that has something to do. Order of effects in
a unit: 1. stages run, everything staged; 2. outputs, changelog and progress in one transaction; 3. each shard's rows
and markers in one local batch. A crash after 1 leaves nothing; between 2 and 3 a store that is behind the log and is
brought up at the next opening. While a unit is in 2 and 3, the next is in 1: it takes what arrives meanwhile, and
nothing of it is sent before the one in front is decided. Any doubt about a transaction ends the transactional id: it
is fenced, every shard is dropped and opened again under a new id. Tested in tests/engine and, with kills between all
steps, in tests/chaos.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence

import structlog
from aiokafka.errors import KafkaError

from streams import faults
from streams.engine.openings import BACK_OFF_S_FIRST, BACK_OFF_S_MAX, Openings, Rows
from streams.engine.producer import CommitInDoubt, Ends, TransactionalProducer, fence
from streams.engine.rebuilding import Comparison, Rebuilt, ShardNotOpen, digest_of
from streams.engine.room import Room
from streams.engine.sealing import seal
from streams.engine.settings import HostSettings, ShardStatus
from streams.engine.shard import Shard
from streams.engine.standby import Standbys
from streams.engine.steering import Fetching
from streams.engine.store import wipe
from streams.engine.stores import ClusterView
from streams.engine.stuck import drop_in_time
from streams.engine.takeover import Membership, release_row
from streams.errors import BrokerUnavailable, StoreDamaged, StoreError, TopicsChanged
from streams.observe.units import Phases, Units
from streams.ports import Record
from streams.tables import TABLES, Changelog

log = structlog.get_logger("engine")

IN_DOUBT = (CommitInDoubt, BrokerUnavailable, KafkaError, OSError, TopicsChanged)
"""What ends a transactional id, but not the worker."""


class Host:
    """Owns the shards of one worker, on one event loop; what is not async returns at once."""

    def __init__(
        self, settings: HostSettings, membership: Membership, fetching: Fetching, cluster: ClusterView
    ) -> None:
        self.settings = settings
        self.membership = membership
        self._fetching = fetching
        topics = {Changelog.STATE: settings.state_topic, Changelog.LEDGER: settings.ledger_topic}
        self._changelogs = {
            table.byte[0]: topics[table.changelog] for table in TABLES if table.changelog in topics
        }
        self._own_topics = {settings.state_topic, settings.ledger_topic, Changelog.INBOX_UPDATES.value}
        self.shards: dict[int, Shard] = {}
        self._room = Room(settings, self.shards)
        self.status: dict[int, ShardStatus] = {}
        self.counters: Counter[str] = Counter()
        self.units = Units()
        """Is told of each committed unit; the wiring puts one here that knows what to look for."""
        self.broker = "connecting"
        """connecting, up, or what the worker is waiting for."""
        self.topics_missing: Sequence[str] = ()
        """Topics that the cluster has lost; nothing is opened before they are back. Kept by topic_watch."""
        self._assigned: frozenset[int] = frozenset()
        self._openings = Openings(
            settings,
            membership,
            cluster,
            status=self.status,
            counters=self.counters,
            commit_claim=self._commit_claim,
            adopt=self._adopt,
            fail=self._fail,
        )
        self.losses = self._openings.losses
        self.standbys = Standbys(settings, self._openings.stores, self.shards, self.status, self.counters)
        self._producer: TransactionalProducer | None = None
        self._work = asyncio.Event()
        self._transaction = asyncio.Lock()
        """Held from a transaction's begin to the local batches, and by whatever else removes a shard."""
        self._unit_run_s = 0.0
        """Time that its stages took."""
        self._failure: BaseException | None = None
        """Why the present transactional id has to end; raised by `_serve`."""
        self._stopping = False

    @property
    def assigned(self) -> frozenset[int]:
        """Shards that this worker should have."""
        return self._assigned

    # -- Called by the transport ---------------------------------------------------------------------------------

    def reconcile(self, assigned: Iterable[int], standbys: Iterable[int] = ()) -> None:
        """Take in an assignment: close copies of what is ours now, give away, open what is new, copy the rest."""
        self._assigned = frozenset(assigned)
        self.standbys.reconcile(frozenset(standbys) - self._assigned)
        for number, shard in self.shards.items():
            if number in self._assigned:
                self._feed(shard)
        for number in self._assigned - self.shards.keys():
            self._hold(number)
        self._openings.keep(self._assigned)
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
        """Serve until `stop`. Raises only for bugs and settings; everything a cluster can do is waited out.

        Raises WorkerStuck when what was under way cannot be ended.
        """
        wait_s = BACK_OFF_S_FIRST
        while not self._stopping:
            owner = f"{self.settings.app}.{self.settings.worker}.{uuid.uuid4().hex[:12]}"
            units_before = self.counters["engine.units"]
            try:
                await self._begin(owner)
                await self._serve(owner)
            except IN_DOUBT as error:
                self.broker = f"waiting: {error}"
                self.counters["engine.units_in_doubt"] += 1
                log.warning("engine.unit_in_doubt", owner=owner, reason=str(error))
                await drop_in_time(self._drop_everything())
                await self._fence_own(owner)
                wait_s = BACK_OFF_S_FIRST if self.counters["engine.units"] > units_before else wait_s
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, BACK_OFF_S_MAX)

    async def stop(self) -> None:
        """Finish the unit at hand, give every shard away, close. The caller bounds the time."""
        self._stopping = True
        self._work.set()
        await self._openings.cancel()
        self._openings.keep(())
        async with self._transaction:
            try:
                await self._release(list(self.shards))
            except IN_DOUBT as error:
                log.warning("engine.release_failed", reason=str(error))
            await self._close_all()

    def topics_changed(self, error: TopicsChanged) -> None:
        """Drop every shard; open again, by what the topics then are, when none is missing."""
        self.standbys.reopen()
        self._fail(error)

    async def rebuild(self, number: int) -> Rebuilt:
        """Wipe an open shard's store, restore it from the topics, and return what it was and what it is.

        The shard serves nothing meanwhile. Raises ShardNotOpen.
        """
        async with self._transaction:
            shard = self.shards.get(number)
            if shard is None or self._failure is not None:
                raise ShardNotOpen(
                    f"shard {number} is not open on {self.settings.worker} now; see `lockstep status`"
                )
            kept_since_ms = max(shard.now_ms, int(time.time() * 1000)) - self.settings.ledger_kept_ms
            comparison = Comparison(await digest_of(shard.store, kept_since_ms), kept_since_ms)
            if number not in self._assigned:
                raise ShardNotOpen(f"shard {number} is going to another worker; see `lockstep status`")
            self._openings.comparisons[number] = comparison
            self._hold(number)
            del self.shards[number]
            self.status[number] = ShardStatus()
            shard.store.close()
            wipe(shard.store.path)
        log.info("engine.rebuild_begun", shard=number)
        self._work.set()
        return await comparison.result()

    async def _begin(self, owner: str) -> None:
        """Make sure of the membership, then initialise a new transactional id."""
        while self.topics_missing or not await self.membership.confirm():
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
        self._producer, self._failure, self.broker = producer, None, "up"
        self._unit_run_s = 0.0
        log.info("engine.producer_ready", owner=owner)

    async def _serve(self, owner: str) -> None:
        committing: asyncio.Task[None] | None = None
        try:
            while not self._stopping:
                await self._give_away()
                self._openings.start(self._assigned - self.shards.keys(), owner)
                if not self._can_run:
                    await self._work.wait()
                self._work.clear()
                if self._failure is not None:
                    raise self._failure
                await self._run_stages()
                is_idle = committing is None or committing.done()
                if is_idle and any(shard.has_unit for shard in self.shards.values()):
                    committing = asyncio.create_task(self._commit_in_time())
                    committing.add_done_callback(lambda _: self._work.set())
        finally:
            if committing is not None:
                await asyncio.gather(committing, return_exceptions=True)  # what failed is `_failure`

    def _fail(self, error: BaseException) -> None:
        """End the present transactional id, or, when it is a bug, the worker."""
        self._failure = self._failure or error
        self._work.set()

    # -- Units ---------------------------------------------------------------------------------------------------------

    @property
    def _can_run(self) -> bool:
        """Whether a record is waiting and the unit in the making has room for it."""
        return self._room.is_left and any(shard.has_work for shard in self.shards.values())

    async def _run_stages(self) -> None:
        """Run what has arrived into the unit in the making, as far as that may grow."""
        over_at = time.monotonic() + self.settings.unit_seconds_max
        for shard in self._in_turn():
            if not self._room.is_left or time.monotonic() > over_at:
                break
            if not shard.has_work or self.shards.get(shard.number) is not shard:
                continue
            begun_at = time.monotonic()
            try:
                shard.run(self._room.records, lambda: time.monotonic() > over_at, self._room.output_bytes)
            except StoreError as error:
                self._lose(shard, error)
            self._unit_run_s += time.monotonic() - begun_at
            await asyncio.sleep(0)

    def _in_turn(self) -> list[Shard]:
        """Return the shards, another one first each time, so that a full unit starves nobody."""
        numbers = sorted(self.shards)
        first = self.counters["engine.units"] % max(1, len(numbers))
        return [self.shards[number] for number in numbers[first:] + numbers[:first]]

    async def _commit_in_time(self) -> None:
        """Commit, and end no sooner than the next unit may be sealed."""
        next_at = time.monotonic() + self.settings.unit_seconds_min
        try:
            await self._commit()
        except BaseException as error:
            self._fail(error)
            raise
        await asyncio.sleep(next_at - time.monotonic())

    async def _commit(self) -> None:
        """Seal the unit in the making, commit it, and write it to the local stores."""
        async with self._transaction:
            producer = self._usable_producer()
            sealed_at = time.monotonic()
            unit = seal([one for one in self.shards.values() if one.has_unit], self._changelogs, self._lose)
            run_s, self._unit_run_s = self._unit_run_s, 0.0
            self._work.set()
            if not unit.shards:
                return
            ends = await producer.commit(unit.outputs)
            committed_at = time.monotonic()
            self.counters["engine.units"] += 1
            self.counters["engine.outputs"] += len(unit.outputs)
            for shard in unit.shards:
                if self.shards.get(shard.number) is shard:  # its store may have failed meanwhile
                    self._write_locally(shard, ends)
            phases = Phases(run_s, committed_at - sealed_at, time.monotonic() - committed_at)
            self.units.done(unit.served, unit.outputs, phases)
        faults.point("unit.after_local_batch")

    def _usable_producer(self) -> TransactionalProducer:
        """Return the producer; raise CommitInDoubt when its id has ended, or is about to."""
        if self._producer is None or self._failure is not None:
            raise CommitInDoubt("the transactional id has ended")
        return self._producer

    def _write_locally(self, shard: Shard, ends: Ends) -> None:
        markers = {topic: end for (topic, partition), end in ends.items() if partition == shard.number}
        try:
            counted = shard.committed({topic: markers[topic] for topic in self._own_topics & markers.keys()})
        except StoreError as error:
            self._lose(shard, error)
        else:
            self.counters.update(counted)

    # -- Taking over and letting go ------------------------------------------------------------------------

    async def _commit_claim(self, number: int, rows: Rows) -> None:
        async with self._transaction:
            producer = self._usable_producer()
            try:
                await producer.commit((self.settings.state_topic, number, *row) for row in rows)
            except CommitInDoubt as error:
                self._fail(error)
                raise

    def _adopt(self, shard: Shard) -> None:
        self.shards[shard.number] = shard
        self._feed(shard)
        self._work.set()

    async def _give_away(self) -> None:
        """Release what was assigned to somebody else."""
        if self.shards.keys() - self._assigned:
            async with self._transaction:  # a unit that ends may lose a shard meanwhile
                await self._release(self.shards.keys() - self._assigned)

    async def _release(self, numbers: Iterable[int]) -> None:
        released = [self.shards[number] for number in sorted(numbers)]
        if not released or self._producer is None:
            return
        state, generation = self.settings.state_topic, self.membership.generation
        rows = [(state, one.number, *release_row(one.claim_number, generation)) for one in released]
        await self._usable_producer().commit(rows)
        for shard in released:
            if self.shards.pop(shard.number, None) is shard:
                shard.store.close()
            self.counters["engine.shards_released"] += 1
            log.info("engine.shard_released", shard=shard.number)

    def _lose(self, shard: Shard, error: StoreError) -> None:
        """Drop a shard whose local store failed: the log has all of it, the store is opened or built anew."""
        self.counters["engine.stores_lost"] += 1
        log.error("engine.store_failed", shard=shard.number, reason=str(error))
        self._hold(shard.number)
        del self.shards[shard.number]
        self.status[shard.number] = ShardStatus("failed", f"{error.code}: {error}")
        shard.store.close()
        if isinstance(error, StoreDamaged):
            wipe(shard.store.path)
        self._work.set()

    async def _drop_everything(self) -> None:
        await self._openings.cancel()
        async with self._transaction:
            for number in self.shards:
                self._hold(number)
                self.status[number] = ShardStatus()
            await self._close_all()

    async def _close_all(self) -> None:
        for shard in self.shards.values():
            shard.store.close()
        self.shards.clear()
        if self._producer is not None:
            await self._producer.close()
            self._producer = None

    async def _fence_own(self, owner: str) -> None:
        """Decide what was in doubt: nothing of this id becomes visible once the broker has answered."""
        wait_s = BACK_OFF_S_FIRST
        while not self._stopping:
            try:
                await fence(self.settings.connection, owner, self.settings.transaction_timeout_ms)
            except (KafkaError, OSError) as error:
                self.broker = f"waiting: {error}"
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, BACK_OFF_S_MAX)
            else:
                self._openings.fenced.add(owner)
                return

    # -- Small ---------------------------------------------------------------------------------------------

    def _feed(self, shard: Shard) -> None:
        for one in shard.inputs.values():
            self._fetching.seek(one.topic, shard.number, one.fetched_to)

    def _hold(self, number: int) -> None:
        for topic in self.settings.input_topics:
            self._fetching.hold(topic, number)
