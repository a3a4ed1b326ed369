"""Whether a worker is healthy and ready (streams/observe/health.py)."""

from __future__ import annotations

from typing import Any

from streams.observe.health import Answer, health, readiness


def asked(broker: str = "up", loop_delay_s: float = 0.01, *, ignores_broker: bool = False) -> Answer:
    return health(
        worker="worker-0",
        app="pipeline",
        broker=broker,
        loop_delay_s=loop_delay_s,
        ignores_broker=ignores_broker,
    )


def ready(shards: list[dict[str, Any]], *, has_joined: bool = True) -> Answer:
    return readiness(worker="worker-0", app="pipeline", has_joined=has_joined, shards=shards)


def shard(number: int, state: str, detail: str = "") -> dict[str, Any]:
    return {"shard": number, "state": state, "detail": detail}


def test_a_worker_that_answers_in_time_and_has_its_broker_is_healthy() -> None:
    """200, and no reason against it."""
    answer = asked()
    assert (answer.status, answer.content["healthy"], answer.content["reasons"]) == (200, True, [])


def test_a_worker_whose_broker_is_away_says_so_unless_it_was_asked_about_the_process_alone() -> None:
    """A restart mends no broker: what would kill the process asks without it."""
    answer = asked("waiting: no broker")
    assert (answer.status, answer.content["reasons"]) == (503, ["broker: waiting: no broker"])
    assert asked("waiting: no broker", ignores_broker=True).status == 200


def test_a_worker_whose_loop_is_late_is_not_healthy_whatever_else() -> None:
    """It is about to lose its shards."""
    answer = asked(loop_delay_s=3.0, ignores_broker=True)
    assert answer.status == 503
    assert answer.content["reasons"] == ["the event loop was 3.0 s late in the last 10 s, 2 s may be"]


def test_a_worker_is_ready_when_every_shard_it_should_have_is_open() -> None:
    """One that is restored or failed makes it unready, by name."""
    assert ready([shard(0, "open"), shard(1, "open")]).status == 200
    answer = ready([shard(0, "open"), shard(1, "opening"), shard(2, "failed", "STORE_FULL: no room")])
    assert answer.status == 503
    assert answer.content["reasons"] == ["shard 1 is opening", "shard 2 is failed: STORE_FULL: no room"]
    assert (answer.content["shards_assigned"], answer.content["shards_open"]) == (3, 1)


def test_a_worker_that_has_nothing_to_do_is_ready_but_not_before_the_group_said_so() -> None:
    """More workers than shards: the last stands by. At the start nobody knows yet."""
    assert ready([]).status == 200
    assert ready([], has_joined=False).status == 503
