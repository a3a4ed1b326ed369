"""Watches the delivery topics while a feed runs: counts what arrives, and takes the time of marked requests.

A latency runs from the moment a request is handed to the publisher until the sender's own endpoint could read
its update under read_committed: every hop of the pipeline and every commit between lies in it. Only marked
requests are decoded, so that watching costs a busy machine little. Tested in tests/client/test_watch.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import BrokerUnavailable, RecordError

if TYPE_CHECKING:
    from streams.client.requests import Request
    from streams.codec import Codec
    from streams.ports import Record

_FETCH_WAIT_MS = 20
_POLL_MS = 200

Mark = tuple[str, int, int]
"""Account and token of a request: timestamp, nonce."""


class Stopwatch:
    """Pure part: marks in, arrivals in, latencies out. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self.latencies_ms: list[float] = []
        self._marked: dict[Mark, float] = {}

    @property
    def waiting(self) -> int:
        """Marked requests that have not arrived."""
        return len(self._marked)

    def mark(self, request: Request, at_s: float) -> None:
        """Note when a request is handed over; a repeat of it changes nothing."""
        self._marked.setdefault((request.account_id, *request.token), at_s)

    def arrived(self, fields: Mapping[str, Any], at_s: float) -> None:
        """Take in an EndpointUpdate; the first one with the sender's token counts."""
        token = fields["token"]
        if token is None:
            return
        marked_at_s = self._marked.pop((fields["account_id"], token["timestamp_ms"], token["nonce"]), None)
        if marked_at_s is not None:
            self.latencies_ms.append((at_s - marked_at_s) * 1000)

    def percentile_ms(self, part: float) -> float | None:
        """Return the latency that `part` of the marked requests did not exceed; None without any."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else None


class DeliveryWatch:
    """A read_committed consumer at the end of the delivery topics; use as `async with`."""

    def __init__(
        self, client_arguments: Mapping[str, Any], topics: Iterable[str], shards: int, codec: Codec
    ) -> None:
        self._arguments = dict(client_arguments)
        self._partitions = [TopicPartition(topic, number) for topic in topics for number in range(shards)]
        self._codec = codec
        self._quiet = asyncio.Event()
        self.stopwatch = Stopwatch()
        self.deliveries = 0
        """Records that arrived since the start."""

    async def __aenter__(self) -> Self:
        self._consumer = AIOKafkaConsumer(
            **self._arguments,
            isolation_level="read_committed",
            enable_auto_commit=False,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
        )
        try:
            await self._consumer.start()
            self._consumer.assign(self._partitions)
            for at, end in (await self._consumer.end_offsets(self._partitions)).items():
                self._consumer.seek(at, end)
        except KafkaError as error:
            await self._consumer.stop()
            raise BrokerUnavailable(f"The delivery topics cannot be read: {error!r}") from error
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._consumer.stop()

    async def all_arrived(self, timeout_seconds: float) -> bool:
        """Wait until every marked request has arrived; False when the time is up."""
        self._quiet.clear()
        if self.stopwatch.waiting:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._quiet.wait(), timeout_seconds)
        return not self.stopwatch.waiting

    async def _watch(self) -> None:
        while True:
            fetched = await self._consumer.getmany(timeout_ms=_POLL_MS)
            at_s = time.monotonic()
            for records in fetched.values():
                self.deliveries += len(records)
                if self.stopwatch.waiting:
                    self._decode(records, at_s)
            if not self.stopwatch.waiting:
                self._quiet.set()

    def _decode(self, records: Sequence[Record], at_s: float) -> None:
        for record in records:
            try:
                self.stopwatch.arrived(self._codec.decode_as("EndpointUpdate", record.value), at_s)
            except RecordError:  # not one of ours: `verify` names it
                continue
