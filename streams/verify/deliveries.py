"""Judges the delivery topics: what is owed to an attached endpoint came exactly once, and nothing else.

Needs the attachments (commands, then replay.updates) first and the inboxes' heads at the end. What an
attachment owes may come on the endpoint's route or in its replay, once in all. Two attachments of an endpoint
share no number on its route (a later one's route begins above the head at its attach), so one set of runs an
endpoint is enough. Tested in tests/verify/test_judge.py, each fault planted once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from streams.verify.heads import Heads
from streams.verify.runs import Runs

if TYPE_CHECKING:
    from streams.codec import Codec
    from streams.ports import Record
    from streams.verify.attachments import Attachment, AttachmentBook, Endpoint
    from streams.verify.report import Report

_NOTHING = Runs()

HeadOf = Callable[[str], tuple[int, int]]
"""Account -> greatest (epoch, seq) of its inbox."""


class DeliveryAudit:
    """All endpoints' routes."""

    def __init__(self, codec: Codec, book: AttachmentBook, routes: Mapping[str, str]) -> None:
        """`routes`: route -> topic; the first is the default."""
        self._heads = Heads(codec, "EndpointUpdate", "endpoint_id")
        self._book = book
        self._routes = routes
        self._default_topic = next(iter(routes.values()))
        self._seen: dict[bytes, dict[int, Runs]] = {}
        self._topics: dict[bytes, frozenset[str]] = {}
        self._faults: list[tuple[str, str, int]] = []
        self.deliveries = 0

    def take(self, records: Iterable[Record]) -> None:
        """From a delivery topic, in log order per partition."""
        for record in records:
            self.deliveries += 1
            key = record.key or b""
            fields = self._heads.read(record.value)
            epoch, first, seq = fields["epoch"], fields["seq_first"], fields["seq"]
            by_epoch = self._seen.get(key)
            if by_epoch is None:
                by_epoch = self._seen[key] = {}
                self._topics[key] = self._topics_of(key)
            runs = by_epoch.get(epoch)
            if runs is None:
                runs = by_epoch[epoch] = Runs()
            if record.topic not in self._topics[key]:
                text = f"endpoint {_name(key)}: {epoch}/{seq} on {record.topic}, which is not its route"
                self._faults.append(("delivery_unowed", text, 1))
            elif known := runs.add(first, seq):
                text = f"endpoint {_name(key)}: {epoch}/{first}..{seq} again on {record.topic}"
                self._faults.append(("delivery_doubled", text, known))

    def judge(self, report: Report, head_of: HeadOf, *, is_trimmed: bool) -> None:
        """Write counters and faults; where oldest deliveries are gone, what is missing cannot be told."""
        report.count("deliveries", self.deliveries + self._book.replayed)
        for name, offender, amount in self._faults:
            report.fault(name, offender, amount)
        for key, endpoint in self._book.endpoints.items():
            account = key.split(b"\0")[0].decode()
            self._judge_endpoint(report, key, endpoint, head_of(account), is_trimmed=is_trimmed)
        for key in self._seen.keys() - self._book.endpoints.keys():
            amount = sum(map(len, self._seen[key].values()))
            report.fault("delivery_unowed", f"endpoint {_name(key)} was never registered", amount)

    def _judge_endpoint(
        self, report: Report, key: bytes, endpoint: Endpoint, head: tuple[int, int], *, is_trimmed: bool
    ) -> None:
        allowed: dict[int, Runs] = {}
        for attachment in endpoint.attachments:
            inbox_head = head[1] if head[0] == attachment.epoch else attachment.head
            seen = self._seen.get(key, {}).get(attachment.epoch, _NOTHING)
            first, last = attachment.owed(inbox_head)
            last_allowed = max(attachment.allowed_last(inbox_head), last)
            came, twice = _came(attachment, seen, last_allowed)
            if twice:
                text = f"endpoint {_name(key)}: {twice} of {attachment.epoch}/{first}..{last} came twice"
                report.fault("delivery_doubled", text, twice)
            for start, end in () if is_trimmed else came.holes(max(first, attachment.excused_to + 1), last):
                text = f"endpoint {_name(key)}: nothing of {attachment.epoch}/{start}..{end}"
                report.fault("delivery_missing", text, end - start + 1)
            if attachment.head < last_allowed:
                allowed.setdefault(attachment.epoch, Runs()).add(attachment.head + 1, last_allowed)
        for epoch, seen in self._seen.get(key, {}).items():
            for start, end in seen.without(allowed.get(epoch, _NOTHING)):
                text = f"endpoint {_name(key)}: {epoch}/{start}..{end} while it was not attached"
                report.fault("delivery_unowed", text, end - start + 1)

    def _topics_of(self, key: bytes) -> frozenset[str]:
        endpoint = self._book.endpoints.get(key)
        routes = endpoint.routes if endpoint is not None else set()
        return frozenset(self._routes.get(route, self._default_topic) for route in routes)


def _came(attachment: Attachment, seen: Runs, last_allowed: int) -> tuple[Runs, int]:
    """Return what came for an attachment, by replay and on the route, and how many of it came twice.

    What the route carries up to the head at the attach belongs to earlier attachments.
    """
    came, twice = Runs(), attachment.replayed_twice
    for start, end in attachment.replayed:
        came.add(start, end)
    for start, end in _within(seen, attachment.head + 1, last_allowed):
        twice += came.add(start, end)
    return came, twice


def _within(runs: Runs, first: int, last: int) -> Iterable[tuple[int, int]]:
    for start, end in runs:
        if start <= last and end >= first:
            yield max(start, first), min(end, last)


def _name(key: bytes) -> str:
    return key.decode(errors="replace").replace("\0", "/")
