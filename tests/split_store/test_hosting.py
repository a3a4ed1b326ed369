"""The host of the split store (streams/split_store/hosting.py): stores in memory, a consumer that only notes things."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from streams.adapters.memory_store import MemoryBodyStore, MemoryMetadataStore
from streams.errors import StoreError, TopicsChanged
from streams.split_store.hosting import StoreHost
from streams.split_store.retry import pause_s
from tests.split_store.scenes import TOPIC, Script, World, drained, post, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from streams.ports import Record
    from streams.split_store import SplitStore
    from streams.store_ports import Body, MetadataRow


@dataclass
class FakeFetching:
    """Remembers what is fetched from where; `positions` lacks what is held."""

    positions: dict[int, int] = field(default_factory=dict)
    seeks: list[tuple[int, int]] = field(default_factory=list)

    def seek(self, topic: str, partition: int, offset: int) -> None:
        assert topic == TOPIC
        self.positions[partition] = offset
        self.seeks.append((partition, offset))

    def hold(self, topic: str, partition: int) -> None:
        assert topic == TOPIC
        self.positions.pop(partition, None)


class FullBodyStore(MemoryBodyStore):
    """A body store whose disk is full when a test says so."""

    is_full = False

    async def commit(self, partition: int, rows: Sequence[Body], pointer: int) -> None:
        if self.is_full and rows:
            raise StoreError("the disk is full, by order of a test")
        await super().commit(partition, rows, pointer)


@dataclass
class Scene:
    """A host at work."""

    world: World
    store: SplitStore
    host: StoreHost
    fetching: FakeFetching
    pauses_s: list[float]
    running: asyncio.Task[None]

    def script(self, partition: int, count: int = 5) -> Script:
        script = Script(partition=partition)
        for _ in range(count):
            script.add(post())
        self.world.queue.records[partition] = list(script.records)
        return script

    def deliver(self, partition: int) -> None:
        """Hand over all that lies from the position on, as the transport would."""
        start = self.fetching.positions[partition]
        records = [one for one in self.world.queue.records[partition] if one.offset >= start]
        self.host.take(TOPIC, partition, start, records)
        if records:
            self.fetching.positions[partition] = records[-1].offset + 1

    async def opened(self, *partitions: int) -> None:
        await until(lambda: all(self.host.wants(TOPIC, one) for one in partitions), "open")

    async def stopped(self, times: int) -> None:
        await until(lambda: len(self.pauses_s) == times, "stopped")

    def status(self, partition: int) -> dict[str, Any]:
        [found] = [one for one in self.host.status() if one["shard"] == partition]
        return found


@asynccontextmanager
async def hosting(world: World | None = None, **parts: Any) -> AsyncIterator[Scene]:
    world = world or World()
    pauses_s: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses_s.append(seconds)
        await asyncio.sleep(0)

    store, fetching = world.start(**parts), FakeFetching()
    host = StoreHost(store, TOPIC, fetching, sleep=sleep, chance=lambda: 0.5)
    running = asyncio.create_task(host.run())
    yield Scene(world, store, host, fetching, pauses_s, running)
    host.stop()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_partition_is_held_until_it_is_open_and_then_read_from_its_pointers() -> None:
    world = World()
    world.metadata.pointers[0] = world.bodies.pointers[0] = 3
    world.metadata_faults.is_down = True
    async with hosting(world) as scene:
        scene.script(0)
        scene.host.reconcile([0])
        await until(lambda: world.pauses_s != [], "it tries to open")
        assert not scene.host.wants(TOPIC, 0)
        assert scene.fetching.positions == {}
        assert scene.status(0)["state"] == "opening"
        world.metadata_faults.is_down = False
        await scene.opened(0)
        assert scene.fetching.positions == {0: 3}
        assert scene.status(0)["state"] == "open"


async def test_what_came_twice_is_dropped_and_what_is_missing_is_fetched_again() -> None:
    """W5: the store gets every record once per opening, in order, without a hole."""
    async with hosting() as scene:
        records = scene.script(0, 9).records
        taken: list[int] = []
        take = scene.store.take

        def noting(partition: int, records: Iterable[Record]) -> None:
            fresh = list(records)
            taken.extend(one.offset for one in fresh)
            take(partition, fresh)

        scene.store.take = noting  # type: ignore[method-assign]  # only looks
        scene.host.reconcile([0])
        await scene.opened(0)
        scene.host.take(TOPIC, 0, 0, records[:3])
        scene.host.take(TOPIC, 0, records[1].offset, records[1:4])
        after_four = records[3].offset + 1
        scene.host.take(TOPIC, 0, records[6].offset, records[6:])
        assert scene.fetching.seeks[-1] == (0, after_four)
        scene.deliver(0)
        assert taken == [one.offset for one in records]
        await drained(scene.store, records[-1].offset + 1)


async def test_a_hole_before_a_batch_that_is_no_record_is_no_reason_to_fetch_again() -> None:
    """Offsets that transactions leave out lie between a batch's start and its first record."""
    async with hosting() as scene:
        records = scene.script(0, 5).records
        scene.host.reconcile([0])
        await scene.opened(0)
        scene.host.take(TOPIC, 0, 0, records[:1])
        assert records[1].offset > records[0].offset + 1
        scene.host.take(TOPIC, 0, records[0].offset + 1, records[1:])
        assert scene.fetching.seeks == [(0, 0)]
        await drained(scene.store, records[-1].offset + 1)


async def test_a_rebalance_closes_what_is_gone_and_goes_on_with_the_rest() -> None:
    async with hosting() as scene:
        kept, gone = scene.script(0), scene.script(1)
        scene.host.reconcile([0, 1])
        await scene.opened(0, 1)
        scene.deliver(0)
        scene.deliver(1)
        scene.host.reconcile([0])
        assert scene.fetching.positions[0] == kept.end
        await until(lambda: not scene.store.is_running(1), "closed")
        assert not scene.host.wants(TOPIC, 1)
        scene.host.take(TOPIC, 1, 0, gone.records)
        assert [one["shard"] for one in scene.host.status()] == [0]
        scene.host.reconcile([0, 1])
        await scene.opened(0, 1)
        scene.deliver(1)
        await drained(scene.store, gone.end, 1)


class SlowMetadataStore(MemoryMetadataStore):
    """Its first commit of rows hangs, and takes a while to notice that it was cancelled."""

    writers = 0
    writers_max = 0
    has_hung = False

    async def commit(self, partition: int, rows: Sequence[MetadataRow], pointer: int) -> None:
        self.writers += 1
        self.writers_max = max(self.writers_max, self.writers)
        try:
            if rows and not self.has_hung:
                self.has_hung = True
                await asyncio.Event().wait()
            await super().commit(partition, rows, pointer)
        except asyncio.CancelledError:
            for _ in range(200):
                await asyncio.sleep(0)
            raise
        finally:
            self.writers -= 1


async def test_a_partition_that_comes_back_at_once_is_closed_before_it_is_opened() -> None:
    """There is never more than one writer of a partition, however often it comes and goes."""
    metadata = SlowMetadataStore()
    async with hosting(metadata=metadata) as scene:
        script = scene.script(0)
        scene.host.reconcile([0])
        await scene.opened(0)
        scene.deliver(0)
        await until(lambda: metadata.has_hung, "a commit is under way")
        for _ in range(3):
            scene.host.reconcile([])
            scene.host.reconcile([0])
            await asyncio.sleep(0)
        await scene.opened(0)
        scene.deliver(0)
        await drained(scene.store, script.end)
        assert metadata.writers_max == 1


async def test_a_full_disk_closes_the_partition_is_shown_and_tried_again_ever_more_slowly() -> None:
    """W8: pauses grow while nothing is stored; what was missed is stored once there is room."""
    bodies = FullBodyStore()
    async with hosting(bodies=bodies) as scene:
        script = scene.script(0)
        bodies.is_full = True
        scene.host.reconcile([0])
        for attempt in range(1, 5):
            await scene.opened(0)
            scene.deliver(0)
            await scene.stopped(attempt)
            assert not scene.running.done()
        assert "the disk is full" in scene.status(0)["detail"]
        assert scene.pauses_s == [pause_s(failures, 0.5) for failures in range(1, 5)]
        bodies.is_full = False
        await scene.opened(0)
        assert "STORE" in scene.status(0)["detail"], "shown until the partition moves on"
        scene.deliver(0)
        await drained(scene.store, script.end)
        assert scene.status(0)["detail"] == ""
        assert len(bodies.contents.rows) == 5


async def test_pauses_are_short_again_after_something_was_stored() -> None:
    """W8: resets on success."""
    bodies = FullBodyStore()
    async with hosting(bodies=bodies) as scene:
        script = scene.script(0)
        scene.host.reconcile([0])
        bodies.is_full = True
        for attempt in range(1, 4):
            await scene.opened(0)
            scene.deliver(0)
            await scene.stopped(attempt)
        bodies.is_full = False
        await scene.opened(0)
        scene.deliver(0)
        await drained(scene.store, script.end)
        bodies.is_full = True
        script.add(post())
        scene.world.queue.records[0] = list(script.records)
        scene.deliver(0)
        await until(lambda: len(scene.pauses_s) == 4, "stopped again")
        assert scene.pauses_s[-1] == pause_s(1, 0.5)


async def test_a_partition_that_fails_does_not_delay_the_others() -> None:
    """W8: one failing partition does not delay others."""

    class Damaged(MemoryBodyStore):
        async def commit(self, partition: int, rows: Sequence[Body], pointer: int) -> None:
            if partition == 1 and rows:
                raise StoreError("damaged")
            await super().commit(partition, rows, pointer)

    async with hosting(bodies=Damaged()) as scene:
        good, _ = scene.script(0), scene.script(1)
        scene.host.reconcile([0, 1])
        await scene.opened(0, 1)
        scene.deliver(1)
        await until(lambda: scene.pauses_s != [], "1 was stopped")
        scene.deliver(0)
        await drained(scene.store, good.end)
        assert not scene.running.done()


async def test_nothing_is_raised_to_the_consumer_between_a_failure_and_its_notice() -> None:
    """A partition that just stopped wants nothing and takes nothing; it is fetched again when it is open."""
    bodies = FullBodyStore()
    async with hosting(bodies=bodies) as scene:
        script = scene.script(0)
        scene.host.reconcile([0])
        await scene.opened(0)
        bodies.is_full = True
        scene.deliver(0)
        for _ in range(50):
            scene.host.wants(TOPIC, 0)
            scene.host.take(TOPIC, 0, script.end, [])
            await asyncio.sleep(0)


async def test_a_bug_ends_the_worker_with_its_reason() -> None:
    class Buggy(MemoryBodyStore):
        async def commit(self, partition: int, rows: Sequence[Body], pointer: int) -> None:
            if rows:
                raise ZeroDivisionError("a bug, by order of a test")
            await super().commit(partition, rows, pointer)

    async with hosting(bodies=Buggy()) as scene:
        scene.script(0)
        scene.host.reconcile([0])
        await scene.opened(0)
        scene.deliver(0)
        with pytest.raises(ZeroDivisionError, match="by order of a test"):
            await asyncio.wait_for(scene.running, 10)
        assert not scene.store.is_running(0)


async def test_a_bug_of_what_runs_beside_ends_the_worker_too() -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    world = World()
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(StoreHost(world.start(), TOPIC, FakeFetching()).run(broken()), 10)


async def test_stopping_closes_every_partition() -> None:
    async with hosting() as scene:
        scene.host.reconcile([0, 1])
        await scene.opened(0, 1)
        scene.host.stop()
        await asyncio.wait_for(scene.running, 10)
        assert scene.store.pointers() == {}
        assert not scene.host.wants(TOPIC, 0)


async def test_the_status_tells_both_pointers_and_what_is_tried_again() -> None:
    """W3: an operator sees which half is behind, and why."""
    async with hosting() as scene:
        script = scene.script(0)
        scene.host.reconcile([0])
        await scene.opened(0)
        scene.world.body_faults.is_down = True
        scene.deliver(0)
        await until(lambda: scene.status(0)["problems"] != {}, "seen")
        await until(lambda: scene.status(0)["inputs"][TOPIC]["metadata"] == script.end, "metadata is stored")
        shown = scene.status(0)
        assert (shown["state"], shown["inputs"][TOPIC]["progress"]) == ("open", 0)
        assert shown["inputs"][TOPIC] == {
            "progress": 0,
            "metadata": script.end,
            "bodies": 0,
            "fetched": script.end,
        }
        assert "by order of a test" in shown["problems"]["bodies"]["detail"]
        assert shown["problems"]["bodies"]["failures"] > 0
        assert "by order of a test" in shown["detail"]
        scene.world.body_faults.is_down = False
        await drained(scene.store, script.end)
        assert scene.status(0)["problems"] == {}
        assert scene.store.counters() == {"rows": 5, "bodies": 5, "dead_letters": 0}


async def test_a_queue_that_is_deleted_and_made_anew_stops_every_partition_by_name() -> None:
    """Nothing of the new one is taken for what follows in the old one; the worker lives on."""
    async with hosting() as scene:
        for partition in (0, 1):
            scene.script(partition)
        scene.host.reconcile([0, 1])
        await scene.opened(0, 1)
        scene.host.topics_changed(TopicsChanged("deleted under this worker"))
        scene.world.queue.queue_id = "the second"
        for partition in (0, 1):
            await until(
                lambda partition=partition: "QUEUE_REPLACED" in scene.status(partition)["detail"],  # type: ignore[misc]  # bound here
                "the status says so",
            )
            assert scene.status(partition)["state"] == "failed"
        assert scene.fetching.positions == {}
        scene.world.queue.queue_id = "the first"
        await scene.opened(0, 1)
        scene.host.topics_changed(TopicsChanged("again"))
        await scene.opened(0, 1)
        assert not scene.running.done()
