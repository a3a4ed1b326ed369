"""What the split store's tests are made of: threads, their records, and a split store around fakes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from streams.adapters.memory import MemoryRecord
from streams.adapters.memory_store import (
    Faults,
    MemoryBodyStore,
    MemoryContents,
    MemoryMetadataStore,
    MemoryQueue,
)
from streams.codec import Codec
from streams.ids import Token, message_id
from streams.split_store import SplitStore
from streams.store_ports import Body, MetadataRow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streams.ports import Record

CODEC = Codec()
TOPIC = "thread.messages"
WAIT_S_MAX = 20.0


def post(text: str = "hello") -> tuple[str, dict[str, Any]]:
    return "lockstep.Post", {"content_type": "text/plain", "body": text.encode(), "media": []}


def form(form_id: str = "greeting") -> tuple[str, dict[str, Any]]:
    return "lockstep.PostForm", {"form_id": form_id, "arguments": {"name": "Ada"}}


def edit(target: bytes, text: str) -> tuple[str, dict[str, Any]]:
    return "lockstep.Edit", {"message_id": target, "body": text.encode()}


def delete(target: bytes) -> tuple[str, dict[str, Any]]:
    return "lockstep.Delete", {"message_id": target}


def mark_read(target: bytes) -> tuple[str, dict[str, Any]]:
    return "lockstep.MarkRead", {"message_id": target}


def change_members(*add: str) -> tuple[str, dict[str, Any]]:
    return "lockstep.ChangeMembers", {"add": list(add), "remove": []}


KIND_OF = {
    "lockstep.Post": "post",
    "lockstep.PostForm": "post_form",
    "lockstep.Edit": "edit",
    "lockstep.Delete": "delete",
    "lockstep.MarkRead": "mark_read",
    "lockstep.ChangeMembers": "change_members",
}


def id_at(position: int) -> bytes:
    """The id of the message that a script puts at a position."""
    return message_id("ada", "phone", Token(position, position))


@dataclass
class Script:
    """Writes a partition of thread.messages by hand; offsets have holes, as transactions leave them."""

    partition: int = 0
    thread_id: str = "thread"
    records: list[Record] = field(default_factory=list)
    next_offset: int = 0
    positions: dict[str, int] = field(default_factory=dict)

    def add(
        self, operation: tuple[str, dict[str, Any]], thread_id: str | None = None, **changes: Any
    ) -> bytes:
        """Append an operation at its thread's next position; return its message id."""
        thread = thread_id or self.thread_id
        position = self.positions[thread] = self.positions.get(thread, 0) + 1
        fields: Mapping[str, Any] = {
            "endpoint_id": "phone",
            "token": {"timestamp_ms": position, "nonce": position},
            "created_with": ["ada", "ben"] if position == 1 else None,
            "message_id": id_at(position),
            "thread_id": thread,
            "thread_position": position,
            "sender_id": "ada",
            "server_at_ms": 1_000 + position,
            "kind": KIND_OF[operation[0]],
            "content": operation,
            **changes,
        }
        self.raw(thread.encode(), CODEC["ThreadMessage"].encode(fields))
        return bytes(fields["message_id"])

    def raw(self, key: bytes | None, value: bytes | None) -> None:
        """Append any bytes."""
        self.records.append(MemoryRecord(TOPIC, key, value, self.partition, self.next_offset))
        self.next_offset += 1 + (self.next_offset % 3 == 0)

    @property
    def end(self) -> int:
        return self.records[-1].offset + 1 if self.records else 0


class DeadLetter(NamedTuple):
    """One record that was given up."""

    record: Record
    code: str
    detail: str


@dataclass
class World:
    """What outlives a process: the contents of both stores, the queue, the dead letters; and the faults."""

    script: Script = field(default_factory=Script)
    metadata: MemoryContents[MetadataRow] = field(default_factory=MemoryContents)
    bodies: MemoryContents[Body] = field(default_factory=MemoryContents)
    queue: MemoryQueue = field(default_factory=MemoryQueue)
    metadata_faults: Faults = field(default_factory=Faults)
    body_faults: Faults = field(default_factory=Faults)
    dead: list[DeadLetter] = field(default_factory=list)
    pauses_s: list[float] = field(default_factory=list)

    def start(self, **changes: Any) -> SplitStore:
        """A split store in a fresh process."""
        parts: dict[str, Any] = {
            "metadata": MemoryMetadataStore(self.metadata, self.metadata_faults),
            "bodies": MemoryBodyStore(self.bodies, self.body_faults),
            "queue": self.queue,
            "dead_letters": self.bury,
            "sleep": self.sleep,
            **changes,
        }
        return SplitStore(codec=CODEC, shards=1, chance=lambda: 0.5, catch_up_s_max=1.0, **parts)

    async def bury(self, record: Record, code: str, detail: str) -> None:
        self.dead.append(DeadLetter(record, code, detail))

    async def sleep(self, seconds: float) -> None:
        """Pauses cost no time; how long they would have been is kept."""
        self.pauses_s.append(seconds)
        await asyncio.sleep(0)

    def publish(self) -> list[Record]:
        """Put what the script wrote in the queue; return it."""
        self.queue.records[self.script.partition] = list(self.script.records)
        return self.script.records

    async def feed(self, store: SplitStore, partition: int = 0) -> None:
        """Open a partition and give it all that the queue holds for it, from where it asks to begin."""
        self.publish()
        start = await store.open(partition)
        store.take(partition, [one for one in self.script.records if one.offset >= start])


async def until(holds: Callable[[], bool], what: str) -> None:
    """Return as soon as it holds; fail when it does not within WAIT_S_MAX."""
    async with asyncio.timeout(WAIT_S_MAX):
        while not holds():  # noqa: ASYNC110  # any condition, of any object: polled with a deadline
            await asyncio.sleep(0.001)
    assert holds(), what


async def drained(store: SplitStore, end: int, partition: int = 0) -> None:
    """Wait until both halves have stored all below `end`; raises what stopped the partition."""

    def is_drained() -> bool:
        return store.lowest_pointer(partition) >= end

    await until(is_drained, "the split store is drained")
