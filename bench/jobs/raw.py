"""The raw ceiling of this machine: how fast bytes go through, when nobody looks at them."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from bench.contenders.ceiling import KafkaTools, Passthrough
from bench.load import Load
from bench.outputs import Ends, records
from bench.plan import Figure, Job, Options, Step
from bench.running import running

if TYPE_CHECKING:
    from bench.contenders.base import Contender
    from bench.sitting import Sitting

TOPIC = "bench.raw"
_RATE = re.compile(r"([\d.]+) records/sec")


def _passthrough(options: Options) -> Step:
    async def measure(sitting: Sitting, one: Contender) -> dict[str, Any]:
        load = Load(messages=options.messages, seed=options.seed)
        async with running(sitting, one, load) as run:
            some = run.encode(load)
            async with Ends(sitting, one.output_topics) as ends:
                begun = run.sample()
                await run.feed(some)
                ended = await run.settled(ends, len(run.messages))
            there = [record.value async for record in records(sitting, one.output_topics[0])]
            if len(there) != len(run.messages):
                return {"reason": f"{len(run.messages)} went in, {len(there)} came out"}
            return {
                "cpu_seconds_per_million": (ended.workers.cpu_s - begun.workers.cpu_s) / load.messages * 1e6,
                "broker_cpu_seconds_per_million": (ended.broker.cpu_s - begun.broker.cpu_s)
                / load.messages
                * 1e6,
                "messages_per_second": load.messages / (ended.at_s - begun.at_s),
                "reason": None,
            }

    return Step(Passthrough, Passthrough, measure)


def _tool(options: Options, name: str) -> Step:
    count = str(options.messages)

    async def measure(sitting: Sitting, one: Contender) -> dict[str, Any]:
        tools = cast("KafkaTools", one)
        where = ["--bootstrap-server", sitting.bootstrap, "--topic", TOPIC, "--num-records", count]
        settings = ["--command-property", "batch.size=131072", "linger.ms=5", "acks=all"]
        produce = [
            *where,
            "--record-size",
            "120",
            "--throughput",
            "-1",
            "--transaction-duration-ms",
            "100",
            *settings,
        ]
        await sitting.create([TOPIC])
        try:
            before, began_s = sitting.usage(), time.monotonic()
            said, cpu_s = await asyncio.to_thread(tools.run, "ProducerPerformance", produce)
            per_second = float(_RATE.findall(said)[-1])
            if name == "consumer":
                before, began_s = sitting.usage(), time.monotonic()
                consume = [*where, "--command-property", "isolation.level=read_committed"]
                said, cpu_s = await asyncio.to_thread(tools.run, "ConsumerPerformance", consume)
                per_second = options.messages / (time.monotonic() - began_s)
            broker_s = sitting.usage().cpu_s - before.cpu_s
        finally:
            tools.kill()
            await sitting.wipe()
        return {
            "cpu_seconds_per_million": cpu_s / options.messages * 1e6,
            "broker_cpu_seconds_per_million": broker_s / options.messages * 1e6,
            "messages_per_second": per_second,
            "reason": None,
        }

    return Step(KafkaTools, KafkaTools, measure, {"tool": name})


def _steps(options: Options) -> Sequence[Step]:
    return [_passthrough(options), _tool(options, "producer"), _tool(options, "consumer")]


RAW = Job(
    name="raw",
    title="the ceiling: Kafka and its clients without any work",
    note="A passthrough of one hop (count checked), and Kafka's own tools (start of their JVM included in the CPU; the "
    "consumer's rate too). No dedup, no numbers, no state.",
    figures=(
        Figure("cpu_seconds_per_million", "CPU-s per million"),
        Figure("messages_per_second", "messages/s"),
        Figure("broker_cpu_seconds_per_million", "broker CPU-s per million"),
    ),
    steps=_steps,
    runs=lambda options: min(options.runs, 1),
    run_seconds=15,
)
