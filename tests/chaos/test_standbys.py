"""Copies of shards on other workers: warm when they are needed, equal to what they copy, and never in the way."""

from __future__ import annotations

import time

import pytest
from aiokafka import TopicPartition

from streams.adapters.cluster import Cluster
from streams.engine.rebuilding import Digest, digest_of
from streams.engine.store import Memory, Store
from streams.topology.model import LEDGER_TOPIC, STATE_TOPIC
from tests.chaos.actions import others_own_all
from tests.chaos.harness import SERVING_SECONDS_MAX, SHARDS, Harness
from tests.chaos.processes import Worker
from tests.chaos.waiting import until_answered

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
]

BEHIND_MAX = 1_000
"""Offsets; what a few units write while the traffic flows."""
OWN_TOPICS = (STATE_TOPIC, LEDGER_TOPIC, "inbox.updates")


async def followed(harness: Harness, behind_max: int = BEHIND_MAX) -> None:
    """Wait until every shard is open, and copied by another worker that is not far behind."""
    await harness.serving()

    async def all_are() -> bool:
        alive = [worker for worker in harness.pipeline if worker.is_alive]
        copies = [copy for worker in alive for copy in (await harness.standbys(worker)).items()]
        return sorted(shard for shard, _ in copies) == list(range(SHARDS)) and all(
            behind is not None and behind <= behind_max for _, behind in copies
        )

    await until_answered(all_are, "every shard has a warm copy", SERVING_SECONDS_MAX)


async def offsets_of(harness: Harness, shards: set[int]) -> int:
    """What a restore of these shards from nothing would have to read, control records included."""
    places = [TopicPartition(topic, shard) for topic in OWN_TOPICS for shard in shards]
    async with Cluster(harness.connection) as cluster:
        starts, ends = await cluster.beginning_offsets(places), await cluster.end_offsets(places)
    return sum(ends[place] - starts[place] for place in places)


async def digest(harness: Harness, worker: Worker, shard: int) -> Digest:
    """What a store of a worker that is dead amounts to."""
    times = harness.topology.timestamps
    store = Store(worker.folder / "shards" / f"shard-{shard:04d}", Memory.of(8 << 20))
    try:
        return await digest_of(store, time.time_ns() // 1_000_000 - times.threshold_ms - times.clock_ahead_ms)
    finally:
        store.close()


async def test_a_lost_workers_shards_open_from_warm_copies(ready: Harness) -> None:
    """Under load: next to nothing of the shards' topics is read at their openings."""
    await ready.answered(20)
    await followed(ready)
    lost, other = ready.usual
    moved = await ready.open_shards(lost)
    before = len(other.events("engine.shard_opened"))
    lost.kill()
    await others_own_all(ready, lost)
    opened = {event["shard"]: event["read"] for event in other.events("engine.shard_opened")[before:]}
    assert opened.keys() == moved
    total = await offsets_of(ready, moved)
    print(f"read {sum(opened.values())} of {total} offsets")
    assert sum(opened.values()) < total / 10
    assert {event["shard"] for event in other.events("engine.standby_closed")} >= moved
    lost.start()
    await ready.answered()
    await ready.judged()


async def test_a_copy_is_what_its_owner_has(ready: Harness) -> None:
    """Compared as `lockstep rebuild` does, when nothing is left to do and nobody is behind."""
    await followed(ready)
    await ready.quiet()
    await followed(ready, behind_max=0)
    owners = {shard: worker for worker in ready.usual for shard in await ready.open_shards(worker)}
    for worker in ready.usual:
        worker.kill()
    for shard, owner in owners.items():
        (copier,) = (worker for worker in ready.usual if worker is not owner)
        own, copy = await digest(ready, owner, shard), await digest(ready, copier, shard)
        assert own.rows > 10
        assert own.tables == copy.tables
    ready.traffic.resume()
    await ready.recovered()
    await ready.answered()


async def test_a_worker_that_restarts_in_place_has_the_same_shards_and_copies(ready: Harness) -> None:
    """It is back before the group misses it: nobody decides anew, and its copies stand in the old decision."""
    patient = ("--session-timeout", "60")
    await restarted(ready, *patient)
    await followed(ready)
    before = [await seen(ready, worker) for worker in ready.usual]
    ready.usual[0].kill()
    ready.usual[0].start(options=patient)
    await followed(ready)
    assert [await seen(ready, worker) for worker in ready.usual] == before
    await restarted(ready)
    await ready.judged()


async def restarted(harness: Harness, *options: str) -> None:
    """Stop the workers in order and start them with other options."""
    for worker in harness.usual:
        await worker.stop()
    for worker in harness.usual:
        worker.start(options=options)
    await harness.serving()


async def seen(harness: Harness, worker: Worker) -> tuple[int, set[int], set[int]]:
    """Generation of the group, shards and copies."""
    page = await harness.page(worker)
    return page["generation"], await harness.open_shards(worker), set(await harness.standbys(worker))


async def test_a_third_worker_gets_a_shard_and_copies_move_with_it(ready: Harness) -> None:
    """Each shard has one owner and one copy elsewhere; two workers keep what they need not give."""
    await followed(ready)
    before = [await ready.open_shards(worker) for worker in ready.usual]
    third = ready.pipeline[2]
    third.start()
    await followed(ready)
    after = [await ready.open_shards(worker) for worker in ready.usual]
    assert all(now <= then for now, then in zip(after, before, strict=True))
    for worker in ready.pipeline:
        assert not await ready.open_shards(worker) & (await ready.standbys(worker)).keys()
    await third.stop()
    await followed(ready)
    await ready.judged()


async def test_no_copies_are_kept_where_none_are_asked_for(ready: Harness) -> None:
    await restarted(ready, "--standbys", "0")
    assert [await ready.standbys(worker) for worker in ready.usual] == [{}, {}]
    await restarted(ready)
    await followed(ready)
    await ready.judged()
