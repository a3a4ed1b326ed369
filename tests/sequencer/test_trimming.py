"""When the oldest updates of an inbox are forgotten (streams/sequencer/trimming.py)."""

from __future__ import annotations

from streams.sequencer.trimming import TRIM_EVERY, TRIM_ROWS, candidate, is_due
from streams.tables.inboxes import Inbox


def test_a_look_is_taken_every_few_appends_and_only_at_rows_that_may_go() -> None:
    """The youngest of the rows that would go together decides, and the newest update never goes."""
    looks = {head: candidate(Inbox(1, head + 1, 1)) for head in range(1, 100)}
    assert {head for head, seq in looks.items() if seq is not None} == {48, 64, 80, 96}
    assert set(looks.values()) == {None, TRIM_ROWS}
    assert candidate(Inbox(1, 65, 40)) is None


def test_a_long_queue_shrinks() -> None:
    """More rows go at a look than come between two looks."""
    assert TRIM_ROWS > TRIM_EVERY


def test_an_update_is_due_when_it_is_older_than_the_queue_keeps_it() -> None:
    """Not yet at exactly that age."""
    assert not is_due(server_at_ms=100, now_ms=150, kept_ms=50)
    assert is_due(server_at_ms=100, now_ms=151, kept_ms=50)
