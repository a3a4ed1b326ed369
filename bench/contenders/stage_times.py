"""What each part of a worker costs in CPU time of its thread, measured around batches; only in a worker of the bench.

A stage's clock runs around everything that it does with one fetched batch of an input. Delivery has no batch of its
own (it is called within the sequencer's, update by update), so every thirteenth call is timed and counts thirteenfold.
Writing Kafka's batches is a coroutine: its clock runs only while it does. What is in none of these is the rest: the
Kafka client's requests and fetches, the event loop, other threads. The times are added to the host's counters, in
nanoseconds, and so stand in the worker's status. A reading takes up to a microsecond: with these clocks below 1 % of a
worker, which rounds with and without them did not tell apart. Tested in tests/bench/test_stage_times.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from time import thread_time_ns
from typing import Any

from streams.delivery.stage import Delivery
from streams.engine.host import Host
from streams.engine.producer import TransactionalProducer
from streams.engine.shard import Shard

PREFIX = "bench.cpu_ns."
DELIVERY, BATCHES, LOCAL = "delivery", "batches", "local"
SEQUENCER = "sequencer"
EVERY = 13
"""Deliveries of which one is timed: a prime, so that it falls in step with no thread's number of members."""

COUNTED: Counter[str] = Counter()
"""Takes the place of the host's counters: one host a process."""


def costs_ns(counted: Mapping[str, int]) -> dict[str, int]:
    """Return part -> nanoseconds of CPU, by counters; the sequencer's without the delivery that ran within it."""
    found = {name.removeprefix(PREFIX): value for name, value in counted.items() if name.startswith(PREFIX)}
    if SEQUENCER in found:
        found[SEQUENCER] = max(0, found[SEQUENCER] - found.get(DELIVERY, 0))
    return found


def measure_stages() -> None:
    """Put clocks into the classes; before a worker is wired."""
    for owner, name, timed in CLOCKS:
        setattr(owner, name, timed(getattr(owner, name)))


def _own_cost_ns() -> int:
    """Return what one reading of the clock adds to a measured span."""
    spans = []
    for _ in range(1_000):
        before = thread_time_ns()
        spans.append(thread_time_ns() - before)
    return sorted(spans)[len(spans) // 2]


def _counting(begin: Callable[..., None]) -> Callable[..., None]:
    def begun(host: Host, *arguments: Any) -> None:
        begin(host, *arguments)
        host.counters = COUNTED

    return begun


def timed_stage(run_input: Callable[..., int]) -> Callable[..., int]:
    """The clock of the stage that has an input, around one batch of it."""

    def timed(shard: Any, one: Any, *arguments: Any) -> int:
        before = thread_time_ns()
        try:
            return run_input(shard, one, *arguments)
        finally:
            stage = shard._stages[one.topic]  # noqa: SLF001  # no port tells whose an input is
            COUNTED[PREFIX + stage.name] += thread_time_ns() - before

    return timed


def timed_delivery(deliver: Callable[..., None]) -> Callable[..., None]:
    """The clock of delivery, for one call of thirteen."""
    own_ns, left = _own_cost_ns(), EVERY

    def timed(delivery: Delivery, update: Any) -> None:
        nonlocal left
        left -= 1
        if left:
            deliver(delivery, update)
            return
        left = EVERY
        before = thread_time_ns()
        try:
            deliver(delivery, update)
        finally:
            COUNTED[PREFIX + DELIVERY] += max(0, thread_time_ns() - before - own_ns) * EVERY

    return timed


def _plain(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A clock around every call of a function."""

    def clocked(call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            before = thread_time_ns()
            try:
                return call(*arguments)
            finally:
                COUNTED[PREFIX + name] += thread_time_ns() - before

        return timed

    return clocked


class Running:
    """Awaits a coroutine with a clock that stands still while it waits."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], name: str) -> None:
        self._coroutine = coroutine
        self._name = name

    def __await__(self) -> Generator[Any, Any, Any]:
        step: Callable[[], Any] = lambda: self._coroutine.send(None)  # noqa: E731  # it is replaced in the loop
        while True:
            before = thread_time_ns()
            try:
                waits_for = step()
            except StopIteration as done:
                return done.value
            finally:
                COUNTED[PREFIX + self._name] += thread_time_ns() - before
            step = yield from _passed_on(waits_for, self._coroutine)


def _passed_on(waits_for: Any, coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Callable[[], Any]]:
    """Let the loop wait; return how the coroutine goes on: with a value, or with what was thrown into it."""
    try:
        value = yield waits_for
    except BaseException as error:  # noqa: BLE001  # a cancellation belongs to the coroutine
        thrown = error
        return lambda: coroutine.throw(thrown)
    return lambda: coroutine.send(value)


def _while_it_runs(name: str) -> Callable[[Callable[..., Any]], Callable[..., Awaitable[Any]]]:
    def clocked(call: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        return lambda *arguments: Running(call(*arguments), name)

    return clocked


CLOCKS: tuple[tuple[Any, str, Callable[[Callable[..., Any]], Callable[..., Any]]], ...] = (
    (Host, "__init__", _counting),
    (Shard, "_run_input", timed_stage),
    (Delivery, "deliver", timed_delivery),
    (Shard, "seal", _plain(LOCAL)),
    (Host, "_write_locally", _plain(LOCAL)),
    (TransactionalProducer, "_send", _while_it_runs(BATCHES)),
)
"""Owner, name, the clock that is put around it."""
