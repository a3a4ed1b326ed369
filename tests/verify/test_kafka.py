"""Drain, source and verify against a real broker; the pipeline's records are written by hand."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaProducer

from streams.client import Publisher
from streams.errors import TopologyError
from streams.verify.drain import DrainCheck, wait_until_drained
from streams.verify.judge import judged_topics, verify
from streams.verify.source import KafkaSource, Span
from tests.fixtures.outside import SHARDS, Outside, outside_of_pipeline
from tests.verify.world import CODEC, World, busy_world

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with outside_of_pipeline(tmp_path_factory.mktemp("kafka")) as cluster:
        yield cluster


async def publish(outside: Outside, world: World) -> None:
    async with Publisher(outside.arguments) as publisher:
        for (topic, partition), log in world.logs.items():
            for record in log:
                await publisher.put(topic, partition, record.key, record.value)


async def transaction(
    outside: Outside, name: str, topic: str, values: list[bytes], *, is_aborted: bool
) -> None:
    """Write to partition 0 in one transaction, whose marker takes an offset too."""
    producer = AIOKafkaProducer(**outside.arguments, transactional_id=name)
    await producer.start()
    try:
        await producer.begin_transaction()
        for value in values:
            await producer.send_and_wait(topic, value, key=b"k", partition=0)
        await (producer.abort_transaction() if is_aborted else producer.commit_transaction())
    finally:
        await producer.stop()


async def progress(outside: Outside, topic: str, next_offset: int, cursor: bytes = b"") -> None:
    row = struct.pack(">BQ", 1, next_offset) + cursor
    async with Publisher(outside.arguments) as publisher:
        await publisher.put("shard.state", 0, b"\x01a claim", b"not a progress row")
        await publisher.put("shard.state", 0, b"\x02" + topic.encode(), row)


async def lagging(outside: Outside) -> list[tuple[str, int, int]]:
    async with DrainCheck(outside.arguments, outside.topology) as check:
        return [(lag.topic, lag.shard, lag.next_offset) for lag in await check.remaining()]


async def test_a_right_world_verifies_on_kafka_and_a_doubled_delivery_does_not(outside: Outside) -> None:
    """The whole verification over real topics gives what it gives on paper."""
    world = busy_world()
    await publish(outside, world)
    expected = (await world.verdict()).to_json()
    for is_spoiled in (False, True):
        if is_spoiled:
            log, at = world.find("delivery.mobile")
            again = World(logs={("delivery.mobile", log[at].partition): [replace(log[at])]})
            await publish(outside, again)
        async with KafkaSource(outside.arguments) as source:
            await source.capture(judged_topics(outside.topology))
            report = await verify(source, outside.topology, CODEC)
        assert report.ok is not is_spoiled
        if not is_spoiled:
            assert report.to_json() == expected
        else:
            assert report.counters["delivery_doubled"] == 1


async def test_aborted_records_and_markers_are_not_seen(outside: Outside) -> None:
    await transaction(outside, "a", "shard.ledger", [b"never"], is_aborted=True)
    await transaction(outside, "b", "shard.ledger", [b"one", b"two"], is_aborted=False)
    async with KafkaSource(outside.arguments) as source:
        await source.capture(["shard.ledger"])
        records = [record async for batch in source.batches("shard.ledger") for record in batch]
        assert source.spans("shard.ledger")[0] == Span(0, 5)
    assert [record.value for record in records] == [b"one", b"two"]


async def test_what_is_written_after_the_capture_is_not_read(outside: Outside) -> None:
    async with KafkaSource(outside.arguments) as source:
        await source.capture(["shard.state"])
        before = [one async for batch in source.batches("shard.state") for one in batch]
        await progress(outside, "shard.state", 0)
        again = [one async for batch in source.batches("shard.state") for one in batch]
    assert len(before) == len(again)


async def test_a_missing_topic_is_named(outside: Outside) -> None:
    async with KafkaSource(outside.arguments) as source:
        with pytest.raises(TopologyError, match=r"no topic no\.such"):
            await source.capture(["ingest.requests", "no.such"])


async def test_drained_means_no_committed_record_beyond_progress(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Markers and aborted records take offsets, and are no work; a half-done record is."""
    with await asyncio.to_thread(_cluster, tmp_path_factory) as outside:
        assert await lagging(outside) == []
        await transaction(outside, "a", "inbox.appends", [b"1", b"2"], is_aborted=False)  # 0, 1; marker 2
        assert await lagging(outside) == [("inbox.appends", 0, 0)]
        await progress(outside, "inbox.appends", 1)
        assert await lagging(outside) == [("inbox.appends", 0, 1)]
        await progress(outside, "inbox.appends", 2)
        assert await lagging(outside) == []
        await transaction(outside, "b", "inbox.appends", [b"3"], is_aborted=True)  # 3; marker 4
        assert await lagging(outside) == []
        await progress(outside, "inbox.appends", 1, cursor=b"half")
        assert await lagging(outside) == [("inbox.appends", 0, 1)]
        await progress(outside, "inbox.appends", 2)
        await _judge_store(outside)


def _cluster(tmp_path_factory: pytest.TempPathFactory) -> _Opened:
    return _Opened(tmp_path_factory)


class _Opened:
    """A broker of this test alone, opened outside of its event loop."""

    def __init__(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self._context = outside_of_pipeline(tmp_path_factory.mktemp("kafka"))
        self._outside = self._context.__enter__()

    def __enter__(self) -> Outside:
        return self._outside

    def __exit__(self, *error: object) -> None:
        self._context.__exit__(None, None, None)


async def _judge_store(outside: Outside) -> None:
    """The store's pointers count as well, and `wait_until_drained` returns once they have moved."""
    world = World()
    world.logs["thread.messages", 1] = list(busy_world().logs["thread.messages", 1])
    await publish(outside, world)
    end = len(world.logs["thread.messages", 1])
    pointers = {("thread.messages", shard): 0 for shard in range(SHARDS)}
    async with DrainCheck(outside.arguments, outside.topology, lambda: pointers) as check:
        lags = await wait_until_drained(check, timeout_seconds=0)
        assert [(lag.topic, lag.shard, lag.reader) for lag in lags] == [("thread.messages", 1, "store")]
        moved = asyncio.get_running_loop().call_later(0.3, pointers.update, {("thread.messages", 1): end})
        assert await wait_until_drained(check, timeout_seconds=30) == []
        moved.cancel()
