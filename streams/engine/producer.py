"""The one transactional producer of a worker, and the fence.

A transactional id is initialised for use exactly once, by one producer object. Whatever goes wrong between begin and
commit leaves the outcome to the log: `CommitInDoubt` is raised, the worker fences the id, forgets it, and opens every
shard again under a new one (facts: aiokafka 5). Nothing here retries a transaction.
Tested in tests/engine/test_producer.py on real Kafka.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import aiokafka.producer.sender
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams import faults
from streams.connection import Connection
from streams.errors import LockstepError

# Back-to-back transactions of one id meet CONCURRENT_TRANSACTIONS; aiokafka then sleeps this constant, 20 ms as it
# comes, although the broker is ready after about 1 ms. tests/engine/test_producer.py notices when it moves.
aiokafka.producer.sender.BACKOFF_OVERRIDE = 0.002

BATCH_BYTES = 900_000
"""Bytes in one produce batch: below RECORD_BYTES_MAX, which topics take."""
_CLOSE_SECONDS_MAX = 2.0
_START_SECONDS_MAX = 15.0
"""aiokafka would look for a coordinator for ever; a new client may find it at once."""

Outputs = Iterable[tuple[str, int, bytes | None, bytes | None]]
"""Topic, partition, key, value."""
Ends = dict[tuple[str, int], int]
"""(topic, partition) -> offset after the last record that was written there."""


class CommitInDoubt(LockstepError):
    """A unit of work may or may not have been committed; the log decides once the producer is fenced."""

    code = "COMMIT_IN_DOUBT"


class TransactionalProducer:
    """Commits sets of records in transactions, one after the other."""

    def __init__(self, connection: Connection, transactional_id: str, timeout_ms: int) -> None:
        self.transactional_id = transactional_id
        self._producer = _new_producer(connection, transactional_id, timeout_ms)
        self._commit_s_max = 2 * timeout_ms / 1000
        """By then the broker has aborted what it knew of."""

    async def start(self) -> None:
        """Initialise the id: everything that its former user left open is aborted. Raises TimeoutError too."""
        async with asyncio.timeout(_START_SECONDS_MAX):
            await self._producer.start()

    async def commit(self, outputs: Outputs) -> Ends:
        """Write all records in one transaction and return where they ended.

        Raises CommitInDoubt whenever the outcome is anything but a plain success, and when there is none in time.
        """
        try:
            async with asyncio.timeout(self._commit_s_max):
                return await self._commit(outputs)
        except TimeoutError as error:
            raise CommitInDoubt(
                f"{self.transactional_id}: no outcome within {self._commit_s_max:g} s"
            ) from error

    async def _commit(self, outputs: Outputs) -> Ends:
        producer = self._producer
        try:
            faults.point("unit.before_begin")
            await producer.begin_transaction()
            faults.point("unit.after_begin")
            sent = await self._send(outputs)
            written = await asyncio.gather(*(future for _, _, future in sent))
            ends = {
                place: metadata.offset + count
                for (place, count, _), metadata in zip(sent, written, strict=True)
            }
            faults.point("unit.after_send")
            faults.point("unit.before_commit")
            await producer.commit_transaction()
            faults.point("unit.after_commit")
        except (KafkaError, OSError) as error:
            raise CommitInDoubt(f"{self.transactional_id}: {type(error).__name__}: {error}") from error
        return ends

    async def _send(self, outputs: Outputs) -> list[tuple[tuple[str, int], int, asyncio.Future[Any]]]:
        producer = self._producer
        places: dict[tuple[str, int], list[tuple[bytes | None, bytes | None]]] = {}
        for topic, partition, key, value in outputs:
            place = (topic, partition)
            if place in places:
                places[place].append((key, value))
            else:
                places[place] = [(key, value)]
        sent = []
        for place, records in places.items():
            batch = producer.create_batch()
            count = 0
            append = batch.append
            for key, value in records:
                if append(key=key, value=value, timestamp=None) is None:
                    sent.append(
                        (place, count, await producer.send_batch(batch, place[0], partition=place[1]))
                    )
                    batch = producer.create_batch()
                    append, count = batch.append, 0
                    append(key=key, value=value, timestamp=None)
                count += 1
            sent.append((place, count, await producer.send_batch(batch, place[0], partition=place[1])))
        return sent

    async def close(self) -> None:
        """Let go of the connection; never waits for long, whatever the broker does."""
        await _close(self._producer)


async def fence(connection: Connection, transactional_id: str, timeout_ms: int) -> None:
    """Abort what this id has open and refuse everything it tries from now on; done when the broker has answered.

    Raises KafkaError, or TimeoutError when there is no answer in time: do it again.
    """
    producer = _new_producer(connection, transactional_id, timeout_ms)
    try:
        async with asyncio.timeout(_START_SECONDS_MAX):
            await producer.start()
    finally:
        await _close(producer)


def _new_producer(connection: Connection, transactional_id: str, timeout_ms: int) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        transactional_id=transactional_id,
        transaction_timeout_ms=timeout_ms,
        max_batch_size=BATCH_BYTES,
        max_request_size=4 * BATCH_BYTES,
        request_timeout_ms=max(timeout_ms, 1_000),
        retry_backoff_ms=50,
        **connection.client_arguments(),
    )


async def _close(producer: AIOKafkaProducer) -> None:
    for close in (producer.stop, producer.client.close):
        closing = asyncio.ensure_future(close())
        closing.add_done_callback(_forget)
        done, _ = await asyncio.wait({closing}, timeout=_CLOSE_SECONDS_MAX)
        if done:
            return
        closing.cancel()


def _forget(closing: asyncio.Future[None]) -> None:
    if not closing.cancelled():
        closing.exception()  # whatever it was: who is fenced needs no orderly end
