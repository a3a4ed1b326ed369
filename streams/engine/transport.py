"""Faust's transport, given to us: batches instead of records, read_committed, positions that are ours.

What is overridden, through Faust's subclassing points, and why (facts.md, Faust 2 to 5):
- `Consumer.getmany` yields ONE message per fetched partition batch: stock delivery costs two futures a record.
- `ConsumerThread` runs on the main loop: the hop to Faust's own thread costs 25 to 40 ms a stage.
- the aiokafka consumer is made here: stock is read_uncommitted, waits 1.5 s, and uses the round-robin assignor.
- `perform_seek` does nothing: progress lies in shard.state, not in the group's offsets; the host seeks when a shard is
  its own, and until then the shard's partitions are held.
Tested through everything in tests/e2e.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import faust
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode import Service
from mode.utils.futures import maybe_async

from streams.connection import Connection
from streams.engine.assignor import ShardAssignor
from streams.ports import Record

if TYPE_CHECKING:
    from faust.types import AppT, EventT, Message

log = structlog.get_logger("engine")

_FETCH_WAIT_MS = 20
_METADATA_AGE_MS = 3_000
"""Stock is five minutes: as long would a topic that was deleted and made anew stay unassigned."""
_PARTITION_FETCH_BYTES = 1 << 20
_BATCH_RECORDS_MAX = 4_000
_WAIT_S = 1.0
_LOST_AFTER_S = 1.0
"""A batch that was handed over so long ago and did not arrive never will."""
_WAITS_S_SAID = 5.0
"""After how long it is said that the group does not take the worker in."""
_WAIT_S_HELD = 0.1
"""How long to wait for records while some partition is held or full: that may change without a record arriving."""


class Batch(NamedTuple):
    """What one fetch brought for one partition."""

    topic: str
    partition: int
    start: int
    """The offset that was fetched from; lower than the first record's where control records lie between."""
    records: Sequence[Record]


class Feeding(Protocol):
    """What the transport asks of whoever the records are for (the host, or the split store)."""

    def reconcile(self, assigned: Iterable[int], standbys: Iterable[int] = ()) -> None:
        """Take in the partition numbers of a new assignment; called in every rebalance, returns at once.

        standbys: partition numbers that are another worker's, and of which this one is to keep copies.
        """
        ...

    def wants(self, topic: str, partition: int) -> bool: ...

    def take(self, topic: str, partition: int, start: int, records: Sequence[Record]) -> None: ...


class BatchSchema(faust.Schema):
    """Hands a Batch to the agent as it is."""

    def compile(self, app: AppT, *, on_key_decode_error: Any, on_value_decode_error: Any, **_: Any) -> Any:  # noqa: ARG002  # Faust's signature
        async def decode(message: Message, *, propagate: bool = False) -> EventT[Any]:  # noqa: ARG001  # Faust's signature
            return faust.Event(app, message.key, message.value, {}, message)

        return decode


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Not a thread: Faust's consumer thread on the main loop."""

    wait_for_shutdown = False  # there is no thread that would say so

    async def start(self) -> None:
        await Service.start(self)

    async def stop(self) -> None:
        await Service.stop(self)

    async def maybe_start(self) -> bool:
        return bool(await Service.maybe_start(self))

    async def on_stop(self) -> None:
        if self._consumer is not None:
            await self._consumer.stop()

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await maybe_async(fun(*args, **kwargs))

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await self.consumer.on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        await self.consumer.on_partitions_assigned(assigned, generation_id)

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        conf = self.app.conf
        return AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id or None,
            partition_assignment_strategy=[self.app.assignor],
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=_BATCH_RECORDS_MAX,
            max_partition_fetch_bytes=_PARTITION_FETCH_BYTES,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            metadata_max_age_ms=_METADATA_AGE_MS,
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            **transport.connection.client_arguments(),
        )


class Consumer(driver.Consumer):
    """Feeds whoever owns the shards with one message per fetched partition batch."""

    _thread: ConsumerThread

    def _new_consumer_thread(self) -> ConsumerThread:
        self._positions: dict[tuple[str, int], int] = {}
        self._handed_over_at: dict[tuple[str, int], float] = {}
        return ConsumerThread(self, loop=self.loop, thread_loop=self.loop, beacon=self.beacon)

    @property
    def feeding(self) -> Feeding:
        """Who the records are for."""
        return cast(Feeding, self.transport.feeding)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        assignor = self.app.assignor
        assert isinstance(assignor, ShardAssignor)  # made by new_app
        self.feeding.reconcile({one.partition for one in assigned}, assignor.standby_shards())
        await super().on_partitions_assigned(assigned, generation_id)

    async def perform_seek(self) -> None:
        """Nothing: positions are set when a shard is open."""

    def seek_to(self, topic: str, partition: int, offset: int) -> None:
        """Fetch from `offset` on; ignored for a partition that is not assigned (any more)."""
        consumer = self._thread._consumer  # noqa: SLF001  # the driver offers no accessor
        one = TopicPartition(topic, partition)
        if consumer is None or one not in consumer.assignment():
            return
        self._positions[(topic, partition)] = offset
        consumer.seek(one, offset)
        consumer.resume(one)

    def hold(self, topic: str, partition: int) -> None:
        """Fetch nothing of a partition."""
        consumer = self._thread._consumer  # noqa: SLF001  # the driver offers no accessor
        one = TopicPartition(topic, partition)
        self._positions.pop((topic, partition), None)
        if consumer is not None and one in consumer.assignment():
            consumer.pause(one)

    async def hint(self, offsets: dict[tuple[str, int], int]) -> None:
        """Write progress as group offsets, for ordinary lag tools; nothing of ours reads them."""
        consumer = self._thread._consumer  # noqa: SLF001  # the driver offers no accessor
        if consumer is None:
            return
        assigned = consumer.assignment()
        known = {TopicPartition(*place): offset for place, offset in offsets.items()}
        known = {one: offset for one, offset in known.items() if one in assigned}
        if known:
            await consumer.commit(known)

    def end(self, topic: str, partition: int) -> int | None:
        """Return the committed end of an assigned partition, as of the last fetch; None before the first."""
        consumer = self._thread._consumer  # noqa: SLF001  # the driver offers no accessor
        one = TopicPartition(topic, partition)
        if consumer is None or one not in consumer.assignment():
            return None
        return cast(int | None, consumer.last_stable_offset(one))

    def is_at_end(self, topic: str, partition: int, taken_to: int) -> bool:
        """Whether no committed record lies at or behind `taken_to`, as of the last fetch.

        Offsets alone cannot tell: the control record of each transaction takes one too.
        """
        consumer = self._thread._consumer  # noqa: SLF001  # the driver offers no accessor
        one = TopicPartition(topic, partition)
        if consumer is None or self._positions.get((topic, partition)) != taken_to:
            return False
        assignment = consumer._subscription.subscription.assignment  # noqa: SLF001  # position() may wait
        state = assignment.state_value(one)
        return bool(
            state is not None
            and state.has_valid_position
            and state.lso is not None
            and state.position >= state.lso
        )

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage[Any, Any]]]:  # noqa: ARG002  # Faust's signature
        self._take_errors()
        if not self.flow_active:
            await self.wait(self.can_resume_flow, timeout=_WAIT_S)
            return
        feeding = self.feeding
        consumer = self._thread._ensure_consumer()  # noqa: SLF001  # the driver offers no accessor
        assigned = consumer.assignment()
        wanted = [one for one in assigned if feeding.wants(one.topic, one.partition)]
        self._ask_for_lost(wanted)
        if not wanted:
            await self.sleep(_WAIT_S_HELD)
            return
        wait_s = _WAIT_S if len(wanted) == len(assigned) else _WAIT_S_HELD
        fetched = await consumer.getmany(
            *wanted, timeout_ms=int(wait_s * 1000), max_records=_BATCH_RECORDS_MAX
        )
        generation_id = self.app.consumer_generation_id
        for (topic, partition), records in fetched.items():
            start = self._positions.get((topic, partition))
            if not records or start is None:
                continue
            self._positions[(topic, partition)] = records[-1].offset + 1
            self._handed_over_at[(topic, partition)] = time.monotonic()
            yield TP(topic, partition), _message(Batch(topic, partition, start, records), generation_id)

    def _take_errors(self) -> None:
        """Take what stopped the coordination, which goes on when somebody did; raise only when it has ended.

        aiokafka hands such an error to whoever fetches next, and waits: for ever, when nobody fetches in a rebalance.
        """
        coordinator = self._thread._ensure_consumer()._coordinator  # noqa: SLF001  # aiokafka offers no accessor
        try:
            coordinator.check_errors()
        except KafkaError as error:
            if coordinator._coordination_task.done():  # noqa: SLF001  # as above
                raise
            log.warning("engine.group_failed", reason=repr(error))

    def _ask_for_lost(self, wanted: Iterable[TopicPartition]) -> None:
        """Say where the fetching stands when nothing came for a while: whoever is behind that seeks back.

        Faust drops what it holds in a rebalance without a word. The next batch would show the hole, but a quiet
        partition has no next batch, and what was dropped would wait for ever.
        """
        before = time.monotonic() - _LOST_AFTER_S
        for one in wanted:
            place = (one.topic, one.partition)
            position = self._positions.get(place)
            if position is not None and self._handed_over_at.get(place, before) < before:
                self._handed_over_at[place] = time.monotonic()
                self.feeding.take(one.topic, one.partition, position, ())


def _message(batch: Batch, generation_id: int) -> ConsumerMessage[Any, Any]:
    last = batch.records[-1]
    return ConsumerMessage(
        batch.topic,
        batch.partition,
        last.offset,
        last.timestamp / 1000.0,
        0,
        [],
        None,
        batch,
        None,
        tp=TP(batch.topic, batch.partition),
        generation_id=generation_id,
    )


class Transport(driver.Transport):
    """Kafka by aiokafka, with the connection settings of Lockstep."""

    Consumer = Consumer

    def __init__(self, url: Any, app: AppT, connection: Connection, **kwargs: Any) -> None:
        super().__init__(url, app, **kwargs)
        self.connection = connection
        self.feeding: Feeding | None = None


class GroupMembership:
    """What the consumer knows of its group; implements takeover.Membership."""

    def __init__(self, app: AppT, members: Callable[[str], Any]) -> None:
        self._app = app
        self._members = members
        self._waits_since: float | None = None
        """When `confirm` began to say no; infinite once that was said aloud."""

    @property
    def generation(self) -> int:
        return int(self._app.consumer_generation_id)

    def _coordinator(self) -> Any:
        thread = getattr(self._app.consumer, "_thread", None)
        consumer = getattr(thread, "_consumer", None)
        return getattr(consumer, "_coordinator", None)

    async def is_member(self, owner: str) -> bool:
        worker = owner.rpartition(".")[0]
        if worker == self._app.conf.broker_client_id:
            return False  # our own former life: the static membership is ours, there is nobody to wait for
        return worker in await self._members(self._app.conf.id)

    async def is_settled(self) -> bool:
        """Ask the cluster, and look at the consumer without touching it; raises when no broker answers."""
        members = await self._members(self._app.conf.id)
        coordinator = self._coordinator()
        return (
            self._app.conf.broker_client_id in members
            and coordinator is not None
            and not coordinator._coordination_task.done()  # noqa: SLF001  # aiokafka offers no accessor
            and 0 <= coordinator.generation == self.generation
        )

    async def confirm(self) -> bool:
        is_member = await self._confirmed()
        since = self._waits_since = None if is_member else self._waits_since or time.monotonic()
        if since is not None and time.monotonic() - since > _WAITS_S_SAID:
            self._waits_since = math.inf
            log.warning("engine.waits_for_group", member=self._app.conf.broker_client_id)
        return is_member

    async def _confirmed(self) -> bool:
        coordinator = self._coordinator()
        if coordinator is None or coordinator.generation < 0 or coordinator.coordinator_id is None:
            return False
        if coordinator.generation != self.generation:
            return False
        return bool(await asyncio.wait_for(coordinator._do_heartbeat(), timeout=5))  # noqa: SLF001  # no public heartbeat
