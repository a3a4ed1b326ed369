"""A shard in memory, for tests of rules and stages.

Passes the same contract suite as the engine's own shard (tests/contract/test_shard_contract.py): state with per-record
roll-back, outputs with size checks, dead letters, counters. Guarantees nothing about durability.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from streams.errors import Oversize, RecordError
from streams.ids import shard_of
from streams.limits import RECORD_BYTES_MAX, RECORD_OVERHEAD_BYTES
from streams.ports import DONE, Record, Stage


class Output(NamedTuple):
    """One record that a stage sent."""

    topic: str
    key: bytes
    value: bytes
    partition: int


class DeadRecord(NamedTuple):
    """One record that a stage or the shard gave up."""

    record: Record
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class MemoryRecord:
    """An input record made by hand."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
    headers: Sequence[tuple[str, bytes]] = ()


class MemoryState:
    """Bytes to bytes in a dictionary, with one level of roll-back."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.false_positives: set[bytes] = set()
        """Keys for which may_contain lies, as a Bloom filter may."""

    def get(self, key: bytes) -> bytes | None:
        return self.rows.get(key)

    def may_contain(self, key: bytes) -> bool:
        return key in self.rows or key in self.false_positives

    def put(self, key: bytes, value: bytes) -> None:
        self.rows[key] = value

    def delete(self, key: bytes) -> None:
        self.rows.pop(key, None)

    def delete_range(self, start: bytes, end: bytes) -> None:
        for key in [key for key in self.rows if start <= key < end]:
            del self.rows[key]


@dataclass
class MemoryShard:
    """The port `Shard`, with everything it was told kept for assertions."""

    number: int = 0
    shards: int = 1
    now_ms: int = 0
    is_expiry_held: bool = False
    record_bytes_max: int = RECORD_BYTES_MAX
    state: MemoryState = field(default_factory=MemoryState)
    outputs: list[Output] = field(default_factory=list)
    dead: list[DeadRecord] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)

    def emit(self, topic: str, key: bytes, value: bytes, partition: int) -> None:
        size = len(key) + len(value) + RECORD_OVERHEAD_BYTES
        if size > self.record_bytes_max:
            raise Oversize(f"{topic} takes records of {self.record_bytes_max} bytes, this one has {size}")
        self.outputs.append(Output(topic, key, value, partition))

    def dead_letter(self, record: Record, code: str, detail: str) -> None:
        self.dead.append(DeadRecord(record, code, detail))

    def shard_of(self, key: str) -> int:
        return shard_of(key, self.shards)

    def count(self, metric: str, amount: int = 1) -> None:
        self.counters[metric] += amount

    def run(self, stage: Stage, record: Record, *, cursor: bytes = DONE, steps_max: int = 1_000_000) -> bytes:
        """Process a record as the engine would: step by step until DONE, a failing step undone and dead-lettered.

        Returns the cursor reached; `steps_max` stops in the middle, as a kill between two units would.
        """
        for _ in range(steps_max):
            before = (dict(self.state.rows), len(self.outputs), len(self.dead), Counter(self.counters))
            try:
                cursor = stage.process(record, cursor)
            except RecordError as error:
                self.state.rows, outputs, dead, self.counters = before[0], before[1], before[2], before[3]
                del self.outputs[outputs:], self.dead[dead:]
                self.dead_letter(record, error.code, str(error))
                return DONE
            if cursor == DONE:
                return DONE
        return cursor
