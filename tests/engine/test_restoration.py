"""Reading a shard's claims on real Kafka: what is committed, what is undecided, and what lies below the marker."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.connection import Connection
from streams.engine.claims import Claim, ClaimLog, claim_key, claim_value
from streams.engine.restoration import Restoration
from streams.engine.settings import ShardStatus
from streams.engine.store import Memory, Store
from tests.fixtures.kafka import KafkaForTests

HOLDER = Claim(1, "holder", 1)
LOSER = Claim(1, "loser", 1)
PATIENCE_S = 10.0

pytestmark = pytest.mark.kafka


@asynccontextmanager
async def producing(kafka: KafkaForTests) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=uuid.uuid4().hex)
    await producer.start()
    yield producer
    await producer.stop()


async def write(producer: AIOKafkaProducer, topic: str, claim: Claim) -> int:
    key, value = claim_key(claim.number, claim.owner), claim_value(claim.generation)
    sent = await producer.send_and_wait(topic, value, key=key, partition=0)
    return int(sent.offset)


@asynccontextmanager
async def restoring(
    kafka: KafkaForTests, topic: str, store: Store
) -> AsyncIterator[tuple[Restoration, ClaimLog]]:
    high_watermarks = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap)
    await high_watermarks.start()

    async def log_ends(partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict(await high_watermarks.end_offsets(list(partitions)))

    claims = ClaimLog()
    restoration = Restoration(
        connection=Connection(bootstrap=kafka.bootstrap),
        number=0,
        state_topic=topic,
        restorers=(),
        store=store,
        claims=claims,
        log_ends=log_ends,
        status=ShardStatus(),
    )
    await restoration.start()
    yield restoration, claims
    await restoration.close()
    await high_watermarks.stop()


async def topic_on(kafka: KafkaForTests) -> str:
    name = f"restoration-{uuid.uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1)])
    await admin.close()
    return name


async def test_a_claim_is_undecided_until_its_transaction_ends_and_settled_after_it(
    kafka: KafkaForTests, tmp_path: Path
) -> None:
    topic = await topic_on(kafka)
    store = Store(tmp_path / "store", Memory.of(8 << 20))
    async with producing(kafka) as producer, restoring(kafka, topic, store) as (restoration, claims):
        await producer.begin_transaction()
        await write(producer, topic, HOLDER)
        await restoration.read_committed()
        await restoration.observe_tail()
        assert (claims.valid, claims.uncommitted) == (None, (HOLDER,))
        await producer.commit_transaction()
        assert await restoration.read_settled(PATIENCE_S)
        assert (claims.valid, claims.uncommitted) == (HOLDER, ())
    store.close()


async def test_an_open_claim_below_the_stores_marker_is_seen(kafka: KafkaForTests, tmp_path: Path) -> None:
    """A holder's unit stands behind a claim that lost and stays open; found by the simulation (seed 51111)."""
    topic = await topic_on(kafka)
    store = Store(tmp_path / "store", Memory.of(8 << 20))
    async with producing(kafka) as holder, producing(kafka) as loser:
        await holder.begin_transaction()
        claim_offset = await write(holder, topic, HOLDER)
        await holder.commit_transaction()
        await loser.begin_transaction()
        await write(loser, topic, LOSER)
        await holder.begin_transaction()
        unit = await holder.send_and_wait(topic, b"unit", key=b"\x10row", partition=0)
        await holder.commit_transaction()
        row = claim_offset.to_bytes(8, "big") + claim_value(HOLDER.generation)
        store.write([(claim_key(HOLDER.number, HOLDER.owner), row)], {topic: unit.offset + 1})
        async with restoring(kafka, topic, store) as (restoration, claims):
            await restoration.read_committed()
            await restoration.observe_tail()
            assert claims.valid == HOLDER
            assert claims.uncommitted_owners == {LOSER.owner}
        await loser.abort_transaction()
    store.close()


@pytest.mark.parametrize(("in_store", "is_warm"), [(0, False), (3, False), (8, True), (10, True)])
async def test_an_opening_is_warm_when_at_least_half_of_the_log_is_in_the_store(
    kafka: KafkaForTests, tmp_path: Path, *, in_store: int, is_warm: bool
) -> None:
    """By offsets, as of its start: what a copy, or a store kept over a restart, has spared."""
    topic = await topic_on(kafka)
    store = Store(tmp_path / "store", Memory.of(8 << 20))
    store.write((), {topic: in_store})
    async with producing(kafka) as producer, producer.transaction():
        for row in range(10):
            await producer.send_and_wait(topic, b"row", key=b"\x10%d" % row, partition=0)
    async with restoring(kafka, topic, store) as (restoration, _):
        assert restoration._status.is_warm is is_warm
        await restoration.read_committed()
        assert restoration._status.is_warm is is_warm
    store.close()
