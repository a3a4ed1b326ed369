"""Notices topics that are deleted, or deleted and made anew, under a running worker.

Kafka tells a consumer nothing of it: it goes on at offsets that mean other records now, or none. So the ids are asked
every now and then. A topic that is gone, for two looks in a row, stops all processing, in words that status and log
show; when all are back everything is opened again, and an input whose topic is another begins at its start
(openings.py). Not promised: that what was in a deleted topic is ever processed, and that nothing of a topic made anew
within one round is passed over before the next look, which reads it all again.
Tested in tests/engine/test_topic_watch.py and, on Kafka, in tests/e2e/test_broken_topics.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import structlog
from aiokafka.errors import KafkaError

from streams.errors import LockstepError, TopicsChanged

log = structlog.get_logger("engine")

ROUND_SECONDS = 1.0
SILENT_SECONDS_MAX = 5.0
"""It is asked each round; an answer may take a moment on a busy machine."""


class Watched(Protocol):
    """What is told; engine.host.Host."""

    topics_missing: Sequence[str]

    def topics_changed(self, error: TopicsChanged) -> None: ...


class TopicIds(Protocol):
    """Who is asked; adapters.cluster.Cluster."""

    async def topic_ids(self, names: Iterable[str]) -> dict[str, str]: ...


class Change(NamedTuple):
    """What is different from what was."""

    missing: tuple[str, ...]
    made_anew: tuple[str, ...]

    def __str__(self) -> str:
        said = []
        if self.missing:
            said.append(
                f"{', '.join(self.missing)}: deleted under this worker; make it again with `lockstep topics create`"
            )
        if self.made_anew:
            said.append(f"{', '.join(self.made_anew)}: deleted and made anew; read from its start")
        return ". ".join(said)


class LastHeard:
    """When the broker last answered: a worker that has nothing to commit learns from it alone that it is gone."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._at_s = now_s()

    def note(self) -> None:
        """The broker has answered."""
        self._at_s = self._now_s()

    def judge(self, broker: str) -> str:
        """Return what a worker says of its broker, but for `up` when nothing was heard for too long."""
        silent_s = self._now_s() - self._at_s
        if broker == "up" and silent_s > SILENT_SECONDS_MAX:
            return f"waiting: the broker has not answered for {silent_s:.0f} s"
        return broker


class TopicBook:
    """The ids as they were seen; pure."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)
        self._ids: dict[str, str] = {}
        self._gone_before: frozenset[str] = frozenset()

    def look(self, found: Mapping[str, str]) -> Change:
        """Take in what is there now; a topic is missing when it was not there twice in a row."""
        gone = frozenset(self._names) - found.keys()
        missing = tuple(name for name in self._names if name in gone & self._gone_before)
        self._gone_before = gone
        made_anew = tuple(
            name for name in self._names if name in found and self._ids.get(name, found[name]) != found[name]
        )
        self._ids.update(found)
        return Change(missing, made_anew)


async def watch_topics(host: Watched, names: Sequence[str], cluster: TopicIds, heard: LastHeard) -> None:
    """Look until cancelled, and tell the host; each answer is noted."""
    book = TopicBook(names)
    while True:
        try:
            change = book.look(await cluster.topic_ids(names))
        except (KafkaError, LockstepError, OSError):  # the broker is away: the host waits for it by itself
            await asyncio.sleep(ROUND_SECONDS)
            continue
        heard.note()
        is_news = change.made_anew or tuple(host.topics_missing) != change.missing
        host.topics_missing = change.missing
        if is_news and (change.missing or change.made_anew):
            log.error(
                "engine.topics_changed",
                missing=change.missing,
                made_anew=change.made_anew,
                reason=str(change),
            )
            host.topics_changed(TopicsChanged(str(change)))
        elif is_news:
            log.warning("engine.topics_are_back")
        await asyncio.sleep(ROUND_SECONDS)
