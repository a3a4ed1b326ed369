"""Load scenarios: more than it can take, one hot account, one huge thread, a reader that is slow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from bench.beside import beside
from bench.contenders.lockstep import LockstepPipeline
from bench.feeding import feed_at_rate
from bench.figures import latencies
from bench.jobs.latency import ACCOUNTS, CAPACITY_MESSAGES, all_of, arrivals, paced
from bench.jobs.throughput import measured, throughput
from bench.load import ENDPOINT, Load, account, encoded
from bench.outputs import Ends
from bench.plan import Figure, Job, Options, Step
from bench.running import Run, running
from bench.watching import generation, timeline, verified
from streams.client.requests import Request, change_members, post
from streams.limits import RECIPIENTS_MAX

if TYPE_CHECKING:
    from bench.contenders.base import Contender
    from bench.sitting import Sitting

OVER = 3.0
OVERLOAD_SECONDS = 120.0
PROBE_RATE = 100.0
PROBE_SECONDS = 20.0
CHUNK = 20_000
LARGE_THREAD = 20_000
POSTS = 50
SLOW_RECORDS_A_SECOND = 10


async def capacity(run: Run) -> float:
    """Return messages a second at full speed; raises RuntimeError when the output was wrong."""
    load = Load(messages=CAPACITY_MESSAGES, seed=77, accounts=ACCOUNTS, names_recipient=False)
    found = await measured(run, run.encode(load))
    if found["reason"] is not None:
        raise RuntimeError(found["reason"])
    return float(found["messages_per_second"])


# -- Overload ----------------------------------------------------------------------------------------------


async def _overload(sitting: Sitting, one: Contender, seconds: float) -> dict[str, Any]:
    assert isinstance(one, LockstepPipeline)
    async with running(sitting, one, Load(messages=0, accounts=ACCOUNTS)) as run, timeline(one) as points:
        able = await capacity(run)
        before = await generation(one)
        fed, fed_s = await _press(run, able * OVER, seconds)
        began_s = time.monotonic()
        async with Ends(sitting, one.output_topics) as ends:
            calm = await run.settled(ends, run.due())
        after = await paced(run, PROBE_RATE, PROBE_SECONDS, seed=5)
        rebalances = await generation(one) - before
        reason = after["reason"] or await run.reason() or (await verified(one))[0]
        if rebalances:
            reason = reason or f"{rebalances} rebalances while it was overloaded"
    return {
        "capacity": able,
        "fed_per_second": fed / fed_s,
        "messages": fed,
        "backlog_seconds": max(0.0, calm.at_s - began_s),
        "p50_after_ms": after.get("p50_ms"),
        "p99_after_ms": after.get("p99_ms"),
        "rebalances": rebalances,
        "peak_rss_mib": max(one["rss_mib"] for one in points),
        "timeline": points,
        "reason": reason,
    }


async def _press(run: Run, rate: float, seconds: float) -> tuple[int, float]:
    """Feed at a rate, chunk by chunk, for some seconds; return how many, and how long it took."""
    began_s, fed, seed = time.monotonic(), 0, 1_000
    while time.monotonic() - began_s < seconds:
        count = min(CHUNK, int(rate * seconds) - fed)
        if count <= 0:
            break
        load = Load(messages=count, seed=seed, accounts=ACCOUNTS, names_recipient=False)
        records = run.encode(load)
        run.messages += [record.message for record in records]
        await feed_at_rate(run.sitting, run.contender.input_topic, records, rate, {})
        fed, seed = fed + count, seed + 1
    return fed, time.monotonic() - began_s


OVERLOAD = Job(
    name="overload",
    title="producers at three times the capacity",
    note="Full speed finds the capacity; then three times as much is written for two minutes (as far as the feeder "
    "gets), the backlog is worked off, and latency is probed at 100 messages/s at once after. Kafka holds the backlog; "
    "the worker's memory must not. Checked by both checkers.",
    figures=(
        Figure("p99_after_ms", "p99 after, ms"),
        Figure("p50_after_ms", "p50 after, ms"),
        Figure("capacity", "capacity messages/s"),
        Figure("fed_per_second", "fed messages/s"),
        Figure("backlog_seconds", "backlog worked off in s"),
        Figure("rebalances", "rebalances"),
        Figure("peak_rss_mib", "peak RSS MiB"),
    ),
    steps=lambda options: [_plain(lambda sitting, one: _overload(sitting, one, _seconds(options)))],
    runs=lambda _: 1,
    in_all=False,
    run_seconds=240,
)


def _seconds(options: Options) -> float:
    return 20.0 if options.is_quick else OVERLOAD_SECONDS


def _plain(measure: Any, **parameters: Any) -> Step:
    return Step(LockstepPipeline, LockstepPipeline, measure, parameters)


# -- Hot key -----------------------------------------------------------------------------------------------


def _hot(share: float, options: Options) -> Step:
    load = Load(messages=options.messages // 4, seed=options.seed, hot_share=share)

    async def measure(sitting: Sitting, one: Contender) -> dict[str, Any]:
        return await throughput(sitting, one, load)

    return _plain(measure, hot_share=share)


async def _large_thread(sitting: Sitting, one: Contender) -> dict[str, Any]:
    """Post into a thread of 20,000 while everybody else writes 100 messages a second."""
    async with running(sitting, one, Load(messages=0)) as run:
        members = [account(number) for number in range(LARGE_THREAD)]
        made = _thread(members)
        copies = sum(count for _, count in made)
        begun = run.sample()
        posts = [
            (Request(members[0], ENDPOINT, "large", post(b"x" * 120)), LARGE_THREAD) for _ in range(POSTS)
        ]
        extra = {request.message_id: count for request, count in [*made, *posts]}
        records = list(encoded((request for request, _ in made), one.codec, sitting.partitions))
        large = list(encoded((request for request, _ in posts), one.codec, sitting.partitions))
        async with Ends(sitting, one.output_topics) as ends, arrivals(run) as seen:
            await run.feed([record._replace(message=b"") for record in records])
            await run.settled(ends, run.due() + 2 * copies)
            began_s, due_at_s = time.monotonic(), dict[bytes, float]()
            await run.feed([record._replace(message=b"") for record in large])
            others = run.encode(Load(messages=1_000, seed=8, duplicates=0.0, names_recipient=False))
            run.messages += [record.message for record in others]
            await feed_at_rate(sitting, one.input_topic, others, PROBE_RATE, due_at_s)
            ended = await run.settled(ends, run.due() + 2 * (copies + POSTS * LARGE_THREAD))
            await all_of(due_at_s, seen)
            late = latencies([seen[message] - due for message, due in due_at_s.items() if message in seen])
        run.extra = extra
        deliveries = copies + POSTS * LARGE_THREAD
        return {
            "deliveries_per_second": POSTS * LARGE_THREAD / (ended.at_s - began_s),
            "deliveries_per_cpu_second": deliveries / (ended.workers.cpu_s - begun.workers.cpu_s),
            **late,
            "peak_rss_mib": run.peak_rss_bytes / 2**20,
            "reason": await run.reason(),
        }


def _thread(members: Sequence[str]) -> list[tuple[Request, int]]:
    """Return the requests that make a thread, each with the updates that it gives."""
    made = []
    for start in range(0, len(members), RECIPIENTS_MAX):
        some = list(members[start : start + RECIPIENTS_MAX])
        operation = post(b"the thread is open") if start == 0 else change_members(add=some)
        made.append(
            (
                Request(members[0], ENDPOINT, "large", operation, some if start == 0 else None),
                start + len(some),
            )
        )
    return made


HOT_KEY = Job(
    name="hot-key",
    title="30 % of the traffic from one account; one thread of 20,000 members",
    note="The hot account writes to one thread of two. The large thread gets 50 posts (a million updates and "
    "deliveries) while everybody else writes 100 messages/s, whose latency is shown.",
    figures=(
        Figure("cpu_seconds_per_million", "CPU-s per million"),
        Figure("messages_per_second", "messages/s"),
        Figure("deliveries_per_second", "deliveries/s"),
        Figure("deliveries_per_cpu_second", "deliveries per CPU-s"),
        Figure("p50_ms", "others' p50 ms"),
        Figure("p99_ms", "others' p99 ms"),
        Figure("peak_rss_mib", "peak RSS MiB"),
    ),
    steps=lambda options: [
        _hot(0.0, options),
        _hot(0.3, options),
        _plain(_large_thread, members=LARGE_THREAD),
    ],
    runs=lambda _: 1,
    in_all=False,
)

# -- Slow reader -------------------------------------------------------------------------------------------


@asynccontextmanager
async def _slow_reader(run: Run) -> AsyncIterator[list[int]]:
    """Read ten records a second of the delivery topic, from its start; yields what counts them."""
    consumer = run.sitting.reader(max_poll_records=1)
    await consumer.start()
    places = await run.sitting.places([run.contender.output_topics[-1]])
    consumer.assign(places)
    for place in places:
        consumer.seek(place, 0)
    read: list[int] = []

    async def crawl() -> None:
        while True:
            await consumer.getone()
            read.append(1)
            await asyncio.sleep(1 / SLOW_RECORDS_A_SECOND)

    try:
        async with beside(crawl()):
            yield read
    finally:
        await consumer.stop()


def _slow(options: Options, *, is_slow: bool) -> Step:
    async def measure(sitting: Sitting, one: Contender) -> dict[str, Any]:
        async with running(sitting, one, Load(messages=0, accounts=ACCOUNTS)) as run:
            rate = options.rate / 2
            if not is_slow:
                found = await paced(run, rate, options.seconds, options.seed)
            else:
                async with _slow_reader(run) as read:
                    found = await paced(run, rate, options.seconds, options.seed)
                    found["read_by_the_slow_one"] = len(read)
            return {**found, "reason": found["reason"] or await run.reason()}

    return _plain(measure, slow_reader="yes" if is_slow else "no")


SLOW_READER = Job(
    name="slow-reader",
    title="a consumer of the delivery topic that reads ten records a second",
    note="Latency of everybody else at half the usual rate, without the slow reader and with it: it must not matter.",
    figures=(
        Figure("p50_ms", "p50 ms"),
        Figure("p99_ms", "p99 ms"),
        Figure("cpu_seconds_per_million", "CPU-s per million"),
        Figure("read_by_the_slow_one", "read by the slow one"),
    ),
    steps=lambda options: [_slow(options, is_slow=False), _slow(options, is_slow=True)],
    runs=lambda _: 1,
    in_all=False,
)
