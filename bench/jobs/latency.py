"""J3: a steady rate; from the moment a request was due to a read_committed consumer of the last output.

The clock of a message starts when it was due, not when it was written: a feeder that is held up (two cores are shared)
does not flatter anybody. Warm-up: the contender's own, and some seconds of the same rate that are not counted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from bench.beside import beside
from bench.contenders.kafka_streams import KafkaStreams10, KafkaStreams30, KafkaStreams100
from bench.contenders.lockstep import LockstepPipeline, LockstepTwoHop
from bench.contenders.python_peers import Quix100
from bench.feeding import feed_at_rate
from bench.figures import latencies
from bench.jobs.throughput import measured
from bench.load import Load
from bench.plan import Figure, Job, Options, Step
from bench.running import Run, running

if TYPE_CHECKING:
    from bench.contenders.base import Contender
    from bench.sitting import Sitting

FIGURES = (
    Figure("p50_ms", "p50 ms"),
    Figure("p99_ms", "p99 ms"),
    Figure("max_ms", "max ms"),
    Figure("cpu_seconds_per_million", "CPU-s per million"),
    Figure("rate", "messages/s"),
)
ACCOUNTS = 2_000
WARM_UP_SECONDS = 10.0
ARRIVAL_SECONDS_MAX = 30.0
CAPACITY_MESSAGES = 30_000
"""Fed at full speed to find the rate whose half is the second rate."""
_POLL_MS = 200


@asynccontextmanager
async def arrivals(run: Run) -> AsyncIterator[dict[bytes, float]]:
    """Yield what fills with message id -> moment its last copy was seen by a reader of the last output."""
    contender = run.contender
    topic = contender.output_topics[-1]
    places = await run.sitting.places([topic])
    consumer = run.sitting.reader(fetch_max_wait_ms=20, auto_offset_reset="latest")
    await consumer.start()
    consumer.assign(places)
    for place, end in (await consumer.end_offsets(places)).items():
        consumer.seek(place, end)
    seen: dict[bytes, float] = {}

    async def read() -> None:
        while True:
            for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                now_s = time.monotonic()
                for record in records:
                    seen[contender.sight(topic, record).message] = now_s

    try:
        async with beside(read()):
            yield seen
    finally:
        await consumer.stop()


async def all_of(due_at_s: dict[bytes, float], seen: dict[bytes, float]) -> None:
    """Wait until everything has arrived, or long enough."""
    deadline_s = time.monotonic() + ARRIVAL_SECONDS_MAX
    while due_at_s.keys() - seen.keys() and time.monotonic() < deadline_s:  # noqa: ASYNC110  # a reader counts records
        await asyncio.sleep(0.1)


async def paced(run: Run, rate: float, seconds: float, seed: int) -> dict[str, Any]:
    """Feed at a rate for warm-up and measurement; return percentiles of the measured part."""
    skipped = int(rate * WARM_UP_SECONDS)
    load = Load(
        messages=skipped + int(rate * seconds),
        seed=seed,
        duplicates=0.0,
        accounts=ACCOUNTS,
        names_recipient=run.contender.names_recipient,
    )
    records = run.encode(load)
    due_at_s: dict[bytes, float] = {}
    async with arrivals(run) as seen:
        before = run.sample()
        run.messages += [one.message for one in records]
        await feed_at_rate(run.sitting, run.contender.input_topic, records, rate, due_at_s)
        await all_of(due_at_s, seen)
        after = run.sample()
        late = [one.message for one in records if one.message not in seen]
    if late:
        return {"rate": rate, "reason": f"{len(late)} of {len(records)} did not come within 30 s"}
    cpu_s = after.workers.cpu_s - before.workers.cpu_s
    return {
        "rate": rate,
        **latencies([seen[one.message] - due_at_s[one.message] for one in records[skipped:]]),
        "cpu_seconds_per_million": cpu_s / len(records) * 1e6,
        "peak_rss_mib": run.peak_rss_bytes / 2**20,
        "reason": None,
    }


def step(
    contender: type[Contender], options: Options, rate: float | None, rounds_max: int | None = None
) -> Step:
    """Return a step at a rate; None is half of what the contender did at full speed just before."""

    async def measure(sitting: Sitting, one: Contender) -> dict[str, Any]:
        load = Load(messages=CAPACITY_MESSAGES, accounts=ACCOUNTS, names_recipient=one.names_recipient)
        async with running(sitting, one, load) as run:
            chosen = rate
            if chosen is None:
                full = await measured(run, run.encode(load))
                if full["reason"] is not None:
                    return full
                chosen = full["messages_per_second"] / 2
            found = await paced(run, chosen, options.seconds, options.seed)
            return {**found, "reason": found["reason"] or await run.reason()}

    parameters = {"rate": "half of its maximum" if rate is None else rate}
    return Step(contender, contender, measure, parameters, rounds_max)


def _steps(options: Options) -> Sequence[Step]:
    compared: list[type[Contender]] = [LockstepPipeline, KafkaStreams10]
    steady = [step(one, options, options.rate) for one in compared]
    if options.is_quick:
        return steady
    others: list[type[Contender]] = [LockstepTwoHop, KafkaStreams30, KafkaStreams100, Quix100]
    halved: list[type[Contender]] = [LockstepPipeline, LockstepTwoHop, KafkaStreams30]
    return [
        *steady,
        *(step(one, options, options.rate, rounds_max=1) for one in others),
        *(step(one, options, None, rounds_max=1) for one in halved),
    ]


J3 = Job(
    name="j3",
    title="latency at a steady rate, over all hops",
    note="From the moment a request was due to a read_committed consumer of the last output; peers do two hops, "
    "the whole pipeline three. A run counts only when all came and the output was right. The whole pipeline and Kafka "
    "Streams at its quickest commit are run in every round, the others once.",
    figures=FIGURES,
    steps=_steps,
    in_quick=True,
    run_seconds=55,
)
