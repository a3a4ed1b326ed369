"""Keeps a library that says one thing hundreds of times from filling the log.

A message is told apart by its logger, its level and its text before arguments are filled in: "Unable connect to node
with id %s" is one, whatever the node. The first goes through at once. What follows within ten seconds is counted, and
the next one that goes through, or a summary when nothing came for ten seconds, says how many were left out: nothing is
dropped without a number. Tested in tests/observe/test_floods.py.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

WINDOW_S = 10.0
KINDS_MAX = 500
"""Messages that are told apart at a time; libraries have fewer. A text that was put together beforehand is new each
time, and must not fill the memory."""


@dataclass(slots=True)
class _Flood:
    """One message, since it was last let through."""

    passed_at_s: float
    suppressed: int
    last: logging.LogRecord
    seen_at_s: float


class Floodgate:
    """Decides which records go through."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._floods: dict[tuple[str, int, str], _Flood] = {}

    def passes(self, record: logging.LogRecord) -> bool:
        """Whether to write a record; what was left out before it is noted in its `suppressed`."""
        now_s = self._now_s()
        key = (record.name, record.levelno, str(record.msg))
        flood = self._floods.get(key)
        if flood is not None and now_s - flood.passed_at_s < WINDOW_S:
            flood.suppressed += 1
            flood.last, flood.seen_at_s = record, now_s
            return False
        self._floods.pop(key, None)  # to the end: the oldest goes first
        while len(self._floods) >= KINDS_MAX:
            del self._floods[next(iter(self._floods))]
        self._floods[key] = _Flood(now_s, 0, record, now_s)
        if flood is not None and flood.suppressed:
            record.suppressed = flood.suppressed
        return True

    def over(self, *, at_end: bool = False) -> Iterator[logging.LogRecord]:
        """Give the last record of each flood that is over, with the number of those before it that were left out."""
        now_s = self._now_s()
        for key, flood in list(self._floods.items()):
            if not (at_end or now_s - flood.seen_at_s >= WINDOW_S):
                continue
            del self._floods[key]
            if flood.suppressed:
                if flood.suppressed > 1:
                    flood.last.suppressed = flood.suppressed - 1
                yield flood.last


class CalmHandler(logging.StreamHandler[Any]):
    """Writes what the gate lets through, and the end of each flood before whatever comes next."""

    def __init__(self, stream: Any, gate: Floodgate | None = None) -> None:  # noqa: ANN401  # any text stream
        super().__init__(stream)
        self._gate = gate or Floodgate()

    def emit(self, record: logging.LogRecord) -> None:
        if self._gate.passes(record):
            self._write_ends()
            super().emit(record)

    def close(self) -> None:
        """Say what was left out last; called at the end of the process."""
        self._write_ends(at_end=True)
        super().close()

    def _write_ends(self, *, at_end: bool = False) -> None:
        for last in self._gate.over(at_end=at_end):
            super().emit(last)
