"""One producer and one follower of an answer topic: what a sender and an endpoint's commands have in common.

The follower stands at the end of every partition before anything is said, so no answer is missed. Records are
written with acks=all and again by the Kafka client while the broker is away. Tested in
tests/client/test_kafka.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import BrokerUnavailable
from streams.ids import shard_of

if TYPE_CHECKING:
    from streams.ports import Record

_log = logging.getLogger(__name__)


class Wire:
    """Says records on one topic and hears those of another; use as `async with`. Raises BrokerUnavailable."""

    def __init__(
        self,
        client_arguments: Mapping[str, Any],
        *,
        said: str,
        heard: str,
        on_record: Callable[[Record], None],
    ) -> None:
        self._arguments = dict(client_arguments)
        self._said = said
        self._heard = heard
        self._on_record = on_record
        self._stack = AsyncExitStack()
        self.shards = 0
        """Partitions of the topic that is said, as the cluster has them."""

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except KafkaError as error:
            await self._stack.aclose()
            where = self._arguments.get("bootstrap_servers", "the cluster")
            raise BrokerUnavailable(f"Nothing answers at {where} ({error!r}); is it running?") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def say(self, account_id: str, value: bytes) -> None:
        """Write a record keyed by an account; returns when it is durable."""
        partition = shard_of(account_id, self.shards)
        try:
            await self._producer.send_and_wait(
                self._said, value, key=account_id.encode(), partition=partition
            )
        except KafkaError as error:
            raise BrokerUnavailable(f"{self._said} does not take records: {error!r}; try again") from error

    async def _open(self) -> None:
        self._producer = AIOKafkaProducer(**self._arguments, acks="all", enable_idempotence=True)
        self._stack.push_async_callback(self._producer.stop)
        await self._producer.start()
        self.shards = len(await self._producer.partitions_for(self._said))
        consumer = AIOKafkaConsumer(
            **self._arguments,
            isolation_level="read_committed",
            enable_auto_commit=False,
            fetch_max_wait_ms=100,
        )
        self._stack.push_async_callback(consumer.stop)
        await consumer.start()
        numbers = await self._producer.partitions_for(self._heard)
        partitions = [TopicPartition(self._heard, number) for number in numbers]
        consumer.assign(partitions)
        for at, end in (await consumer.end_offsets(partitions)).items():
            consumer.seek(at, end)
        hearing = asyncio.create_task(self._hear(consumer))

        async def quiet() -> None:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)

        self._stack.push_async_callback(quiet)

    async def _hear(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            try:
                fetched = await consumer.getmany(timeout_ms=500)
            except KafkaError as error:  # the client reconnects by itself; answers wait on their topic
                _log.warning("answers cannot be read now: %r", error)
                await asyncio.sleep(0.5)
                continue
            for records in fetched.values():
                for record in records:
                    self._on_record(record)


class OnWire:
    """Who talks over one wire; use as `async with`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def __aenter__(self) -> Self:
        await self._wire.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._wire.__aexit__(kind, error, trace)
