"""Figures of the whole pipeline on this machine: CPU per message, latency, memory, start, takeover.

    python -m bench.pipeline cost --messages 200000
    python -m bench.pipeline latency --rate 1000 --seconds 20
    python -m bench.pipeline memory --tokens 1000000
    python -m bench.pipeline start
    python -m bench.pipeline takeover

Each starts its own broker and workers in a temporary folder and checks what came out before it prints anything: a run
whose check fails prints the reason and exits with 1. The worker's CPU is read from the operating system, so it is the
honest figure on a shared machine; wall-clock figures depend on what else runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.cli.instance import Instance, worker_pages
from streams.client.outlet import Outlet, codec_of
from streams.client.publisher import Publisher
from streams.client.requests import Request, post
from streams.ids import Token
from streams.topology import load_topology
from streams.verify.drain import DrainCheck, wait_until_drained

BODY = b"x" * 120
ACCOUNTS = 20_000
DUPLICATES = 0.05
SHARDS = 4
DRAIN_SECONDS_MAX = 1_800.0


@asynccontextmanager
async def running(workers: int = 1, session_timeout_s: float = 10.0) -> AsyncIterator[Instance]:
    """Run an instance without a split store in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="lockstep-bench-") as folder:
        instance = Instance(
            data_dir=Path(folder),
            topology=load_topology().with_shards(SHARDS),
            workers=workers,
            has_store=False,
            session_timeout_s=session_timeout_s,
        )
        try:
            instance.begin()
            await instance.prepare()
            instance.start_workers()
            if not await instance.await_serving(120):
                sys.exit("the instance does not serve")
            yield instance
        finally:
            instance.end()


def workers_of(instance: Instance) -> list[psutil.Process]:
    """Return the worker processes."""
    return [psutil.Process(one.process.pid) for one in instance.processes if one.process is not None]


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """Return user and system time of processes so far."""
    return sum(one.cpu_times().user + one.cpu_times().system for one in processes)


async def drained(instance: Instance) -> None:
    """Wait until the pipeline has processed everything."""
    assert instance.connection is not None  # running
    async with DrainCheck(instance.connection.client_arguments(), instance.topology) as check:
        lags = await wait_until_drained(check, timeout_seconds=DRAIN_SECONDS_MAX)
    if lags:
        sys.exit(f"not drained: {lags[:3]}")


@asynccontextmanager
async def outlet_of(instance: Instance) -> AsyncIterator[tuple[Outlet, Publisher]]:
    """Open a way to write requests and commands fast."""
    assert instance.connection is not None  # running
    async with Publisher(instance.connection.client_arguments()) as publisher:
        outlet = Outlet(publisher, instance.topology)
        await outlet.open()
        yield outlet, publisher


def account(number: int) -> str:
    """Return the name of an account."""
    return f"account-{number % ACCOUNTS:05d}"


async def prepare_threads(instance: Instance, accounts: int = ACCOUNTS) -> None:
    """Make one thread of two for each account, one attached endpoint each, window 0."""
    async with outlet_of(instance) as (outlet, publisher):
        for number in range(accounts):
            common = {"account_id": account(number), "endpoint_id": "phone"}
            register = {"locale": "en", "route": "mobile", "window": 0}
            for name, fields in (("Register", register), ("Attach", {"position": None})):
                await outlet.put_command(
                    {"command_id": f"{name}-{number}", **common, "command": (f"lockstep.{name}", fields)}
                )
        await publisher.flush()
        for number in range(accounts):
            await outlet.put_request(
                Request(account(number), "phone", f"thread-{number:05d}", post(BODY), [account(number + 1)])
            )
        await publisher.flush()
    await drained(instance)


def messages(total: int, seed: int, duplicates: float = DUPLICATES) -> Iterator[Request]:
    """Yield requests of one recipient each, some of them exact repeats of an earlier one."""
    chance = random.Random(seed)
    now_ms = time.time_ns() // 1_000_000
    sent: list[Request] = []
    for number in range(total):
        if sent and chance.random() < duplicates:
            yield sent[chance.randrange(len(sent))]
            continue
        sender = chance.randrange(ACCOUNTS)
        token = Token(now_ms + number // 100, chance.getrandbits(63))
        request = Request(account(sender), "phone", f"thread-{sender:05d}", post(BODY), token=token)
        if len(sent) < 10_000:
            sent.append(request)
        yield request


async def counters(instance: Instance) -> dict[str, int]:
    """Return the sum of the workers' counters."""
    total: dict[str, int] = {}
    for page in await worker_pages([one.web_port for one in instance.processes]):
        for name, value in (page or {}).get("counters", {}).items():
            total[name] = total.get(name, 0) + value
    return total


async def cost(arguments: argparse.Namespace) -> dict[str, Any]:
    """Job J1b: the whole pipeline, two updates and two deliveries a request."""
    async with running(arguments.workers) as instance:
        await prepare_threads(instance)
        before, processes = await counters(instance), workers_of(instance)
        broker = (
            psutil.Process(instance.kafka.pid) if instance.kafka is not None and instance.kafka.pid else None
        )
        cpu_before = cpu_seconds(processes)
        broker_before = cpu_seconds([broker]) if broker else 0.0
        began_s = time.monotonic()
        async with outlet_of(instance) as (outlet, publisher):
            for request in messages(arguments.messages, arguments.seed):
                await outlet.put_request(request)
            await publisher.flush()
        await drained(instance)
        wall_s = time.monotonic() - began_s
        cpu_s = cpu_seconds(processes) - cpu_before
        after = await counters(instance)
        done = {name: after[name] - before.get(name, 0) for name in after}
        if done["ingest.accepted"] + done.get("ingest.duplicates", 0) != arguments.messages:
            sys.exit(f"the outputs are wrong: {done}")
        return {
            "messages": arguments.messages,
            "worker_cpu_seconds_per_million": cpu_s / arguments.messages * 1e6,
            "broker_cpu_seconds_per_million": (cpu_seconds([broker]) - broker_before)
            / arguments.messages
            * 1e6
            if broker
            else None,
            "messages_per_second": arguments.messages / wall_s,
            "worker_rss_mib": sum(one.memory_info().rss for one in processes) / 2**20,
            "units": done["engine.units"],
            "accepted": done["ingest.accepted"],
            "duplicates": done.get("ingest.duplicates", 0),
        }


async def latency(arguments: argparse.Namespace) -> dict[str, Any]:
    """Job J3: a steady rate; from produce to a read_committed consumer of the delivery topic, all hops."""
    async with running(arguments.workers) as instance:
        await prepare_threads(instance, 2_000)
        assert instance.connection is not None  # running
        warm_up = int(arguments.rate * arguments.warm_up)
        total = warm_up + int(arguments.rate * arguments.seconds)
        arrived: dict[int, float] = {}
        sent_at_s: dict[int, float] = {}
        consumer = AIOKafkaConsumer(
            isolation_level="read_committed", fetch_max_wait_ms=20, **instance.connection.client_arguments()
        )
        await consumer.start()
        consumer.assign([TopicPartition("delivery.mobile", number) for number in range(SHARDS)])
        await consumer.seek_to_end()
        for place in consumer.assignment():
            await consumer.position(place)
        codec_head = codec_of(instance.topology)["EndpointUpdate"].split("message_id")

        async def read() -> None:
            while len(arrived) < total:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    now_s = time.monotonic()
                    for record in records:
                        token = codec_head.read(record.value or b"")[0]["token"]
                        if token is not None:
                            arrived[token["nonce"]] = now_s - sent_at_s[token["nonce"]]

        reading = asyncio.create_task(read())
        async with outlet_of(instance) as (outlet, _):
            began_s, now_ms = time.monotonic(), time.time_ns() // 1_000_000
            for number in range(total):
                due_s = began_s + number / arguments.rate
                if (wait_s := due_s - time.monotonic()) > 0:
                    await asyncio.sleep(wait_s)
                sender = number % 2_000
                sent_at_s[number] = time.monotonic()
                token = Token(now_ms + number, number)
                await outlet.put_request(
                    Request(account(sender), "phone", f"thread-{sender:05d}", post(BODY), token=token)
                )
        await asyncio.wait_for(reading, 60)
        await consumer.stop()
        measured = sorted(arrived[number] for number in range(warm_up, total))
        return {
            "rate": arguments.rate,
            "messages": len(measured),
            "warm_up_seconds": arguments.warm_up,
            "p50_ms": measured[len(measured) // 2] * 1_000,
            "p99_ms": measured[int(len(measured) * 0.99)] * 1_000,
            "max_ms": measured[-1] * 1_000,
        }


async def memory(arguments: argparse.Namespace) -> dict[str, Any]:
    """Resident memory of a worker that holds many tokens."""
    async with running() as instance:
        await prepare_threads(instance)
        async with outlet_of(instance) as (outlet, publisher):
            for request in messages(arguments.tokens, arguments.seed, duplicates=0.0):
                await outlet.put_request(request)
            await publisher.flush()
        await drained(instance)
        (process,) = workers_of(instance)
        return {"tokens": arguments.tokens, "worker_rss_mib": process.memory_info().rss / 2**20}


async def start(_: argparse.Namespace) -> dict[str, Any]:
    """Seconds from nothing to every shard open, with the jars in the cache."""
    began_s = time.monotonic()
    async with running():
        return {"serving_after_seconds": time.monotonic() - began_s}


async def takeover(arguments: argparse.Namespace) -> dict[str, Any]:
    """SIGKILL one of two workers that does not come back; from the rebalance to every shard open on the other."""
    async with running(2, session_timeout_s=arguments.session_timeout) as instance:
        await prepare_threads(instance, 5_000)
        victim, other = instance.processes
        assert victim.process is not None  # running
        (page,) = await worker_pages([other.web_port])
        generation = (page or {})["generation"]
        victim.process.send_signal(signal.SIGKILL)
        killed_s = time.monotonic()
        noticed_s = None
        while True:
            (page,) = await worker_pages([other.web_port])
            if page is not None:
                if noticed_s is None and page["generation"] > generation:
                    noticed_s = time.monotonic()
                if sum(one["state"] == "open" for one in page["shards"]) == SHARDS:
                    break
            await asyncio.sleep(0.02)
        served_s = time.monotonic()
        return {
            "noticed_after_seconds": (noticed_s or served_s) - killed_s,
            "serving_after_notice_seconds": served_s - (noticed_s or served_s),
        }


JOBS = {"cost": cost, "latency": latency, "memory": memory, "start": start, "takeover": takeover}


def main() -> None:
    """Run one job and print its figures as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.pipeline", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1_000.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--warm-up", type=float, default=20.0, help="seconds before the latency is measured")
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--session-timeout", type=float, default=6.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    load_before = psutil.getloadavg()[0]
    figures = asyncio.run(JOBS[arguments.job](arguments))
    print(json.dumps({"job": arguments.job, **figures, "load_before": load_before}, indent=2))


if __name__ == "__main__":
    main()
