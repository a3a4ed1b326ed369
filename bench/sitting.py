"""One sitting: one embedded broker for every run, and fresh topics for each, so that figures may be compared.

The broker is the product's own (`streams.broker`). Before the first run it is warmed up: its JVM compiles while it
serves, and the first contender would pay for that. Everything lies in a temporary folder that goes with the sitting.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from bench.machine import Usage, usage
from streams.broker import EmbeddedKafka
from streams.client.publisher import Publisher
from streams.connection import Connection

PARTITIONS = 4
HEAP_MIB = 1_024
_GONE_SECONDS_MAX = 60.0
_WARM_RECORDS = 300_000
_WARM_TOPIC = "warm-up"


class Sitting:
    """A broker in a temporary folder; use as `async with`."""

    def __init__(self, partitions: int = PARTITIONS, *, warms_up: bool = True) -> None:
        self.partitions = partitions
        self._warms_up = warms_up
        self._scratch = tempfile.TemporaryDirectory(prefix="lockstep-bench-", ignore_cleanup_errors=True)
        self._kafka = EmbeddedKafka(Path(self._scratch.name) / "kafka", heap_mib=HEAP_MIB)
        self._runs = 0

    async def __aenter__(self) -> Self:
        try:
            await asyncio.to_thread(self._kafka.start)
            self.connection = Connection(bootstrap=self._kafka.bootstrap)
            self._admin = AIOKafkaAdminClient(**self.client_arguments())
            await self._admin.start()
            if self._warms_up:
                await self._warm_up()
        except BaseException:
            self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._admin.close()
        finally:
            self._end()

    def _end(self) -> None:
        self._kafka.stop()
        self._scratch.cleanup()

    @property
    def bootstrap(self) -> str:
        """host:port."""
        return self._kafka.bootstrap

    def client_arguments(self) -> dict[str, Any]:
        """For aiokafka's clients."""
        return dict(self.connection.client_arguments())

    def new_folder(self) -> Path:
        """Return an empty folder for one run."""
        self._runs += 1
        folder = Path(self._scratch.name) / f"run-{self._runs}"
        folder.mkdir()
        return folder

    def usage(self) -> Usage:
        """CPU and memory of the broker."""
        return usage([psutil.Process(self._kafka.pid)])

    async def create(self, topics: Iterable[str], settings: Mapping[str, str] | None = None) -> None:
        """Make topics of the sitting's partitions."""
        new = [NewTopic(one, self.partitions, 1, topic_configs=dict(settings or {})) for one in topics]
        answer = await self._admin.create_topics(new)
        for name, code, message in (error[:3] for error in answer.topic_errors):
            if (kind := for_code(code)) not in {TopicAlreadyExistsError, for_code(0)}:
                raise kind(f"{name}: {message}")
        await self._leaders([one.name for one in new])

    async def _leaders(self, topics: list[str]) -> None:
        """Wait until every partition has a leader: a client that comes earlier waits for long, or complains."""
        deadline_s = time.monotonic() + _GONE_SECONDS_MAX
        while True:
            found = await self._admin.describe_topics(topics)
            if all(
                one["partitions"] and all(part["leader"] >= 0 for part in one["partitions"]) for one in found
            ):
                return
            if time.monotonic() > deadline_s:
                raise KafkaError(f"no leaders for {topics[:3]}")
            await asyncio.sleep(0.05)

    async def wipe(self) -> None:
        """Delete every topic that is not Kafka's own, and wait until they are gone."""
        deadline_s = time.monotonic() + _GONE_SECONDS_MAX
        while names := [one for one in await self._admin.list_topics() if not one.startswith("__")]:
            if time.monotonic() > deadline_s:
                raise KafkaError(f"topics do not go: {names[:3]}")
            await self._admin.delete_topics(names)
            await asyncio.sleep(0.3)

    async def places(self, topics: Iterable[str]) -> list[TopicPartition]:
        """Return every partition of some topics."""
        found = await self._admin.describe_topics(list(topics))
        return [
            TopicPartition(one["topic"], part["partition"]) for one in found for part in one["partitions"]
        ]

    def reader(self, **more: Any) -> AIOKafkaConsumer:
        """Return a read_committed consumer, not started."""
        return AIOKafkaConsumer(
            isolation_level="read_committed",
            enable_auto_commit=False,
            **{"max_partition_fetch_bytes": 4 << 20, **self.client_arguments(), **more},
        )

    async def _warm_up(self) -> None:
        await self.create([_WARM_TOPIC])
        async with Publisher(self.client_arguments()) as publisher:
            for number in range(_WARM_RECORDS):
                await publisher.put(_WARM_TOPIC, number % self.partitions, b"key", bytes(120))
        await self.wipe()
