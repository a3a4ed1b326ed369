"""How far each shard has come: the progress rows of shard.state, followed as they are written.

The row's form is part of the format: key = 02 then the topic's name, value = version 1 (one byte), the next
offset (8 bytes, big-endian), then the cursor inside that record, empty when it is not half done. Restated
here so that the checker shares no code with the engine. Tested in tests/verify/test_progress.py.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from streams.errors import Undecodable
from streams.verify.source import offsets_of

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, TopicPartition

    from streams.ports import Record

_TABLE = b"\x02"
_VERSION = 1
_ROW = struct.Struct(">BQ")
_POLL_MS = 200


class Progress(NamedTuple):
    """Where one input of one shard goes on."""

    next_offset: int
    is_half_done: bool


class ProgressBook:
    """Progress by (topic, shard), from the rows seen so far."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int], Progress] = {}

    def apply(self, record: Record) -> None:
        """Take a record of shard.state; rows of other tables are passed over."""
        key = record.key
        if key is None or not key.startswith(_TABLE):
            return
        where = (key[1:].decode(), record.partition)
        if record.value is None:
            self._rows.pop(where, None)
            return
        if len(record.value) < _ROW.size or record.value[0] != _VERSION:
            raise Undecodable(
                f"shard.state {record.partition}@{record.offset}: not a progress row of version {_VERSION}; "
                "use the Lockstep that wrote it"
            )
        _, next_offset = _ROW.unpack_from(record.value)
        self._rows[where] = Progress(next_offset, len(record.value) > _ROW.size)

    def of(self, topic: str, shard: int) -> Progress | None:
        """Return the progress, or None when nothing was ever processed."""
        return self._rows.get((topic, shard))


class ProgressFollower:
    """Keeps a ProgressBook up to date from Kafka. The consumer is its own."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> None:
        self._consumer = consumer
        self._partitions = partitions
        self.book = ProgressBook()
        consumer.assign(partitions)
        self._is_placed = False

    async def refresh(self) -> None:
        """Read to the present committed end."""
        starts, ends = await offsets_of(self._consumer, self._partitions)
        if not self._is_placed:
            for at, start in starts.items():
                self._consumer.seek(at, start)
            self._is_placed = True
        left = set(self._partitions)
        while True:
            left = {at for at in left if await self._consumer.position(at) < ends[at]}
            if not left:
                return
            for records in (await self._consumer.getmany(*left, timeout_ms=_POLL_MS)).values():
                for record in records:
                    self.book.apply(record)
