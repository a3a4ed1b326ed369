"""A worker that its group has lost ends; one whose broker is away, or that comes back, does not."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from structlog.testing import capture_logs

from streams.engine import group_watch, transport
from streams.engine.app import run_beside
from streams.engine.group_watch import watch_group
from streams.engine.transport import Consumer, GroupMembership
from streams.errors import BrokerUnavailable, WorkerStuck

ME = "pipeline.worker-0"
ROUNDS = 3


class Group:
    """Gives one answer after the other, then ends the watch; None is a broker that is away."""

    def __init__(self, *answers: bool | None) -> None:
        self._answers = iter(answers)

    async def is_settled(self) -> bool:
        try:
            answer = next(self._answers)
        except StopIteration:
            raise asyncio.CancelledError from None
        if answer is None:
            raise BrokerUnavailable("away")
        return answer


async def watched(*answers: bool | None) -> None:
    await watch_group(Group(*answers), unsettled_s_max=ROUNDS * group_watch.ROUND_SECONDS)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds that take no time."""
    monkeypatch.setattr(group_watch, "ROUND_SECONDS", 0.001)


async def test_a_worker_out_of_its_group_for_too_long_is_stuck() -> None:
    with pytest.raises(WorkerStuck, match="not a settled member"):
        await watched(True, False, False, False)


@pytest.mark.parametrize("relief", [True, None])
async def test_coming_back_or_a_broker_that_is_away_begins_the_count_anew(*, relief: bool | None) -> None:
    """A broker that does not answer tells nothing of the group; a worker waits for it as long as it takes."""
    with pytest.raises(asyncio.CancelledError):
        await watched(False, False, relief, False, False, None, None, None, None)


@pytest.mark.parametrize(
    ("members", "ours", "of_app", "has_ended", "is_settled"),
    [
        ({ME}, 4, 4, False, True),
        (set(), 4, 4, False, False),
        ({"pipeline.worker-1"}, 4, 4, False, False),
        ({ME}, -1, -1, False, False),
        ({ME}, 5, 4, False, False),
        ({ME}, 4, 4, True, False),
    ],
)
async def test_a_settled_member_is_one_to_the_group_and_to_itself(  # what makes one, case by case
    members: set[str], ours: int, of_app: int, *, has_ended: bool, is_settled: bool
) -> None:
    """The coordination runs, and the app was told of the generation in which the worker is."""
    app: Any = SimpleNamespace(
        conf=SimpleNamespace(id="pipeline", broker_client_id=ME),
        consumer_generation_id=of_app,
        consumer=SimpleNamespace(_thread=SimpleNamespace(_consumer=SimpleNamespace(_coordinator=None))),
    )

    async def found(_group: str) -> set[str]:
        return members

    membership = GroupMembership(app, found)
    assert not await membership.is_settled()
    app.consumer._thread._consumer._coordinator = Coordinator(ours, has_ended=has_ended)
    assert await membership.is_settled() is is_settled


class Coordinator:
    """As much of aiokafka's as is looked at."""

    def __init__(self, generation: int, *, has_ended: bool, error: KafkaError | None = None) -> None:
        self.generation = generation
        self._coordination_task = SimpleNamespace(done=lambda: has_ended)
        self._error = error

    def check_errors(self) -> None:
        if self._error is not None:
            raise self._error


@pytest.mark.parametrize("has_ended", [False, True])
async def test_what_stops_the_coordination_is_taken_while_nothing_is_fetched(*, has_ended: bool) -> None:
    """The coordination waits until somebody does, and in a rebalance nobody fetches; one that ended is told."""
    coordinator = Coordinator(4, has_ended=has_ended, error=KafkaError("taken"))
    kafka = SimpleNamespace(_coordinator=coordinator)
    waited = []

    async def wait(*_: object, timeout: float) -> None:
        waited.append(timeout)

    consumer: Any = SimpleNamespace(
        flow_active=False,
        can_resume_flow=None,
        wait=wait,
        _thread=SimpleNamespace(_ensure_consumer=lambda: kafka),
    )
    consumer._take_errors = lambda: Consumer._take_errors(consumer)

    async def fetch() -> list[object]:
        return [message async for message in Consumer.getmany(consumer, 1.0)]

    if has_ended:
        with pytest.raises(KafkaError, match="taken"):
            await fetch()
    else:
        assert await fetch() == []
        assert len(waited) == 1


async def test_an_error_beside_the_work_ends_the_work_and_is_raised() -> None:
    """What runs beside ends with the work too, and in no other way."""
    is_ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            is_ended.set()

    async def fail() -> None:
        raise WorkerStuck("as the watch says")

    with pytest.raises(WorkerStuck):
        await run_beside(work(), fail())
    assert is_ended.is_set()
    is_ended.clear()
    await run_beside(asyncio.sleep(0), work())
    assert is_ended.is_set()


async def test_a_worker_that_its_group_does_not_take_in_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its next absence is told again."""
    monkeypatch.setattr(transport, "_WAITS_S_SAID", -1.0)
    is_member = [False, False, True, False, False]
    membership = GroupMembership(SimpleNamespace(conf=SimpleNamespace(broker_client_id=ME)), Any)  # type: ignore[arg-type]  # as much as is looked at

    async def confirmed() -> bool:
        return is_member.pop(0)

    monkeypatch.setattr(membership, "_confirmed", confirmed)
    with capture_logs() as logged:
        assert [await membership.confirm() for _ in range(5)] == [False, False, True, False, False]
    assert [one["event"] for one in logged] == ["engine.waits_for_group"] * 2


async def test_a_cancellation_that_nobody_asked_for_is_an_error_and_not_a_quiet_end() -> None:
    async def work() -> None:
        await asyncio.Event().wait()

    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="cancelled by none of us"):
        await run_beside(work(), cancelled())
