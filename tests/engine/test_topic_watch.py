"""Topics that go and come back are noticed, and said once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import pytest

from streams.engine import topic_watch
from streams.engine.topic_watch import Change, LastHeard, TopicBook, watch_topics
from streams.errors import BrokerUnavailable, TopicsChanged

NAMES = ("a", "b")


def test_a_topic_is_missing_when_it_was_not_there_twice_in_a_row() -> None:
    book = TopicBook(NAMES)
    assert book.look({"a": "1", "b": "2"}) == Change((), ())
    assert book.look({"a": "1"}) == Change((), ())
    assert book.look({"a": "1"}) == Change(("b",), ())
    assert book.look({"a": "1", "b": "2"}) == Change((), ())
    assert book.look({"a": "1"}) == Change((), ())


def test_a_topic_with_another_id_was_made_anew_and_is_named_once() -> None:
    book = TopicBook(NAMES)
    book.look({"a": "1", "b": "2"})
    assert book.look({"a": "1", "b": "3"}) == Change((), ("b",))
    assert book.look({"a": "1", "b": "3"}) == Change((), ())


def test_a_topic_that_was_gone_in_between_was_made_anew_too() -> None:
    book = TopicBook(NAMES)
    for found in ({"a": "1", "b": "2"}, {"a": "1"}, {"a": "1"}):
        book.look(found)
    assert book.look({"a": "1", "b": "3"}) == Change((), ("b",))


class Cluster:
    """Gives one answer after the other, then no more; None is a broker that is away."""

    def __init__(self, *answers: dict[str, str] | None) -> None:
        self._answers = iter(answers)

    async def topic_ids(self, names: Iterable[str]) -> dict[str, str]:
        assert tuple(names) == NAMES
        answer = next(self._answers, {})
        if answer == {}:
            raise asyncio.CancelledError
        if answer is None:
            raise BrokerUnavailable("away")
        return answer


class Host:
    """Remembers what it was told, and when."""

    def __init__(self) -> None:
        self.topics_missing: Sequence[str] = ()
        self.told: list[tuple[tuple[str, ...], str]] = []

    def topics_changed(self, error: TopicsChanged) -> None:
        self.told.append((tuple(self.topics_missing), str(error)))


async def test_the_host_is_told_once_of_each_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing topics stay named until they are back; a broker that is away says nothing about topics."""
    monkeypatch.setattr(topic_watch, "ROUND_SECONDS", 0.0)
    host = Host()
    both, one, anew = {"a": "1", "b": "2"}, {"a": "1"}, {"a": "1", "b": "3"}
    with pytest.raises(asyncio.CancelledError):
        await watch_topics(host, NAMES, Cluster(both, one, one, None, one, anew, anew), LastHeard())
    (gone, said), (back, said_then) = host.told
    assert gone == ("b",)
    assert "b: deleted under this worker" in said
    assert "lockstep topics create" in said
    assert back == ()
    assert "b: deleted and made anew" in said_then
    assert host.topics_missing == ()


async def test_a_broker_that_is_silent_counts_as_away_until_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker without work learns from the watch alone that its broker is gone; what it knows better stays."""
    monkeypatch.setattr(topic_watch, "ROUND_SECONDS", 0.0)
    now_s = 0.0
    heard = LastHeard(lambda: now_s)
    now_s = 7.0
    with pytest.raises(asyncio.CancelledError):
        await watch_topics(Host(), NAMES, Cluster(None, None), heard)
    assert heard.judge("up") == "waiting: the broker has not answered for 7 s"
    assert heard.judge("connecting") == "connecting"
    with pytest.raises(asyncio.CancelledError):
        await watch_topics(Host(), NAMES, Cluster({"a": "1", "b": "2"}), heard)
    assert heard.judge("up") == "up"
