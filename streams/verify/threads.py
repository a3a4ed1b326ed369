"""Replays each thread from thread.messages: which message stands where, and who was a member then.

A thread's first members are `created_with`; ChangeMembers adds and removes. Members at a position are those
before it and those it adds; a member it removes still gets it, and nothing
after; who is named in both lists is removed. Written from the protocol,
not from the pipeline. Tested in tests/verify/test_judge.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from streams.ids import MESSAGE_ID_BYTES
from streams.verify.heads import Heads
from streams.verify.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.codec import Codec
    from streams.ports import Record
    from streams.verify.report import Report


class Thread:
    """One thread as far as its messages are kept."""

    __slots__ = ("_ids", "_since", "_stays", "first", "last")

    def __init__(self, first: int) -> None:
        self.first = first
        """First kept position."""
        self.last = first - 1
        self._ids = bytearray()
        self._since: dict[str, int] = {}
        self._stays: dict[str, Runs] = {}

    def take(
        self, message: bytes, created_with: Iterable[str] | None, add: Iterable[str], remove: Iterable[str]
    ) -> None:
        """Take the message at the next position."""
        self.last += 1
        self._ids += message
        leaving = frozenset(remove)
        for account in (*(created_with or ()), *(one for one in add if one not in leaving)):
            self._since.setdefault(account, self.last)
        for account in leaving:
            if (since := self._since.pop(account, None)) is not None:
                self._stays.setdefault(account, Runs()).add(since, self.last)

    def message_at(self, position: int) -> bytes | None:
        """Return the id of the message at a position, None when it is not there."""
        start = (position - self.first) * MESSAGE_ID_BYTES
        if not 0 <= start < len(self._ids):
            return None
        return bytes(self._ids[start : start + MESSAGE_ID_BYTES])

    def members(self) -> Iterator[tuple[str, Runs]]:
        """Give everyone who ever was a member, with the positions owed to them."""
        for account, since in self._since.items():
            runs = Runs()
            for first, last in self._stays.get(account, ()):
                runs.add(first, last)
            if since <= self.last:
                runs.add(since, self.last)
            yield account, runs
        yield from ((account, runs) for account, runs in self._stays.items() if account not in self._since)


class ThreadAudit:
    """All threads; `on_message` is told the id of each admitted operation."""

    def __init__(self, codec: Codec, on_message: Callable[[bytes], None]) -> None:
        self._heads = Heads(codec, "ThreadMessage", "content")
        self._on_message = on_message
        self.threads: dict[str, Thread] = {}
        self._faults: list[str] = []

    def take(self, records: Iterable[Record]) -> None:
        """From the thread message topic, in log order per partition."""
        for record in records:
            fields, tail = self._heads.read_with_tail(record.value)
            self._on_message(fields["message_id"])
            name, position = fields["thread_id"], fields["thread_position"]
            thread = self.threads.get(name)
            if thread is None:
                thread = self.threads[name] = Thread(position)
            if position != thread.last + 1:
                self._faults.append(f"thread {name}: {position} follows {thread.last}")
                continue
            change = self._change(fields, tail) if fields["kind"] == "change_members" else {}
            thread.take(
                fields["message_id"], fields["created_with"], change.get("add", ()), change.get("remove", ())
            )

    def judge(self, report: Report, *, is_trimmed: bool) -> None:
        """Positions of a thread are dense, from 1."""
        for fault in self._faults:
            report.fault("thread_gaps", fault)
        if not is_trimmed:
            for name, thread in self.threads.items():
                if thread.first != 1:
                    report.fault("thread_gaps", f"thread {name}: begins at {thread.first}")

    def _change(self, fields: dict[str, Any], tail: bytes | None) -> dict[str, Any]:
        content = fields["content"] if tail is None else self._heads.decode_tail(tail)["content"]
        changes: dict[str, Any] = content[1]
        return changes
