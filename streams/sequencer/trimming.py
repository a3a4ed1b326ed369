"""When the oldest updates of an inbox are forgotten.

Pure. An update is forgotten when it is older than the queue keeps it, which is a day less than Kafka keeps
inbox.updates: so the first kept seq always moves by a decision inside a unit of work, never because a log
ran out under it. Cheap by doing it rarely: every TRIM_EVERY appends at most TRIM_ROWS rows go, all of them
or none, so that one look at the youngest of them decides. TRIM_ROWS > TRIM_EVERY, so a long queue shrinks.
Up to TRIM_ROWS old updates stay. Tested in tests/sequencer/test_trimming.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from streams.tables.inboxes import Inbox

TRIM_EVERY: Final = 16
"""Appends to one inbox between two looks at its oldest updates."""

TRIM_ROWS: Final = 32
"""Updates forgotten at once."""


def candidate(inbox: Inbox) -> int | None:
    """Return the seq whose age decides, or None when this append does not look."""
    if inbox.head % TRIM_EVERY:
        return None
    last = inbox.seq_first_kept + TRIM_ROWS - 1
    return last if last < inbox.head else None


def is_due(server_at_ms: int, now_ms: int, kept_ms: int) -> bool:
    """Whether an update accepted then is no longer kept now."""
    return server_at_ms + kept_ms < now_ms
