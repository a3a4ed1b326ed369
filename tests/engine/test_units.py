"""Units of work of a worker that gains and loses shards while they are made (streams/engine/host.py)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import pytest

from streams.adapters.memory import MemoryRecord
from streams.codec import Codec
from streams.connection import Connection
from streams.engine.host import Host
from streams.engine.producer import Ends, TransactionalProducer
from streams.engine.settings import HostSettings
from streams.engine.shard import Shard, ShardSettings
from streams.engine.store import Memory, Store
from streams.errors import StoreError
from streams.ports import DONE, Record

TOPIC = "ingest.requests"
FULL = 100
"""Records that make a unit full."""
FULL_BYTES = 10_000
"""Bytes of outputs that make a unit full."""
SPACING_SECONDS = 0.05
"""From one seal to the next."""
SECONDS_MAX = 10.0


class Echo:
    """A stage that sends each record on."""

    name = "echo"
    topics: tuple[str, ...] = (TOPIC,)

    def __init__(self, shard: Shard) -> None:
        self._shard = shard

    def process(self, record: Record, cursor: bytes) -> bytes:  # noqa: ARG002  # one step is all
        self._shard.emit("out", record.key or b"", record.value or b"", self._shard.number)
        return DONE


class HeldProducer:
    """Commits when it is let: one permit a transaction."""

    def __init__(self) -> None:
        self.permits = asyncio.Semaphore(0)
        self.asked = 0
        self.asked_at: list[float] = []
        self.committed: list[list[tuple[str, int, bytes | None, bytes | None]]] = []

    async def commit(self, outputs: Iterable[tuple[str, int, bytes | None, bytes | None]]) -> Ends:
        sent = list(outputs)
        self.asked += 1
        self.asked_at.append(time.monotonic())
        await self.permits.acquire()
        self.committed.append(sent)
        return {}

    async def close(self) -> None:
        pass

    def records_of(self, number: int) -> int:
        return sum(output[:2] == ("out", number) for unit in self.committed for output in unit)


class Member:
    """The only member of its group."""

    generation = 1

    async def is_member(self, owner: str) -> bool:
        return bool(owner)

    async def confirm(self) -> bool:
        return True


class Steering:
    """Of a consumer that is not there."""

    def seek(self, topic: str, partition: int, offset: int) -> None:
        pass

    def hold(self, topic: str, partition: int) -> None:
        pass


class World:
    """A host with two open shards, whose producer is ours."""

    def __init__(self, folder: Path) -> None:
        shard_settings = ShardSettings(
            shards=2,
            clock_topics=frozenset(),
            dead_letters=Codec()["DeadLetter"],
            dead_letters_topic="dead.letters",
            expiry_hold_ms=300_000,
        )
        settings = HostSettings(
            app="pipeline",
            worker="worker-0",
            folder=folder,
            connection=Connection(bootstrap="127.0.0.1:1"),
            state_topic="shard.state",
            ledger_topic="shard.ledger",
            input_topics=(TOPIC,),
            shard=shard_settings,
            stages=lambda shard: [Echo(shard)],
            restorers=list,
            unit_records_max=FULL,
            unit_bytes_max=FULL_BYTES,
            unit_seconds_min=SPACING_SECONDS,
        )
        self.host = Host(settings, Member(), Steering(), cast(Any, None))
        self.producer = HeldProducer()
        self.host._producer = cast(TransactionalProducer, self.producer)
        memory = Memory.of(8 << 20)
        self.shards = [
            Shard(number, Store(folder / str(number), memory), shard_settings) for number in (0, 1)
        ]
        for shard in self.shards:
            shard.add_stage(Echo(shard))
            self.host._adopt(shard)
        self.host._assigned = frozenset((0, 1))

    def take(self, number: int, start: int, count: int, value: bytes = b"value") -> None:
        records = [MemoryRecord(TOPIC, b"key", value, number, start + at) for at in range(count)]
        self.host.take(TOPIC, number, start, records)

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(SECONDS_MAX):
            while not condition():  # noqa: ASYNC110  # it looks at plain state, which tells nobody
                await asyncio.sleep(0.005)


@pytest.fixture
async def world(tmp_path: Path) -> Any:
    made = World(tmp_path)
    serving = asyncio.create_task(made.host._serve("owner"))
    yield made
    made.producer.permits.release()
    made.producer.permits.release()
    made.host._stopping = True
    made.host._work.set()
    await asyncio.wait_for(serving, SECONDS_MAX)
    await made.host._close_all()


async def test_what_arrives_during_a_commit_is_run_and_waits_for_its_own(world: World) -> None:
    """D13: the next unit is made while one commits; nothing of it is sent before that one is decided."""
    world.take(0, 0, 1)
    await world.until(lambda: world.producer.asked == 1)
    world.take(1, 0, 5)
    await world.until(lambda: world.shards[1].unit_records == 5)
    assert world.producer.asked == 1
    assert world.shards[1].committed_to == {}
    world.producer.permits.release()
    await world.until(lambda: world.producer.asked == 2)
    assert world.shards[0].committed_to == {TOPIC: 1}
    world.producer.permits.release()
    await world.until(lambda: world.shards[1].committed_to == {TOPIC: 5})


async def test_a_full_unit_whose_shard_is_given_away_holds_up_no_other(world: World) -> None:
    """The room that a shard's records took is free again when it goes, whatever became of them."""
    world.take(1, 0, 1)
    await world.until(lambda: world.producer.asked == 1)
    world.take(0, 0, FULL)
    await world.until(lambda: world.shards[0].unit_records == FULL)
    world.take(1, 1, 7)
    world.host._assigned = frozenset((1,))  # shard 0 went to another worker
    world.host._work.set()
    for _ in range(3):
        world.producer.permits.release()  # the unit, the release, the next unit
    await world.until(lambda: world.producer.records_of(1) == 8)
    assert 0 not in world.host.shards
    assert world.producer.records_of(0) == 0, "its records are read again by the next owner"


async def test_a_unit_is_sealed_when_what_it_sends_fills_it(world: World) -> None:
    """Of large records few make a unit, over all shards and beside a unit that commits: memory is bounded by bytes."""
    value = b"x" * 3_000
    world.take(0, 0, 20, value)
    world.take(1, 0, 20, value)
    units = 0
    while sum(world.producer.records_of(number) for number in (0, 1)) < 40:
        units += 1
        await world.until(lambda: world.producer.asked == units)  # noqa: B023  # awaited at once
        made = sum(shard.unit_bytes for shard in world.shards)
        assert made < FULL_BYTES + len(value) + len(b"key")
        assert made < FULL_BYTES or not world.host._can_run, (
            "it waits for the commit, and does not look for room"
        )
        world.producer.permits.release()
        await world.until(lambda: len(world.producer.committed) == units)  # noqa: B023  # awaited at once
    sizes = [sum(len(output[3] or b"") for output in unit) for unit in world.producer.committed]
    assert max(sizes) < FULL_BYTES + 2 * len(value), "a unit passes its bytes by one record at most"
    assert [shard.committed_to for shard in world.shards] == [{TOPIC: 20}, {TOPIC: 20}]


async def test_units_follow_each_other_at_a_distance(world: World) -> None:
    """However quick a commit is, what arrives in the meantime shares the next."""
    for _ in range(2):
        world.producer.permits.release()
    world.take(0, 0, 1)
    await world.until(lambda: len(world.producer.committed) == 1)
    world.take(0, 1, 1)
    await world.until(lambda: len(world.producer.committed) == 2)
    assert world.producer.asked_at[1] - world.producer.asked_at[0] >= SPACING_SECONDS


async def test_a_store_that_fails_while_its_shard_is_sealed_costs_no_other_shard_its_unit(
    world: World,
) -> None:
    """D13: what was sealed before is sent, with its progress; the shard that failed is dropped, unsent."""

    def broken(_: object) -> Any:
        world.host._assigned = frozenset((0,))  # nobody opens it again in this world
        raise StoreError("the disk gives an error, once")

    world.shards[1].seal = broken  # type: ignore[method-assign,assignment]  # a read that fails
    world.take(0, 0, 3)
    world.take(1, 0, 3)
    world.producer.permits.release()
    await world.until(lambda: world.shards[0].committed_to == {TOPIC: 3})
    assert [world.producer.records_of(number) for number in (0, 1)] == [3, 0]
    assert list(world.host.shards) == [0]
    assert world.host.status[1].state == "failed"


async def test_a_shard_whose_store_fails_while_it_waits_to_be_given_away_is_just_gone(world: World) -> None:
    """There is nothing left to release; the worker goes on with the others."""

    def full(_: object) -> Any:
        raise StoreError("the disk is full")

    world.shards[1].committed = full  # type: ignore[method-assign,assignment]  # a write that fails
    world.take(1, 0, 1)
    await world.until(lambda: world.producer.asked == 1)
    world.host._assigned = frozenset((0,))
    world.host._work.set()
    await world.until(lambda: world.host._transaction._waiters)  # it waits to give away
    world.take(0, 0, 2)
    for _ in range(2):
        world.producer.permits.release()
    await world.until(lambda: world.shards[0].committed_to == {TOPIC: 2})
    assert list(world.host.shards) == [0]
