"""Endless traffic with retries, from a seed: generated groups, the small trace with its repeated numbers, resends.

Set-up comes first. Then requests flow at a rate until the end, with pauses when everything has to be judged. Beside
them one sender asks one request after the other, which a second producer writes at the same moment, and sends it again
until it is answered: every answer must be that the message is in its thread, whatever dies meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import count
from types import TracebackType
from typing import Any, Self

from streams.client import Answer, Outlet, Publisher, Request, Sender, new_token
from streams.client.generator import GeneratedPlan
from streams.client.plans import commands_of, with_repeats
from streams.client.trace import TracePlan, read_trace
from streams.errors import BrokerUnavailable
from streams.topology import Topology
from tests.tidy.files import ROOT

MESSAGES_A_ROUND = 600
REPEATS = 0.08
RETRY_SECONDS = 240.0
ASKED_SECONDS_APART = 0.1
BEHIND_SECONDS_MAX = 1.0
"""After a stall the feed does not make up for more than this."""


class Traffic:
    """Feeds an instance; use as `async with`, resume it, and pause it before judging."""

    def __init__(
        self, client_arguments: dict[str, Any], topology: Topology, *, seed: int, requests_a_second: float
    ) -> None:
        self._arguments = client_arguments
        self._topology = topology
        self._seed = seed
        self._seconds_apart = 1 / requests_a_second
        self._began_at_ms = time.time_ns() // 1_000_000
        self._stack = AsyncExitStack()
        self._go = asyncio.Event()
        self._at_work = 0
        """Parts of it that may still write."""
        self.requests = 0
        self.asked = 0

    async def __aenter__(self) -> Self:
        self._publisher = Publisher(self._arguments, retry_seconds=RETRY_SECONDS)
        await self._stack.enter_async_context(self._publisher)
        self._outlet = Outlet(self._publisher, self._topology)
        await self._outlet.open()
        self._sender = Sender(self._arguments, self._topology, retry_seconds=RETRY_SECONDS)
        await self._stack.enter_async_context(self._sender)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def set_up(self) -> None:
        """Write threads and endpoints; the caller waits until they are processed."""
        for plan in (self._round(0), self._trace()):
            for endpoint in plan.endpoints():
                for command in commands_of(endpoint, f"chaos-{self._seed}"):
                    await self._outlet.put_command(command)
            for request in plan.setup():
                await self._put(request)
        await self._publisher.flush()

    async def run(self) -> None:
        """Send whenever it is resumed, until cancelled; raises when an answer is wrong or does not come."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._feed())
            tasks.create_task(self._ask())

    @property
    def is_idle(self) -> bool:
        """Whether nothing more is written until `resume`."""
        return not self._go.is_set() and self._at_work == 0

    def resume(self) -> None:
        """Let it flow."""
        self._go.set()

    def pause(self) -> None:
        """Begin nothing new; what is being asked is still asked until it is answered."""
        self._go.clear()

    async def flush(self) -> None:
        """Return when everything written is durable."""
        await self._publisher.flush()

    async def _feed(self) -> None:
        requests = self._endless()
        due = time.monotonic()
        while True:
            await self._go.wait()
            self._at_work += 1
            due = max(due, time.monotonic() - BEHIND_SECONDS_MAX) + self._seconds_apart
            await self._put(next(requests))
            self._at_work -= 1
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _ask(self) -> None:
        for number in count(1):
            for template in self._round(number).messages():
                await self._go.wait()
                self._at_work += 1
                request = replace(template, token=new_token())
                answer, _ = await asyncio.gather(self._answered(request), self._put(request))
                assert answer.is_accepted, f"{answer} for {request}"
                self._at_work -= 1
                self.asked += 1
                await asyncio.sleep(ASKED_SECONDS_APART)

    async def _answered(self, request: Request) -> Answer:
        deadline = time.monotonic() + RETRY_SECONDS
        while True:
            try:
                return await self._sender.ask(request)
            except BrokerUnavailable:  # "try again", it says; the token makes that safe
                if time.monotonic() > deadline:
                    raise

    async def _put(self, request: Request) -> None:
        await self._outlet.put_request(request)
        self.requests += 1

    def _endless(self) -> Iterator[Request]:
        """The trace once, then the same groups for ever, each round with tokens of its own."""
        yield from self._trace().messages()
        for number in count(1):
            for request, _ in with_repeats(self._round(number).messages(), REPEATS, self._seed + number):
                yield request

    def _round(self, number: int) -> GeneratedPlan:
        """Messages of round `number`; who is in which group is the same in all of them."""
        return GeneratedPlan(
            MESSAGES_A_ROUND,
            start_at_ms=self._began_at_ms + number * MESSAGES_A_ROUND - 3_600_000,
            seed=self._seed,
            routes=tuple(self._topology.routes),
        )

    def _trace(self) -> TracePlan:
        return TracePlan(
            read_trace(ROOT / "tests" / "data" / "small_trace.csv"),
            start_at_ms=self._began_at_ms,
            seed=self._seed,
            endpoints=2,
            routes=tuple(self._topology.routes),
            prefix="trace-",
        )
