"""A shard: partition p of every pipeline topic, with its state, its inputs, its clock and what its stages sent.

Implements ports.Shard. `run` works on what the inputs have fetched, record by record, and leaves the effects staged:
rows in the overlay, outputs in a list. `seal` ends the unit and gives what it sends; while it commits, `run` may go on
with the next. Nothing is visible to anybody until the worker's unit of work commits; a record that fails is taken back
whole and becomes a dead letter.
Tested in tests/contract/test_shard_contract.py and tests/engine/test_shard.py.
"""

from __future__ import annotations

import struct
import sys
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from streams.codec import Format
from streams.engine.overlay import Overlay
from streams.engine.store import Store
from streams.errors import Oversize, RecordError, TrimmedBelowProgress
from streams.ids import placing
from streams.limits import DEAD_LETTER_BYTES_MAX, EXPANSION_STEP, RECORD_BYTES_MAX, RECORD_OVERHEAD_BYTES
from streams.observe.units import Served
from streams.ports import DONE, Record, Stage
from streams.tables import CLOCK, INPUTS, PROGRESS

Output = tuple[str, int, bytes, bytes | None]
"""Topic, partition, key, value (None is a tombstone)."""

_PROGRESS = struct.Struct(">BQ")
_CLOCK = struct.Struct(">BQQ")
_VERSION = 1


class ShardSettings(NamedTuple):
    """What every shard of a worker shares."""

    shards: int
    clock_topics: frozenset[str]
    dead_letters: Format
    dead_letters_topic: str
    expiry_hold_ms: int
    """A jump of the clock beyond this holds expiry until the clock has moved as far again in small steps (D20)."""
    input_records_max: int = 4_000
    """Records that one input may hold in memory."""
    input_bytes_max: int = 8 << 20
    """Bytes that one input may hold in memory; one fetch may pass it once."""


class Input:
    """One input topic of a shard: what is fetched but not processed, and how far the shard has come."""

    __slots__ = ("bytes_pending", "cursor", "fetched_to", "is_new", "next_offset", "pending", "topic")

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.pending: deque[Record] = deque()
        self.bytes_pending = 0
        self.next_offset = 0
        """Progress: the first offset that is not processed; committed with the unit."""
        self.cursor = DONE
        self.fetched_to = 0
        """The first offset that is not in memory yet."""
        self.is_new = True
        """Whether this input has no progress yet: it begins at the log's start."""

    def restore(self, row: bytes | None) -> None:
        """Take the progress from its state row; a missing row is a new input."""
        if row is not None:
            _, self.next_offset = _PROGRESS.unpack_from(row)
            self.cursor = row[_PROGRESS.size :]
            self.is_new = False
        self.fetched_to = self.next_offset

    def begin_anew(self) -> None:
        """Forget the progress: it counts in a topic that is no more."""
        self.next_offset = self.fetched_to = 0
        self.cursor = DONE
        self.is_new = True

    def begin_at(self, log_start: int) -> None:
        """Compare with the log: a new input begins at its start; progress below it is a named stop."""
        if self.is_new:
            self.next_offset = self.fetched_to = max(self.next_offset, log_start)
        elif self.next_offset < log_start:
            raise TrimmedBelowProgress(
                f"{self.topic} begins at {log_start}, but this shard has processed only up to {self.next_offset}: "
                f"{log_start - self.next_offset} records were trimmed unread; the shard stays closed until an "
                "operator accepts the loss (`lockstep accept-loss`)"
            )


class Shard:
    """State, inputs and outputs of one owned shard; implements ports.Shard."""

    def __init__(self, number: int, store: Store, settings: ShardSettings) -> None:
        self.number = number
        self.store = store
        self.settings = settings
        self.shard_of = placing(settings.shards)
        self.overlay = Overlay(store)
        self.state = self.overlay
        self.inputs: dict[str, Input] = {}
        self.outputs: list[Output] = []
        self.counters: Counter[str] = Counter()
        self._counted: list[str] = []
        self._served: list[Served] = []
        self.sealed_served: list[Served] = []
        """What the sealed unit finished, input by input; for whoever measures."""
        self._stages: dict[str, Stage] = {}
        self._advanced: set[str] = set()
        self.unit_records = 0
        """Records in the unit in the making, as `run` counts them."""
        self.unit_bytes = 0
        """Bytes of keys and values that the unit in the making sends, its changelog left out."""
        self._sealed_to: dict[str, int] = {}
        self._sealed_counted: list[str] = []
        self._topic_ids: dict[str, bytes] = {}
        self.now_ms = 0
        self._hold_until_ms = 0
        clock = self.overlay.get(CLOCK.byte)
        if clock is not None:
            _, self.now_ms, self._hold_until_ms = _CLOCK.unpack(clock)
        self.committed_to: dict[str, int] = {}
        """Input topic -> progress as of the last committed unit of this tenure."""
        self.claim_number = 0
        """Number of the claim under which the shard is owned: the fencing token."""

    def add_stage(self, stage: Stage) -> None:
        """Give the shard one of its stages; each input topic has one."""
        for topic in stage.topics:
            self._stages[topic] = stage
            one = self.inputs[topic] = Input(topic)
            one.restore(self.overlay.get(progress_key(topic)))

    def begin_input(self, topic: str, log_start: int, log_end: int, topic_id: str) -> int | None:
        """Compare an input's progress with the topic as it is; raises TrimmedBelowProgress.

        Returns None, or for a topic that was deleted and made anew (another id, or an end below the progress) the
        progress that counts no more: the input begins at the new log's start, and the next unit says so.
        """
        one = self.inputs[topic]
        before, row = self.overlay.get(topic_id_key(topic)), topic_id_row(topic_id)
        self._topic_ids[topic] = row
        lost = None
        if not one.is_new and (before not in {None, row} or one.next_offset > log_end):
            lost = one.next_offset
            one.begin_anew()
            self._advanced.add(topic)
        one.begin_at(log_start)
        return lost

    def accept_loss(self, topic: str, log_start: int) -> None:
        """Pass over what an operator gave up: go on at the log's start, which the next unit writes down."""
        one = self.inputs[topic]
        one.next_offset = one.fetched_to = log_start
        one.cursor = DONE
        self._advanced.add(topic)

    # -- ports.Shard ---------------------------------------------------------------------------------------------

    @property
    def is_expiry_held(self) -> bool:
        return self.now_ms < self._hold_until_ms

    def emit(self, topic: str, key: bytes, value: bytes, partition: int) -> None:
        size = len(key) + len(value)
        if size + RECORD_OVERHEAD_BYTES > RECORD_BYTES_MAX:
            size += RECORD_OVERHEAD_BYTES
            raise Oversize(f"{topic} takes records of {RECORD_BYTES_MAX} bytes, this one would have {size}")
        self.unit_bytes += size
        self.outputs.append((topic, partition, key, value))

    def dead_letter(self, record: Record, code: str, detail: str) -> None:
        value = self.settings.dead_letters.encode(
            {
                "topic": record.topic,
                "partition": record.partition,
                "offset": record.offset,
                "key": record.key,
                "value": _fitting(record.value),
                "headers": [{"key": key, "value": header} for key, header in record.headers],
                "code": code,
                "detail": detail[:1_000],
                "at_ms": record.timestamp,
            }
        )
        self.outputs.append((self.settings.dead_letters_topic, self.number, record.key or b"", value))
        self.unit_bytes += len(value)
        self.count("engine.dead_letters")
        self.count(f"engine.dead_letters_by_code.{code}")

    def count(self, metric: str, amount: int = 1) -> None:
        if amount == 1:
            self._counted.append(metric)
        else:
            self._counted += [metric] * amount

    # -- Input -----------------------------------------------------------------------------------------------------

    def take(self, topic: str, start: int, records: Sequence[Record]) -> bool:
        """Add what was fetched from offset `start` on.

        Returns False, and takes nothing, when that leaves out what lies between (the host threw a batch away in a
        rebalance): the caller seeks to `fetched_to` again. What is already there is skipped.
        """
        one = self.inputs[topic]
        if start > one.fetched_to:
            return False
        if not records or records[-1].offset < one.fetched_to:
            return True
        fresh = (
            records
            if records[0].offset >= one.fetched_to
            else [r for r in records if r.offset >= one.fetched_to]
        )
        one.pending.extend(fresh)
        one.bytes_pending += sum(len(record.value or b"") for record in fresh)
        one.fetched_to = fresh[-1].offset + 1
        return True

    def has_room(self, topic: str) -> bool:
        """Whether more of a topic may be fetched."""
        one = self.inputs[topic]
        settings = self.settings
        return len(one.pending) < settings.input_records_max and one.bytes_pending < settings.input_bytes_max

    @property
    def has_work(self) -> bool:
        """Whether a record is waiting or half done."""
        return any(one.pending for one in self.inputs.values())

    # -- Unit of work ------------------------------------------------------------------------------------------------

    def run(self, budget: int, is_over: Callable[[], bool], budget_bytes: int = sys.maxsize) -> int:
        """Process up to `budget` records, or until `is_over`; return how many. Effects stay staged.

        A step of a long expansion counts as limits.EXPANSION_STEP records. No record is begun once what is sent
        reaches `budget_bytes`. Inputs are served in turn.
        """
        done, full_at = 0, self.unit_bytes + budget_bytes
        for one in self.inputs.values():
            if not one.pending:
                continue
            share = budget - done
            if share <= 0 or self.unit_bytes >= full_at or is_over():
                break
            done += self._run_input(one, share, is_over, full_at)
        self.unit_records += done
        return done

    def _run_input(self, one: Input, budget: int, is_over: Callable[[], bool], full_at: int) -> int:
        stage = self._stages[one.topic]
        is_clock = one.topic in self.settings.clock_topics
        # Measured hot loop: everything that can be is a local name.
        pending, outputs, counted = one.pending, self.outputs, self._counted
        process, mark, roll_back = stage.process, self.overlay.mark, self.overlay.roll_back
        cursor, done = one.cursor, 0
        oldest = record = pending[0]
        waiting = len(pending)
        while pending and done < budget and self.unit_bytes < full_at:
            record = pending[0]
            if is_clock and record.timestamp > self.now_ms:
                self._advance_clock(record.timestamp)
            before, outputs_before, counted_before = mark(), len(outputs), len(counted)
            bytes_before = self.unit_bytes
            try:
                cursor = process(record, cursor)
            except RecordError as error:
                roll_back(before)
                del outputs[outputs_before:], counted[counted_before:]
                self.unit_bytes = bytes_before
                self.dead_letter(record, error.code, str(error))
                cursor = DONE
            if cursor:
                done += EXPANSION_STEP
            else:
                done += 1
                pending.popleft()
                one.bytes_pending -= len(record.value or b"")
                one.next_offset = record.offset + 1
            if not done & 63 and is_over():
                break
        one.cursor = cursor
        self._advanced.add(one.topic)
        if finished := waiting - len(pending):
            self._served.append(Served(one.topic, finished, oldest, record))
        return done

    @property
    def has_unit(self) -> bool:
        """Whether something was done, or an input begins anew, and no commit covers it yet."""
        return bool(self._advanced)

    def seal(self, changelogs: Mapping[int, str]) -> list[Output]:
        """End the unit in the making and return what it sends, with the changelog of its rows.

        `changelogs`: first byte of a key -> topic; other rows have none. What is run from now on belongs to the next
        unit, which must not be sealed before this one is committed.
        """
        self._stage_progress()
        self.unit_records = self.unit_bytes = 0
        self.overlay.seal()
        outputs, self.outputs = self.outputs, []
        self._sealed_counted, self._counted = self._counted, []
        self.sealed_served, self._served = self._served, []
        number = self.number
        for key, value in self.overlay.sealed.items():
            topic = changelogs.get(key[0])
            if topic is not None:
                outputs.append((topic, number, key, value))
        return outputs

    def _stage_progress(self) -> None:
        """Put the progress of every advanced input, and the clock, among the unit's writes."""
        self._sealed_to = {topic: self.inputs[topic].next_offset for topic in self._advanced}
        for topic in self._advanced:
            one = self.inputs[topic]
            self.overlay.put(progress_key(topic), progress_row(one.next_offset, one.cursor))
            row = self._topic_ids.get(topic)
            if row is not None and self.overlay.get(topic_id_key(topic)) != row:
                self.overlay.put(topic_id_key(topic), row)
            one.is_new = False
        if self._advanced & self.settings.clock_topics:
            self.overlay.put(CLOCK.byte, _CLOCK.pack(_VERSION, self.now_ms, self._hold_until_ms))
        self._advanced.clear()

    def committed(self, markers: Mapping[str, int]) -> Sequence[str]:
        """Write the sealed unit to the local store; return what it counted: the name of each event."""
        self.overlay.committed(dict(markers))
        self.committed_to |= self._sealed_to
        return self._sealed_counted

    def _advance_clock(self, to_ms: int) -> None:
        """Move the shard clock; a jump holds expiry until the clock has moved on in small steps (D20)."""
        hold = self.settings.expiry_hold_ms
        if self.now_ms and to_ms - self.now_ms > hold:
            self._hold_until_ms = to_ms + hold
            self.count("engine.clock_jumps")
        self.now_ms = to_ms


def progress_key(topic: str) -> bytes:
    """Return the state key of an input's progress."""
    return PROGRESS.byte + topic.encode()


def progress_row(next_offset: int, cursor: bytes) -> bytes:
    """Return the state row of an input's progress: version, next offset (8 bytes, big-endian), cursor."""
    return _PROGRESS.pack(_VERSION, next_offset) + cursor


def topic_id_key(topic: str) -> bytes:
    """Return the state key of the id of an input's topic."""
    return INPUTS.byte + topic.encode()


def topic_id_row(topic_id: str) -> bytes:
    """Return the state row of a topic's id (32 hexadecimal digits): version, 16 bytes."""
    return bytes((_VERSION,)) + bytes.fromhex(topic_id)


def parse_progress(row: bytes) -> tuple[int, bytes]:
    """Return (next offset, cursor) of a progress row."""
    return _PROGRESS.unpack_from(row)[1], row[_PROGRESS.size :]


def parse_clock(row: bytes) -> tuple[int, int]:
    """Return (shard clock, until when expiry is held), both in milliseconds since 1970, of the clock's row."""
    _, now_ms, hold_until_ms = _CLOCK.unpack(row)
    return now_ms, hold_until_ms


def _fitting(value: bytes | None) -> bytes | None:
    """Return the value, cut only where it could not be kept at all (larger than any pipeline topic takes)."""
    return None if value is None else value[: DEAD_LETTER_BYTES_MAX - 65_536]
