"""The whole verification, over any source of records: one topic after another, then the verdict.

Order: dead letters (they excuse requests), requests, answers, operations, threads, inboxes, commands,
replays, routes. Says nothing about work still under way: drain first. Tested in tests/verify/test_judge.py
and on Kafka in test_kafka.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from streams.topology.model import DEAD_LETTER_TOPIC
from streams.verify.attachments import AttachmentBook
from streams.verify.deliveries import DeliveryAudit
from streams.verify.inboxes import InboxAudit
from streams.verify.report import STORE_FAULTS, Report
from streams.verify.requests import RequestAudit
from streams.verify.threads import ThreadAudit

if TYPE_CHECKING:
    from streams.codec import Codec
    from streams.ports import Record
    from streams.topology import Topology
    from streams.verify.source import Source

OnProgress = Callable[[str, int, int | None], None]
"""Called with (topic, offsets read, offsets in all)."""

_JUDGED = (
    "SendRequest",
    "SendResult",
    "ThreadOperation",
    "ThreadMessage",
    "InboxUpdate",
    "EndpointCommand",
    "CommandResult",
)


class StoreFindings(NamedTuple):
    """What a look into the split store found: messages by name."""

    bodies_without_metadata: Sequence[str]
    metadata_without_body: Sequence[str]


def judged_topics(topology: Topology) -> tuple[str, ...]:
    """Return the topics that must be captured before `verify`."""
    routes = tuple(dict.fromkeys(topology.routes.values()))
    return (DEAD_LETTER_TOPIC, *map(topology.topic_of, _JUDGED), *routes)


async def verify(
    source: Source,
    topology: Topology,
    codec: Codec,
    *,
    store: StoreFindings | None = None,
    on_progress: OnProgress = lambda _topic, _done, _total: None,
) -> Report:
    """Read everything that is kept and judge it."""
    report = Report()
    topics = {record: topology.topic_of(record) for record in _JUDGED}
    routes = tuple(dict.fromkeys(topology.routes.values()))
    trimmed = frozenset(record for record, topic in topics.items() if _is_trimmed(source, topic))
    trimmed_routes = [topic for topic in routes if _is_trimmed(source, topic)]
    report.trimmed = sorted({*(topics[record] for record in trimmed), *trimmed_routes})

    requests = RequestAudit(codec, topics["SendRequest"])
    threads = ThreadAudit(codec, requests.take_message)
    inboxes = InboxAudit(codec, threads.threads)
    book = AttachmentBook(codec)
    deliveries = DeliveryAudit(codec, book, topology.routes)
    await _pour(source, DEAD_LETTER_TOPIC, requests.take_dead_letters, on_progress)
    await _pour(source, topics["SendRequest"], requests.take_requests, on_progress)
    await _pour(source, topics["SendResult"], requests.take_answers, on_progress)
    await _pour(source, topics["ThreadOperation"], requests.take_operations, on_progress)
    await _pour(source, topics["ThreadMessage"], threads.take, on_progress)
    requests.judge(report, trimmed)
    threads.judge(report, is_trimmed="ThreadMessage" in trimmed)
    await _pour(source, topics["InboxUpdate"], inboxes.take, on_progress)
    inboxes.judge(report, is_trimmed="InboxUpdate" in trimmed, are_threads_trimmed="ThreadMessage" in trimmed)
    await _pour(source, topics["EndpointCommand"], book.take_commands, on_progress)
    await _pour(source, topics["CommandResult"], book.take_answers, on_progress)
    for topic in routes:
        await _pour(source, topic, deliveries.take, on_progress)
    is_trimmed = bool(trimmed_routes) or not trimmed.isdisjoint({"CommandResult", "EndpointCommand"})
    deliveries.judge(report, inboxes.head_of, is_trimmed=is_trimmed)
    if store is not None:
        report.counters.update(dict.fromkeys(STORE_FAULTS, 0))
        for name, found in store._asdict().items():
            for offender in found:
                report.fault(name, offender)
    return report


async def _pour(
    source: Source, topic: str, take: Callable[[Iterable[Record]], None], on_progress: OnProgress
) -> None:
    total = sum(span.end - span.start for span in source.spans(topic).values())
    done = 0
    on_progress(topic, 0, total)
    async for records in source.batches(topic):
        take(records)
        done += len(records)
        on_progress(topic, done, total)
    on_progress(topic, total, total)


def _is_trimmed(source: Source, topic: str) -> bool:
    return any(span.start > 0 for span in source.spans(topic).values())
