"""A standby follows what is committed and lets go at once; on real Kafka (streams/engine/standby.py)."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.records_to_delete import RecordsToDelete

from streams.adapters.cluster import Cluster
from streams.connection import Connection
from streams.engine import standby
from streams.engine.settings import HostSettings, ShardStatus
from streams.engine.standby import Standbys
from streams.engine.store import Memory, Store
from streams.engine.stores import Stores, shards_in
from streams.errors import StoreError
from tests.chaos.waiting import until
from tests.fixtures.kafka import KafkaForTests

pytestmark = pytest.mark.kafka

SECONDS_MAX = 60.0
SHARDS = 2


class Scene:
    """One state topic, a worker's standbys, and what the worker itself has."""

    def __init__(self, connection: Connection, folder: Path, topic: str, cluster: Cluster) -> None:
        self.connection = connection
        self.topic = topic
        self.owned: set[int] = set()
        self.status: dict[int, ShardStatus] = {}
        self.counters: Counter[str] = Counter()
        settings = HostSettings(
            app="app",
            worker="worker",
            folder=folder,
            connection=connection,
            state_topic=topic,
            ledger_topic="none",
            input_topics=(),
            shard=cast(Any, None),
            stages=lambda _: (),
            restorers=lambda: (),
        )
        self.stores = Stores(settings, cluster)
        self.standbys = Standbys(settings, self.stores, self.owned, self.status, self.counters)

    async def is_at(self, behind: int | None, *shards: int) -> None:
        wanted = [{"shard": shard, "behind": behind} for shard in shards]
        await until(lambda: self.standbys.status() == wanted, f"standbys are {wanted}", SECONDS_MAX)

    async def has(self, shard: int, row: bytes) -> None:
        """Wait until a copy has a row."""

        def is_there() -> bool:
            copy = self.standbys._copies.get(shard)
            return copy is not None and copy.store.get(b"\x10" + row) == row

        await until(is_there, f"the copy of {shard} has {row!r}", SECONDS_MAX)

    def rows(self, shard: int) -> dict[bytes, bytes]:
        """What lies in a store that nobody has open."""
        store = Store(self.stores.path(shard), Memory.of(8 << 20))
        try:
            return dict(store.rows(b"\x10"))
        finally:
            store.close()

    @asynccontextmanager
    async def running(self, *shards: int) -> AsyncIterator[None]:
        self.standbys.reconcile(shards)
        task = asyncio.create_task(self.standbys.run())
        yield
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AIOKafkaProducer]:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.connection.bootstrap, transactional_id=uuid.uuid4().hex
        )
        await producer.start()
        await producer.begin_transaction()
        yield producer
        await producer.commit_transaction()
        await producer.stop()

    async def write(self, shard: int, *rows: bytes) -> None:
        async with self.transaction() as producer:
            for row in rows:
                await producer.send_and_wait(self.topic, row, key=b"\x10" + row, partition=shard)


@pytest_asyncio.fixture
async def scene(kafka: KafkaForTests, tmp_path: Path) -> AsyncIterator[Scene]:
    connection = Connection(bootstrap=kafka.bootstrap)
    topic = f"standby-{uuid.uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, SHARDS, 1)])
    await admin.close()
    async with Cluster(connection) as cluster:
        yield Scene(connection, tmp_path / "shards", topic, cluster)


async def test_it_follows_what_is_committed_of_all_its_shards(scene: Scene) -> None:
    await scene.write(0, b"before")
    async with scene.running(0, 1):
        await scene.is_at(0, 0, 1)
        async with scene.transaction() as producer:
            await producer.send_and_wait(scene.topic, b"open", key=b"\x10open", partition=0)
            await scene.write(1, b"other")
            await scene.has(1, b"other")
            scene.standbys.reconcile((1,))
            assert scene.rows(0) == {b"\x10before": b"before"}
            scene.standbys.reconcile((0, 1))
        await scene.write(0, b"after")
        await scene.has(0, b"after")
    assert scene.rows(0).keys() == {b"\x10before", b"\x10open", b"\x10after"}
    assert scene.rows(1).keys() == {b"\x10other"}


async def test_what_is_written_to_copies_is_counted(scene: Scene) -> None:
    await scene.write(0, b"one", b"two")
    async with scene.running(0, 1):
        await scene.is_at(0, 0, 1)
        await scene.write(1, b"three")
        await scene.has(1, b"three")
    assert scene.counters == {"engine.standby_records": 3}


async def test_a_copy_is_closed_when_the_assignment_that_takes_it_away_was_taken_in(scene: Scene) -> None:
    """In the same turn of the event loop: the shard's opening may begin at once."""
    await scene.write(0, b"row")
    async with scene.running(0):
        await scene.is_at(0, 0)
        with pytest.raises(StoreError):
            scene.rows(0)
        scene.standbys.reconcile(())
        assert scene.rows(0) == {b"\x10row": b"row"}
        assert scene.standbys.status() == []


async def test_a_shard_that_is_given_away_is_followed_once_its_owner_has_closed_it(scene: Scene) -> None:
    await scene.write(0, b"row")
    scene.owned.add(0)
    owner = await scene.stores.checked(0)
    async with scene.running(0, 1):
        await until(lambda: scene.standbys.status()[1]["behind"] == 0, "the other is followed", SECONDS_MAX)
        assert scene.standbys.status()[0]["behind"] is None
        owner.close()
        scene.owned.remove(0)
        await scene.is_at(0, 0, 1)


async def test_openings_come_first(scene: Scene) -> None:
    scene.status[1] = ShardStatus("opening")
    async with scene.running(0):
        await scene.write(0, b"row")
        assert scene.standbys.status() == [{"shard": 0, "behind": None}]
        assert shards_in(scene.stores.path(0).parent) == []
        scene.status[1] = ShardStatus("open")
        await scene.is_at(0, 0)


async def test_a_damaged_store_is_wiped_and_rebuilt(scene: Scene) -> None:
    await scene.write(0, b"row")
    async with scene.running(0):
        await scene.is_at(0, 0)
    (scene.stores.path(0) / "CURRENT").write_bytes(b"\x00garbage\xff" * 9)
    async with scene.running(0):
        await scene.is_at(0, 0)
    assert scene.rows(0) == {b"\x10row": b"row"}


async def test_a_store_that_fails_while_it_is_written_harms_nobody(scene: Scene) -> None:
    """Whatever RocksDB says: the copy is closed, opened again after a while, and the other goes on."""
    await scene.write(0, b"first")
    async with scene.running(0, 1):
        await scene.is_at(0, 0, 1)
        failing = scene.standbys._copies[0]
        failing.store.close()
        await scene.write(0, b"second")
        await until(lambda: scene.standbys._copies.get(0) is not failing, "the failure is met", SECONDS_MAX)
        await scene.write(1, b"other")
        await scene.has(1, b"other")
        await scene.has(0, b"second")
    assert scene.rows(0).keys() == {b"\x10first", b"\x10second"}
    assert scene.rows(1).keys() == {b"\x10other"}


async def test_what_was_trimmed_under_it_makes_it_begin_anew(scene: Scene) -> None:
    await scene.write(0, b"old")
    async with scene.running(0):
        await scene.is_at(0, 0)
    await scene.write(0, b"trimmed", b"kept")
    admin = AIOKafkaAdminClient(bootstrap_servers=scene.connection.bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(scene.topic, 0): RecordsToDelete(before_offset=3)})
    await admin.close()
    async with scene.running(0):
        await scene.is_at(0, 0)
    assert scene.rows(0) == {b"\x10kept": b"kept"}


async def test_it_goes_on_from_where_it_was(scene: Scene) -> None:
    """Markers stand in the store beside what was read."""
    await scene.write(0, b"row")
    async with scene.running(0):
        await scene.is_at(0, 0)
    store = await scene.stores.checked(0)
    marker = store.marker(scene.topic)
    store.close()
    assert marker is not None
    assert marker >= 1


async def test_after_a_long_silence_a_copy_is_compared_with_its_topics_before_it_goes_on(
    scene: Scene,
) -> None:
    """A worker that was cut off, or suspended, for days: deletions may be gone from the log."""
    await scene.write(0, b"first")
    async with scene.running(0):
        await scene.is_at(0, 0)
        copy = scene.standbys._copies[0]
        copy._heard_at_ms[scene.topic] -= 86_400_000
        await scene.write(0, b"second")
        await scene.has(0, b"second")
        assert scene.standbys._copies[0] is not copy


async def test_a_copy_of_which_nothing_changes_does_not_count_as_offline(scene: Scene) -> None:
    await scene.write(0, b"row")
    async with scene.running(0):
        await scene.is_at(0, 0)
        copy = scene.standbys._copies[0]
        before_ms = copy.store.written_at_ms()
        assert before_ms is not None
        copy._written_at_ms = 0
        await until(
            lambda: (copy.store.written_at_ms() or 0) > before_ms, "the store is told so", SECONDS_MAX
        )


async def test_it_outlives_assignments_that_come_one_upon_another_and_ask_for_nothing(scene: Scene) -> None:
    """A reader that is stopped as soon as it is started: aiokafka then cancels who stops it."""
    async with scene.running():
        for shards in ((), (0,), (), (1,), (0, 1), ()):
            scene.standbys.reconcile(shards)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        scene.standbys.reconcile((0,))
        await scene.is_at(0, 0)


async def test_a_reader_is_stopped_at_any_moment_of_its_start(scene: Scene) -> None:
    for wait_s in (0, 0, 0.001, 0.003, 0.01, 0.03):
        consumer = standby._consumer(scene.connection)
        await consumer.start()
        await asyncio.sleep(wait_s)
        await standby._stop(consumer)
    consumer = standby._consumer(scene.connection)
    await consumer.start()
    consumer._coordinator._reset_committed_task.cancel()
    await standby._stop(consumer)


async def test_a_reader_whose_stop_hangs_is_left(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that has to end must not wait for it."""
    monkeypatch.setattr(standby, "_STOP_SECONDS_MAX", 0.01)
    consumer = standby._consumer(scene.connection)
    await consumer.start()
    stop = consumer.stop
    monkeypatch.setattr(consumer, "stop", asyncio.Event().wait)
    async with asyncio.timeout(SECONDS_MAX):
        await standby._stop(consumer)
    await stop()
