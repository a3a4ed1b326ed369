"""What a worker notes of its units of work: once a unit, never once a record.

The host calls `done` when a unit is committed; whatever shows figures (metrics, the live page) reads the rest. All of
it is memory of this process and gone with it. Tested in tests/observe/test_units.py; what it costs is measured by
`python -m bench.observing`.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from streams.errors import LockstepError
from streams.observe import metrics
from streams.observe.histogram import Histogram
from streams.ports import Record

DEAD_LETTERS_KEPT = 20
"""Dead letters that are remembered, the newest."""
_DETAIL_CHARACTERS = 300

BornAt = Callable[[Record], int]
"""A record -> when the request that caused it was appended, in milliseconds since 1970."""

ReadDeadLetter = Callable[[bytes], Mapping[str, Any]]
"""A value of dead.letters -> its fields; never fails, since this process wrote it."""

_TOPIC = itemgetter(0)


class Served(NamedTuple):
    """What a unit finished of one input of one shard."""

    topic: str
    records: int
    oldest: Record
    newest: Record


class Phases(NamedTuple):
    """Seconds that a unit took: its stages, its changelog and transaction, its local batches."""

    run: float
    commit: float
    local: float


class Units:
    """The units of one worker."""

    def __init__(
        self,
        inputs: Iterable[str] = (),
        born_at: Mapping[str, BornAt] | None = None,
        dead_letters_topic: str = "",
        read_dead_letter: ReadDeadLetter | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """`inputs`: topics that are read, so that each is counted from 0 on.

        `born_at`: the input topics whose records end at a recipient, and how to ask one for its request's time.
        """
        self._born_at = dict(born_at or {})
        self._read_dead_letter = read_dead_letter
        self._dead_letters_topic = dead_letters_topic
        self._now_s = now_s
        self.records_in: Counter[str] = Counter(dict.fromkeys(inputs, 0))
        """Input topic -> records finished."""
        self.records_out: Counter[str] = Counter()
        """Topic -> records written."""
        self.sizes = Histogram(metrics.UNIT_RECORDS.bounds)
        self.seconds = {phase: Histogram(metrics.UNIT_SECONDS.bounds) for phase in Phases._fields}
        self.latency = Histogram(metrics.LATENCY.bounds)
        self.dead_letters: deque[dict[str, Any]] = deque(maxlen=DEAD_LETTERS_KEPT)
        """The newest that this worker wrote, the newest last."""

    def done(
        self,
        served: Iterable[Served],
        outputs: Sequence[tuple[str, int, bytes, bytes | None]],
        phases: Phases,
    ) -> None:
        """Take in a committed unit; never raises for what a record holds."""
        committed_at_ms = (self._now_s() - phases.local) * 1_000
        finished = 0
        for one in served:
            finished += one.records
            self.records_in[one.topic] += one.records
            born_at = self._born_at.get(one.topic)
            if born_at is not None:
                self._delivered(one, born_at, committed_at_ms)
        self.sizes.add(finished)
        for phase, seconds in zip(Phases._fields, phases, strict=True):
            self.seconds[phase].add(seconds)
        written = Counter(map(_TOPIC, outputs))
        self.records_out.update(written)
        if written[self._dead_letters_topic]:
            self._remember(outputs)

    def _delivered(self, one: Served, born_at: BornAt, committed_at_ms: float) -> None:
        """Add the updates of one shard: they lie between its oldest and its newest record."""
        try:
            ages = [
                max(0.0, committed_at_ms - born_at(record)) / 1_000 for record in (one.oldest, one.newest)
            ]
        except LockstepError:  # one of the two is a dead letter: there is nothing to measure it by
            return
        self.latency.spread(min(ages), max(ages), one.records)

    def _remember(self, outputs: Sequence[tuple[str, int, bytes, bytes | None]]) -> None:
        """Keep the newest dead letters of a unit."""
        assert self._read_dead_letter is not None  # their topic is named, so there is a way to read them
        values = [value for topic, _, _, value in outputs if topic == self._dead_letters_topic and value]
        for value in values[-DEAD_LETTERS_KEPT:]:
            fields = self._read_dead_letter(value)
            self.dead_letters.append(
                {
                    "code": fields["code"],
                    "topic": fields["topic"],
                    "partition": fields["partition"],
                    "offset": fields["offset"],
                    "at_ms": fields["at_ms"],
                    "detail": fields["detail"][:_DETAIL_CHARACTERS],
                }
            )
