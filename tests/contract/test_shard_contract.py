"""The contract of ports.Shard: the engine's own shard and the one in memory behave alike towards a stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from streams import limits
from streams.adapters.memory import MemoryRecord, MemoryShard
from streams.codec import Codec
from streams.engine.shard import Shard, ShardSettings
from streams.engine.store import Memory, Store
from streams.errors import Oversize, RecordError
from streams.ports import DONE, Record
from streams.ports import Shard as ShardPort

KEY = b"\x10thread"
TOPIC = "ingest.requests"


class Subject(Protocol):
    """A shard with one stage, and what became of its work."""

    shard: ShardPort

    def run(self, *records: Record) -> None: ...

    def outputs(self) -> list[tuple[str, int, bytes]]: ...

    def dead(self) -> list[str]: ...

    def row(self, key: bytes) -> bytes | None: ...


@dataclass
class Scripted:
    """A stage that does what the test says."""

    work: Callable[[Record], bytes]
    name: str = "ingest"
    topics: tuple[str, ...] = (TOPIC,)

    def process(self, record: Record, cursor: bytes) -> bytes:
        return self.work(record) if cursor == DONE else DONE


class InMemory:
    """ports.Shard in memory."""

    def __init__(self) -> None:
        self.memory = MemoryShard(number=3, shards=12)
        self.shard: ShardPort = self.memory
        self.stage: Scripted | None = None

    def run(self, *records: Record) -> None:
        assert self.stage is not None
        for record in records:
            self.memory.run(self.stage, record)

    def outputs(self) -> list[tuple[str, int, bytes]]:
        return [(one.topic, one.partition, one.value) for one in self.memory.outputs]

    def dead(self) -> list[str]:
        return [one.code for one in self.memory.dead]

    def row(self, key: bytes) -> bytes | None:
        return self.memory.state.get(key)


class OnRocks:
    """The engine's shard on a real RocksDB."""

    def __init__(self, folder: Path) -> None:
        codec = Codec()
        self.store = Store(folder / "shard", Memory.of(8 << 20))
        self.real = Shard(
            3,
            self.store,
            ShardSettings(
                shards=12,
                clock_topics=frozenset({TOPIC}),
                dead_letters=codec["DeadLetter"],
                dead_letters_topic="dead.letters",
                expiry_hold_ms=300_000,
            ),
        )
        self.codec = codec
        self.shard: ShardPort = self.real
        self.stage: Scripted | None = None
        self._sent: list[tuple[str, int, bytes | None]] = []

    def run(self, *records: Record) -> None:
        assert self.stage is not None
        if TOPIC not in self.real.inputs:
            self.real.add_stage(self.stage)
        self.real.take(TOPIC, 0, records)
        while self.real.has_work:
            self.real.run(1_000, lambda: False)
        self._sent += [(topic, partition, value) for topic, partition, _, value in self.real.seal({})]
        self.real.committed({})

    def outputs(self) -> list[tuple[str, int, bytes]]:
        return [
            (topic, partition, value or b"")
            for topic, partition, value in self._sent
            if topic != "dead.letters"
        ]

    def dead(self) -> list[str]:
        return [
            self.codec.decode_as("DeadLetter", value)["code"]
            for topic, _, value in self._sent
            if topic == "dead.letters"
        ]

    def row(self, key: bytes) -> bytes | None:
        return self.store.get(key)


@pytest.fixture(params=["memory", "engine"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> InMemory | OnRocks:
    return InMemory() if request.param == "memory" else OnRocks(tmp_path)


def record(offset: int, value: bytes = b"value", timestamp: int = 1_000) -> MemoryRecord:
    return MemoryRecord(topic=TOPIC, key=b"key", value=value, partition=3, offset=offset, timestamp=timestamp)


def test_what_a_record_writes_is_there_for_the_next(subject: InMemory | OnRocks) -> None:
    """Reads see every write of the unit so far, and deletions too."""
    seen: list[bytes | None] = []

    def work(one: Record) -> bytes:
        state = subject.shard.state
        seen.append(state.get(KEY))
        if one.offset == 2:
            state.delete(KEY)
        else:
            state.put(KEY, str(one.offset).encode())
        return DONE

    subject.stage = Scripted(work)
    subject.run(record(0), record(1), record(2), record(3))
    assert seen == [None, b"0", b"1", None]
    assert subject.row(KEY) == b"3"


def test_a_record_that_fails_is_taken_back_whole_and_the_rest_goes_on(subject: InMemory | OnRocks) -> None:
    """A failing record leaves no row, no output, no count: only a dead letter with its code."""

    def work(one: Record) -> bytes:
        shard = subject.shard
        shard.state.put(KEY, b"first of %d" % one.offset)
        shard.emit("ingest.results", b"k", b"out %d" % one.offset, 3)
        shard.state.put(KEY, b"second of %d" % one.offset)
        shard.state.delete_range(b"\x31", b"\x32")
        if one.value == b"bad":
            raise RecordError("this one cannot be processed")
        return DONE

    subject.stage = Scripted(work)
    subject.run(record(0), record(1, b"bad"))
    assert subject.row(KEY) == b"second of 0"
    subject.run(record(1, b"bad"), record(2))
    assert subject.row(KEY) == b"second of 2"
    assert [value for _, _, value in subject.outputs()] == [b"out 0", b"out 2"]
    assert set(subject.dead()) == {"RECORD"}


def test_an_output_that_its_topic_does_not_take_fails_the_record_not_the_unit(
    subject: InMemory | OnRocks,
) -> None:
    """An oversize output is found before a transaction begins."""

    def work(one: Record) -> bytes:
        subject.shard.state.put(KEY, b"%d" % one.offset)
        size = limits.RECORD_BYTES_MAX if one.value == b"huge" else 10
        subject.shard.emit("ingest.results", b"", b"x" * size, 3)
        return DONE

    subject.stage = Scripted(work)
    subject.run(record(0), record(1, b"huge"), record(2))
    assert subject.dead() == [Oversize.code]
    assert len(subject.outputs()) == 2
    assert subject.row(KEY) == b"2"


def test_a_range_that_is_deleted_is_gone_when_the_unit_is_done(subject: InMemory | OnRocks) -> None:
    """delete_range forgets [start, end) and nothing else."""

    def work(one: Record) -> bytes:
        state = subject.shard.state
        if one.offset == 0:
            for last in range(4):
                state.put(bytes([0x31, last]), b"row")
        else:
            state.delete_range(bytes([0x31, 1]), bytes([0x31, 3]))
        return DONE

    subject.stage = Scripted(work)
    subject.run(record(0))
    subject.run(record(1))
    assert [subject.row(bytes([0x31, last])) for last in range(4)] == [b"row", None, None, b"row"]


def test_a_filter_never_denies_what_is_there(subject: InMemory | OnRocks) -> None:
    """may_contain is False only for keys that are certainly absent (D10)."""
    answers: list[bool] = []

    def work(_: Record) -> bytes:
        state = subject.shard.state
        answers.append(state.may_contain(KEY))
        state.put(KEY, b"there")
        answers.append(state.may_contain(KEY))
        return DONE

    subject.stage = Scripted(work)
    subject.run(record(0))
    subject.run(record(1))
    assert answers == [False, True, True, True]
