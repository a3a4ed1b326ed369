"""The real broker: started, stopped, killed, and what stays."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.broker import EmbeddedKafka, pinned_kafka_version
from streams.broker.errors import DataFolderInUse, JarDiffers, NotRunning, PortTaken, StartFailed
from streams.broker.folder import DataFolder, free_port
from streams.broker.jars import ensure_jars
from tests.broker.waiting import is_alive, processes_naming, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.kafka

OWNER = """
import signal, sys
from pathlib import Path
from streams.broker import EmbeddedKafka
with EmbeddedKafka(Path(sys.argv[1])) as broker:
    print(broker.pid, broker.bootstrap, flush=True)
    signal.pause()
"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedKafka]:
    """A broker of the test's own, not started, stopped at the end."""
    own = EmbeddedKafka(tmp_path / "kafka", lock_wait_seconds=3)
    yield own
    own.stop()


async def write(bootstrap: str, topic: str, values: list[bytes]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    async with producer:
        for value in values:
            await producer.send_and_wait(topic, value, partition=0)


async def read(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    async with consumer:
        consumer.assign([TopicPartition(topic, 0)])
        return [(await consumer.getone()).value for _ in range(count)]


async def create(bootstrap: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        await admin.close()


async def test_a_restart_keeps_data_port_and_cluster(broker: EmbeddedKafka) -> None:
    broker.start()
    bootstrap, state = broker.bootstrap, DataFolder(broker.data_dir).load()
    await create(bootstrap, "kept")
    await write(bootstrap, "kept", [b"1", b"2"])
    broker.stop()
    assert not broker.is_running
    again = EmbeddedKafka(broker.data_dir)
    with again:
        assert again.bootstrap == bootstrap
        kept = DataFolder(broker.data_dir).load()
        assert state is not None
        assert kept is not None
        assert (kept.cluster_id, kept.kafka_version) == (state.cluster_id, pinned_kafka_version())
        assert await read(bootstrap, "kept", 2) == [b"1", b"2"]


async def test_a_killed_broker_starts_again_with_what_was_acknowledged(broker: EmbeddedKafka) -> None:
    broker.start()
    await create(broker.bootstrap, "kept")
    await write(broker.bootstrap, "kept", [b"1"])
    pid = broker.pid
    broker.kill()
    assert not is_alive(pid)
    broker.start()
    assert broker.pid != pid
    assert await read(broker.bootstrap, "kept", 1) == [b"1"]


async def test_a_transaction_that_was_open_at_a_kill_is_aborted_and_holds_back_nobody(
    broker: EmbeddedKafka,
) -> None:
    """Its time-out passes while the broker is dead: the new one must not abort it before it leads its partitions."""
    broker.start()
    await create(broker.bootstrap, "open")
    producer = AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap, transactional_id="stalled", transaction_timeout_ms=1_000
    )
    await producer.start()
    await producer.begin_transaction()
    await producer.send_and_wait("open", b"undecided", partition=0)
    broker.kill()
    broker.start()
    ends: dict[str, int] = {}
    deadline = time.monotonic() + 30
    at = TopicPartition("open", 0)
    while time.monotonic() < deadline and len(set(ends.values())) != 1:
        for isolation in ("read_committed", "read_uncommitted"):
            async with AIOKafkaConsumer(
                bootstrap_servers=broker.bootstrap, isolation_level=isolation
            ) as consumer:
                ends[isolation] = (await consumer.end_offsets([at]))[at]
    await producer.stop()
    assert ends == {"read_committed": 2, "read_uncommitted": 2}


def test_nothing_is_left_running_after_stop(broker: EmbeddedKafka) -> None:
    broker.start()
    assert processes_naming(str(broker.data_dir))
    broker.stop()
    assert processes_naming(str(broker.data_dir)) == []
    with pytest.raises(NotRunning):
        _ = broker.pid
    broker.stop()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_running_when_the_owner_dies(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "kafka"
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as owner:
        assert owner.stdout is not None
        pid, _bootstrap = owner.stdout.readline().split()
        assert int(pid) in processes_naming(str(folder))
        owner.send_signal(number)
        wait_until(lambda: not processes_naming(str(folder)), "broker and guardian end")


def test_ctrl_c_in_a_terminal_reaches_the_owner_first_and_not_the_broker(broker: EmbeddedKafka) -> None:
    broker.start()
    assert os.getpgid(broker.pid) != os.getpgid(0)


def test_a_second_broker_on_the_folder_is_refused_and_the_first_goes_on(broker: EmbeddedKafka) -> None:
    broker.start()
    with pytest.raises(DataFolderInUse, match=broker.bootstrap):
        EmbeddedKafka(broker.data_dir, lock_wait_seconds=0).start()
    assert broker.is_running


def test_a_port_that_another_process_has_is_refused_by_number(broker: EmbeddedKafka) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        own = EmbeddedKafka(broker.data_dir, port=port, lock_wait_seconds=0)
        with pytest.raises(PortTaken, match=str(port)):
            own.start()
        assert not own.is_running


def test_a_broker_that_cannot_start_says_why_and_leaves_nothing_running(tmp_path: Path) -> None:
    broken = EmbeddedKafka(tmp_path / "kafka", settings={"num.io.threads": "none"})
    with pytest.raises(StartFailed, match=r"num\.io\.threads") as caught:
        broken.start()
    assert caught.value.code == "BROKER_START_FAILED"
    assert processes_naming(str(tmp_path)) == []
    with EmbeddedKafka(tmp_path / "kafka") as mended:
        assert mended.is_running
    broken = EmbeddedKafka(tmp_path / "kafka", settings={"log.retention.ms": "0"})
    with pytest.raises(StartFailed, match=r"log\.retention\.ms"):
        broken.start()


def test_a_jar_that_differs_keeps_the_broker_from_starting(
    broker: EmbeddedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    (cache / "jars").mkdir(parents=True)
    for jar in ensure_jars():
        (cache / "jars" / jar.name).symlink_to(jar)
    planted = next(path for path in (cache / "jars").iterdir() if path.name.startswith("kafka-clients"))
    content = bytearray(planted.read_bytes())
    content[-1] ^= 1
    planted.unlink()
    planted.write_bytes(content)
    monkeypatch.setenv("LOCKSTEP_CACHE", str(cache))
    with pytest.raises(JarDiffers, match="kafka-clients"):
        broker.start()
    assert processes_naming(str(broker.data_dir)) == []


async def test_a_suspended_broker_goes_on_where_it_was(broker: EmbeddedKafka) -> None:
    broker.start()
    await create(broker.bootstrap, "kept")
    broker.suspend()
    assert broker.is_running
    broker.resume()
    await write(broker.bootstrap, "kept", [b"1"])
    assert await read(broker.bootstrap, "kept", 1) == [b"1"]
