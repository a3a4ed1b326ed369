"""Opens the shards that a worker should have: checks the store, restores, takes over, tries again.

Each shard is opened in its own task, in parallel with the others, and the task may be cancelled at any moment: what
it holds is closed, and nothing that it did needs to be undone. A damaged store is wiped; a full disk or a broker that
is away is waited out with a growing back-off that people see in the status. Tested in tests/engine and tests/chaos.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.engine.claims import ClaimLog
from streams.engine.losses import Losses
from streams.engine.opening import GiveWay, Won
from streams.engine.producer import CommitInDoubt, fence
from streams.engine.rebuilding import Comparison
from streams.engine.restoration import Restoration
from streams.engine.settings import HostSettings, ShardStatus
from streams.engine.shard import Shard
from streams.engine.store import Store, wipe
from streams.engine.stores import ClusterView, Stores
from streams.engine.takeover import Membership, Takeover
from streams.errors import LockstepError, StoreDamaged, TrimmedBelowProgress

log = structlog.get_logger("engine")

BACK_OFF_S_FIRST = 0.1
BACK_OFF_S_MAX = 5.0
STALL_SECONDS_MAX = 300.0
"""An opening that read nothing for so long hangs, or waits for somebody's transaction, which it may do anew.
Long enough for a look through a whole store after a rebuild."""

Rows = list[tuple[bytes, bytes | None]]


class Openings:
    """The openings of one worker, one task a shard."""

    def __init__(
        self,
        settings: HostSettings,
        membership: Membership,
        cluster: ClusterView,
        *,
        status: dict[int, ShardStatus],
        counters: Counter[str],
        commit_claim: Callable[[int, Rows], Awaitable[None]],
        adopt: Callable[[Shard], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        """Nothing is opened before `start`.

        `commit_claim` commits rows of a shard's state topic in the worker's own producer (shielded from
        cancellation here), `adopt` takes a shard that is ours, `fail` is told of bugs.
        """
        self._settings = settings
        self._membership = membership
        self._cluster = cluster
        self._status = status
        self._counters = counters
        self._commit_claim = commit_claim
        self._adopt = adopt
        self._fail = fail
        self.stores = Stores(settings, cluster)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self.fenced: set[str] = set()
        """Transactional ids that this worker has fenced; each is used once, so for ever."""
        self.losses = Losses()
        self.comparisons: dict[int, Comparison] = {}
        """Shards that are being rebuilt: who wants to look at the store before the shard takes a record."""

    def start(self, numbers: Collection[int], owner: str) -> None:
        """Open what is not being opened yet, in the name of a transactional id."""
        for number in numbers:
            if number not in self._tasks:
                self._status.setdefault(number, ShardStatus())
                task = asyncio.create_task(self._open(number, owner), name=f"open shard {number}")
                task.add_done_callback(self._ended)
                self._tasks[number] = task

    def keep(self, numbers: Collection[int]) -> None:
        """Cancel the openings of all other shards."""
        for number in [number for number in self._tasks if number not in numbers]:
            self._tasks.pop(number).cancel()
        for number in [number for number in self.comparisons if number not in numbers]:
            self.comparisons.pop(number).abandon()
        self.losses.keep(numbers)

    async def cancel(self) -> None:
        """Cancel every opening and wait for its end."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _open(self, number: int, owner: str) -> None:
        wait_s = BACK_OFF_S_FIRST
        while True:
            try:
                shard = await self._try_open_unless_stalled(number, owner)
            except CommitInDoubt:
                return
            except (KafkaError, LockstepError, OSError) as error:
                wait_s = self._failed(number, error, wait_s)
            else:
                if shard is not None:
                    self._tasks.pop(number, None)
                    status = self._status.setdefault(number, ShardStatus())
                    status.state, status.detail = "open", ""
                    self._adopt(shard)
                    self._opened(shard, status)
                    return
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, BACK_OFF_S_MAX)

    def _opened(self, shard: Shard, status: ShardStatus) -> None:
        kind = "warm" if status.is_warm else "cold"
        self._counters["engine.shards_opened"] += 1
        self._counters[f"engine.shards_opened_by_kind.{kind}"] += 1
        log.info(
            "engine.shard_opened",
            shard=shard.number,
            claim=shard.claim_number,
            read=status.rows_read,
            kind=kind,
        )

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._fail(bug)

    def _failed(self, number: int, error: Exception, wait_s: float) -> float:
        """Say what went wrong, put right what can be, and return how long to wait."""
        code = error.code if isinstance(error, LockstepError) else "KAFKA"
        self._status[number] = ShardStatus("failed", f"{code}: {error}")
        log.warning("engine.opening_failed", shard=number, code=code, reason=str(error))
        if isinstance(error, StoreDamaged):
            wipe(self.stores.path(number))
        return BACK_OFF_S_MAX if isinstance(error, TrimmedBelowProgress) else wait_s

    async def _try_open_unless_stalled(self, number: int, owner: str) -> Shard | None:
        """Raise TimeoutError when nothing was read for a while: a new attempt has new connections."""
        opening = asyncio.create_task(self._try_open(number, owner), name=f"try to open shard {number}")
        rows_before = -1
        try:
            while not opening.done():
                rows = self._status.get(number, ShardStatus()).rows_read
                if rows == rows_before:
                    raise TimeoutError(f"nothing was read for {STALL_SECONDS_MAX:g} s")
                rows_before = rows
                await asyncio.wait({opening}, timeout=STALL_SECONDS_MAX)
            return opening.result()
        finally:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)

    async def _try_open(self, number: int, owner: str) -> Shard | None:
        settings = self._settings
        status = self._status[number] = ShardStatus()
        claims = ClaimLog()
        store = await self.stores.checked(number)
        restoration = Restoration(
            connection=settings.connection,
            number=number,
            state_topic=settings.state_topic,
            restorers=settings.restorers(),
            store=store,
            claims=claims,
            log_ends=self.stores.high_watermarks,
            status=status,
        )
        try:
            await restoration.start()
            outcome = await self._takeover(number, owner).open(restoration, claims)
            if isinstance(outcome, GiveWay):
                log.info("engine.shard_given_way", shard=number, reason=str(outcome.reason))
                store.close()
                return None
            shard = await self._ours(number, store, outcome)
            if number in self.comparisons:
                await self.comparisons[number].look(shard)
                del self.comparisons[number]
            return shard
        except BaseException:
            store.close()
            raise
        finally:
            await restoration.close()

    async def _ours(self, number: int, store: Store, won: Won) -> Shard:
        shard = Shard(number, store, self._settings.shard)
        shard.claim_number = won.claim.number
        for stage in self._settings.stages(shard):
            shard.add_stage(stage)
        partitions = [TopicPartition(topic, number) for topic in shard.inputs]
        starts = await self._cluster.beginning_offsets(partitions)
        ends = await self.stores.high_watermarks(partitions)
        ids = await self._cluster.topic_ids(shard.inputs)
        self.losses.settle(shard, {one.topic: starts[one] for one in partitions})
        for one in partitions:
            lost = shard.begin_input(one.topic, starts[one], ends[one], ids[one.topic])
            if lost is not None:
                log.error(
                    "engine.topic_made_anew",
                    topic=one.topic,
                    shard=number,
                    progress_before=lost,
                    begins_at=starts[one],
                    reason="what was written to the deleted topic and not processed is lost",
                )
        return shard

    def _takeover(self, number: int, owner: str) -> Takeover:
        settings = self._settings

        async def fence_owner(rival: str) -> None:
            await fence(settings.connection, rival, settings.transaction_timeout_ms)

        async def commit_claim(rows: Rows) -> None:
            # Shielded: an opening may be cancelled at any moment, a transaction may not.
            await asyncio.shield(asyncio.ensure_future(self._commit_claim(number, rows)))

        return Takeover(owner, self._membership, self.fenced, fence_owner, commit_claim, settings.patience)
