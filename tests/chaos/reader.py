"""A reader beside the pipeline: whatever happens, what it sees at any moment has no duplicate and no gap.

It reads inbox.updates and the delivery topics under read_committed while everything else is killed, stalled and
started again. Per inbox and epoch, and per endpoint's route and epoch, numbers follow each other without exception;
the first breach is kept with its place. (Chaos attaches each endpoint once, so that a route has one beginning.)
Tested in tests/chaos/test_reader.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.client.outlet import codec_of
from streams.topology import Topology
from streams.verify.heads import Heads
from streams.verify.source import partitions_of, start_consumer

if TYPE_CHECKING:
    from streams.codec import Codec
    from streams.ports import Record

_POLL_MS = 200
_BROKER_AWAY_SECONDS = 0.2


class Line(NamedTuple):
    """One sequence of numbers: an inbox, or what an endpoint gets on its route."""

    topic: str
    key: bytes
    epoch: int


class Follower:
    """Checks records as they come, in log order per partition."""

    def __init__(self, codec: Codec, inbox_topic: str) -> None:
        self._inbox_topic = inbox_topic
        self._inboxes = Heads(codec, "InboxUpdate", "sender_id")
        self._deliveries = Heads(codec, "EndpointUpdate", "endpoint_id")
        self._last: dict[Line, int] = {}
        self.seen = 0
        self.breaches: list[str] = []

    def take(self, records: Iterable[Record]) -> None:
        """Look at records of one partition."""
        for record in records:
            is_inbox = record.topic == self._inbox_topic
            fields = (self._inboxes if is_inbox else self._deliveries).read(record.value)
            line = Line(record.topic, record.key or b"", fields["epoch"])
            first, last = fields["seq_first"], fields["seq"]
            known = self._last.get(line, 0 if is_inbox else first - 1)
            if first != known + 1:
                kind = "again" if first <= known else f"after a gap of {first - known - 1}"
                self.breaches.append(
                    f"{record.topic} {record.partition}@{record.offset} {line.key!r} epoch {line.epoch}: "
                    f"{first}..{last} {kind}, the last one was {known}"
                )
            self._last[line] = max(known, last)
            self.seen += 1


class Reader:
    """Follows a cluster; use as `async with`."""

    def __init__(self, client_arguments: dict[str, Any], topology: Topology) -> None:
        self._arguments = client_arguments
        inbox_topic = topology.topic_of("InboxUpdate")
        self._topics = (inbox_topic, *dict.fromkeys(topology.routes.values()))
        self.follower = Follower(codec_of(topology), inbox_topic)

    async def __aenter__(self) -> Self:
        self._partitions = await partitions_of(self._arguments, self._topics)
        self._consumer: AIOKafkaConsumer = await start_consumer(self._arguments)
        self._consumer.assign(self._partitions)
        await self._consumer.seek_to_beginning(*self._partitions)
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._consumer.stop()

    @property
    def failure(self) -> BaseException | None:
        """What ended it, which is a bug of the test."""
        return self._task.exception() if self._task.done() else None

    async def is_at(self, ends: dict[TopicPartition, int]) -> bool:
        """Whether everything before these offsets was seen."""
        return all([await self._consumer.position(at) >= ends[at] for at in self._partitions])

    async def ends(self) -> dict[TopicPartition, int]:
        """The committed ends now."""
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(self._partitions)
        return ends

    async def _follow(self) -> None:
        while True:
            try:
                fetched = await self._consumer.getmany(timeout_ms=_POLL_MS)
            except KafkaError:  # the broker is away; the client comes back by itself
                await asyncio.sleep(_BROKER_AWAY_SECONDS)
                continue
            for records in fetched.values():
                self.follower.take(records)
