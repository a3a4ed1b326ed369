"""Where the queue may begin (streams/split_store/trimming.py); on real Kafka in tests/e2e/test_split_store_kafka.py."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from streams.errors import BrokerUnavailable
from streams.split_store import Pointers
from streams.split_store.trimming import ROUND_S, Trimmer, log_starts
from tests.split_store.scenes import World, drained, post, until

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

OFFSETS = st.integers(0, 50)


@given(
    st.dictionaries(st.integers(0, 5), st.builds(Pointers, OFFSETS, st.none() | OFFSETS)),
    st.dictionaries(st.integers(0, 5), st.none() | OFFSETS),
)
def test_no_log_begins_above_a_pointer_or_above_a_young_record(
    pointers: dict[int, Pointers], younger: dict[int, int | None]
) -> None:
    """W9: whatever the pointers and ages are; nothing is known of bodies: nothing goes."""
    for partition, start in log_starts(pointers, younger).items():
        metadata, bodies = pointers[partition]
        young = younger.get(partition)
        assert start <= metadata
        assert start <= (bodies or 0)
        assert young is None or start <= young


class FakeLog:
    """A log in which everything below `young` is old."""

    def __init__(self, young: int | None) -> None:
        self.young = young
        self.is_down = False
        self.asked_ms: list[int] = []
        self.deletions: list[dict[int, int]] = []

    async def check(self) -> None:
        if self.is_down:
            raise BrokerUnavailable("away, by order of a test")

    async def first_younger(self, partitions: Collection[int], than_ms: int) -> Mapping[int, int | None]:
        self.asked_ms.append(than_ms)
        return dict.fromkeys(partitions, self.young)

    async def delete_below(self, offsets: Mapping[int, int]) -> None:
        self.deletions.append(dict(offsets))


async def test_a_log_is_trimmed_once_as_far_as_it_may_be() -> None:
    """W9: the age is asked for by the clock; what is trimmed is not asked for again."""
    world = World()
    for _ in range(5):
        world.script.add(post())
    store = world.start()
    await world.feed(store)
    await drained(store, world.script.end)
    log = FakeLog(young=world.script.records[3].offset)
    trimmer = Trimmer(store, log, 100, now_ms=lambda: 1_000, sleep=asyncio.sleep)
    await trimmer.trim(100)
    await trimmer.trim(100)
    assert log.asked_ms == [900, 900]
    assert log.deletions == [{0: world.script.records[3].offset}]
    log.young = None
    await trimmer.trim(100)
    assert log.deletions[1:] == [{0: world.script.end}]
    await store.close_all()
    await trimmer.trim(100)
    assert len(log.deletions) == 2


async def test_a_broker_that_is_away_is_told_and_waited_for() -> None:
    log = FakeLog(young=None)
    rounds: list[float] = []

    async def sleep(seconds: float) -> None:
        rounds.append(seconds)
        await asyncio.sleep(0)

    trimmer = Trimmer(World().start(), log, None, now_ms=lambda: 0, sleep=sleep)
    assert trimmer.broker == "connecting"
    going = asyncio.create_task(trimmer.run())
    await until(lambda: trimmer.broker == "up", "up")
    log.is_down = True
    await until(lambda: trimmer.broker == "waiting: away, by order of a test", "away")
    log.is_down = False
    await until(lambda: trimmer.broker == "up", "up again")
    assert set(rounds) == {ROUND_S}
    assert log.asked_ms == [], "without kept_ms nothing is trimmed"
    going.cancel()
    await asyncio.gather(going, return_exceptions=True)
