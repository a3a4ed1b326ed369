"""How long a start waits for the controller to say that the killed broker is dead; no Kafka, no time."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streams.broker import kafka as module
from streams.broker.kafka import EmbeddedKafka

STARTED, FENCED = "INFO KafkaRaftServer - Kafka Server started", "INFO Fencing broker 1 at epoch 5"


@pytest.mark.parametrize(
    ("started_at_s", "fenced_at_s", "ended_at_s"),
    [
        (2.0, 2.5, 2.5),
        (25.0, 26.0, 26.0),
        (25.0, None, 25.0 + module._DECLARE_DEAD_SECONDS),
        (None, None, 60.0),
    ],
    ids=["a quiet machine", "a busy machine", "it was dead already", "the controller never starts"],
)
def test_a_controller_that_starts_slowly_is_waited_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    started_at_s: float | None,
    fenced_at_s: float | None,
    ended_at_s: float,
) -> None:
    """A broker that starts before its former self is dead leaves transactions open for ever."""
    now_s = 0.0
    stopped_at_s = []

    def sleep(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    def logged(_since: int) -> list[str]:
        said = ((STARTED, started_at_s), (FENCED, fenced_at_s))
        return [line for line, at_s in said if at_s is not None and at_s <= now_s]

    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now_s, sleep=sleep))
    monkeypatch.setattr(EmbeddedKafka, "is_running", property(lambda _: True))
    broker: Any = EmbeddedKafka(tmp_path, ready_timeout_seconds=60.0)
    broker._spawn = lambda *_: None
    broker.stop = lambda: stopped_at_s.append(now_s)
    broker._log_start_bytes = 0
    broker._folder = SimpleNamespace(
        kafka=tmp_path, controller_properties=tmp_path / "controller.properties", logged_since=logged
    )
    broker._declare_dead("", 0, SimpleNamespace(controller_port=1))
    assert stopped_at_s == [pytest.approx(ended_at_s, abs=0.3)]
