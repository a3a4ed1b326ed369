"""Judges inbox.updates: numbers of each inbox, order of each thread in it, one update a member and position.

Needs the threads (all of thread.messages) before the first update. Memory: a few runs an inbox and thread.
Tested in tests/verify/test_judge.py, each fault planted once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from streams.verify.heads import Heads
from streams.verify.runs import Runs

if TYPE_CHECKING:
    from streams.codec import Codec
    from streams.ports import Record
    from streams.verify.report import Report
    from streams.verify.threads import Thread

_NOTHING = Runs()


class _Inbox:
    __slots__ = ("epochs", "highest", "last_position", "positions")

    def __init__(self) -> None:
        self.epochs: dict[int, Runs] = {}
        self.highest = (0, 0)
        """Greatest (epoch, seq) so far."""
        self.positions: dict[str, Runs] = {}
        self.last_position: dict[str, int] = {}


class InboxAudit:
    """All inboxes."""

    def __init__(self, codec: Codec, threads: Mapping[str, Thread]) -> None:
        self._heads = Heads(codec, "InboxUpdate", "sender_id")
        self._threads = threads
        self._inboxes: dict[str, _Inbox] = {}
        self._misordered: dict[str, str] = {}
        self._faults: list[tuple[str, str, int]] = []
        self.updates = 0

    def take(self, records: Iterable[Record]) -> None:
        """From the inbox update topic, in log order per partition."""
        for record in records:
            self.updates += 1
            fields = self._heads.read(record.value)
            account, epoch, first, seq = (
                fields["account_id"],
                fields["epoch"],
                fields["seq_first"],
                fields["seq"],
            )
            inbox = self._inboxes.get(account)
            if inbox is None:
                inbox = self._inboxes[account] = _Inbox()
            runs = inbox.epochs.get(epoch)
            if runs is None:
                runs = inbox.epochs[epoch] = Runs()
            if known := runs.add(first, seq):
                self._faults.append(("inbox_doubled", f"inbox {account} {epoch}/{first}..{seq} again", known))
            elif (epoch, first) < inbox.highest:
                text = f"inbox {account}: {epoch}/{first} after {inbox.highest[0]}/{inbox.highest[1]}"
                self._faults.append(("inbox_gaps", text, 1))
            inbox.highest = max(inbox.highest, (epoch, seq))
            if position := fields["thread_position"]:
                self._take_position(account, inbox, fields["thread_id"], position, fields["message_id"])

    def _take_position(self, account: str, inbox: _Inbox, thread: str, position: int, message: bytes) -> None:
        last = inbox.last_position.get(thread, 0)
        where = f"inbox {account}: thread {thread} position {position}"
        if position < last:
            self._misordered.setdefault(account, f"{where} after {last}")
        else:
            inbox.last_position[thread] = position
        runs = inbox.positions.get(thread)
        if runs is None:
            runs = inbox.positions[thread] = Runs()
        if runs.add(position, position):
            self._faults.append(("inbox_doubled", f"{where} again", 1))
        known = self._threads.get(thread)
        if known is not None and known.message_at(position) not in (message, None):
            self._faults.append(("inbox_gaps", f"{where} is another message than the thread's", 1))

    def head_of(self, account: str) -> tuple[int, int]:
        """Return the greatest (epoch, seq) of an inbox; (0, 0) when it is empty."""
        inbox = self._inboxes.get(account)
        return inbox.highest if inbox is not None else (0, 0)

    def judge(self, report: Report, *, is_trimmed: bool, are_threads_trimmed: bool) -> None:
        """Write counters and faults. Where records are gone, only what is kept must fit together."""
        report.count("updates", self.updates)
        for name, offender, amount in self._faults:
            report.fault(name, offender, amount)
        for offender in self._misordered.values():
            report.fault("thread_order_violations", offender)
        for account, inbox in self._inboxes.items():
            for epoch, runs in inbox.epochs.items():
                start = 1 if epoch == min(inbox.epochs) and not is_trimmed else next(iter(runs))[0]
                for first, last in runs.holes(start, runs.last):
                    report.fault(
                        "inbox_gaps", f"inbox {account}: no {epoch}/{first}..{last}", last - first + 1
                    )
        self._judge_members(report, is_trimmed=is_trimmed, are_threads_trimmed=are_threads_trimmed)

    def _judge_members(self, report: Report, *, is_trimmed: bool, are_threads_trimmed: bool) -> None:
        for name, thread in self._threads.items():
            if are_threads_trimmed and thread.first != 1:
                continue  # its members at the first kept position are not known
            owed_to = dict(thread.members())
            for account, owed in owed_to.items():
                seen = self._positions(account, name)
                for first, last in () if is_trimmed else owed.without(seen):
                    text = f"inbox {account}: nothing of thread {name} {first}..{last}"
                    report.fault("inbox_gaps", text, last - first + 1)
                for first, last in seen.without(owed):
                    text = f"inbox {account}: thread {name} {first}..{last}, but was no member"
                    report.fault("inbox_doubled", text, last - first + 1)
        self._judge_strangers(report, are_threads_trimmed=are_threads_trimmed)

    def _judge_strangers(self, report: Report, *, are_threads_trimmed: bool) -> None:
        members = {
            name: {account for account, _ in thread.members()} for name, thread in self._threads.items()
        }
        for account, inbox in self._inboxes.items():
            for name, runs in inbox.positions.items():
                known = members.get(name)
                if (known is None and not are_threads_trimmed) or (
                    known is not None and account not in known and self._threads[name].first == 1
                ):
                    text = f"inbox {account}: {len(runs)} updates of thread {name}, but never a member"
                    report.fault("inbox_doubled", text, len(runs))

    def _positions(self, account: str, thread: str) -> Runs:
        inbox = self._inboxes.get(account)
        return _NOTHING if inbox is None else inbox.positions.get(thread, _NOTHING)
