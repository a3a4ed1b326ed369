"""J1: two hops and the whole pipeline against the peers. J6: the same with more and fewer repeats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.contenders.kafka_streams import KafkaStreams100
from bench.contenders.lockstep import LockstepPipeline, LockstepTwoHop
from bench.contenders.python_peers import Faust, Quix100, Quix1000
from bench.jobs.throughput import throughput
from bench.load import Load
from bench.plan import Figure, Job, Options, Step

if TYPE_CHECKING:
    from bench.contenders.base import Contender
    from bench.sitting import Sitting

FIGURES = (
    Figure("messages_per_cpu_second", "messages per CPU-s"),
    Figure("cpu_seconds_per_million", "CPU-s per million"),
    Figure("messages_per_second", "messages/s"),
    Figure("broker_cpu_seconds_per_million", "broker CPU-s per million"),
    Figure("cpu_seconds_per_million_with_start", "CPU-s per million, start and warm-up included"),
    Figure("peak_rss_mib", "peak RSS MiB"),
)
QUICK_MESSAGES = 60_000


def step(contender: type[Contender], load: Load, **parameters: Any) -> Step:
    """Return a step that runs a load through a contender."""

    async def measure(sitting: Sitting, one: Contender) -> dict[str, Any]:
        return await throughput(sitting, one, load)

    return Step(contender, contender, measure, parameters)


def _j1(options: Options) -> Sequence[Step]:
    load = Load(messages=QUICK_MESSAGES if options.is_quick else options.messages, seed=options.seed)
    contenders: list[type[Contender]] = [LockstepTwoHop, LockstepPipeline, KafkaStreams100, Quix100]
    if not options.is_quick:
        contenders += [Quix1000, Faust]
    return [step(one, load) for one in contenders]


J1 = Job(
    name="j1",
    title="two hops with exactly-once (J1a), and our whole pipeline (J1b)",
    note="Avro requests of 120-byte bodies, 20,000 clients and recipients, 5 % exact repeats, 4 partitions. Peers and "
    "J1a: dedup by (client, token) within 24 h in a persistent store with changelog, repartition by recipient, a "
    "gapless number a recipient, two outputs. J1b does more: two updates and two deliveries a request, and an answer.",
    figures=FIGURES,
    steps=_j1,
    in_quick=True,
    run_seconds=45,
)


DUPLICATES = (0.0, 0.05, 0.5, 0.95)


def _j6(options: Options) -> Sequence[Step]:
    contenders: list[type[Contender]] = [LockstepTwoHop, LockstepPipeline, KafkaStreams100]
    return [
        step(one, Load(messages=options.messages // 2, seed=options.seed, duplicates=share), duplicates=share)
        for share in DUPLICATES
        for one in contenders
    ]


J6 = Job(
    name="j6",
    title="what a repeat costs",
    note="As J1, with 0, 5, 50 and 95 % exact repeats of requests sent before, near and far.",
    figures=(FIGURES[1], FIGURES[0], *FIGURES[2:4]),
    steps=_j6,
    runs=lambda options: min(options.runs, 1),
    run_seconds=35,
)
