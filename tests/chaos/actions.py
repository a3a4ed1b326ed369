"""What can be done to a running instance. Each returns when the instance may be expected to recover by itself.

Tests call them one by one, the schedule of `python -m tests.chaos` in any order. None judges; all leave the processes
of `Harness.usual` running or say which they killed.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path

from streams import faults
from tests.chaos.harness import SERVING_SECONDS_MAX, SHARDS, Harness
from tests.chaos.processes import Worker
from tests.chaos.waiting import NotInTime, until, until_answered

IN_DOUBT = "engine.unit_in_doubt"
BEATS_A_STORM = 10
REQUESTS_A_BEAT = 60
_STRIKES_WITHIN_SECONDS = 30.0


class Damage(StrEnum):
    """How a local store can be broken while its worker is dead."""

    WIPED = "wiped"
    CURRENT_GARBAGE = "current_garbage"
    MANIFEST_GONE = "manifest_gone"
    TABLES_TRUNCATED = "tables_truncated"
    LOG_GARBAGE = "log_garbage"


async def kill_at(_harness: Harness, victim: Worker, fault: str) -> None:
    """Start a worker that dies at a fault point (`point:count`), see it die there, start it again."""
    victim.kill()
    victim.start(fault)
    await victim.died_by_fault()
    victim.start()


async def try_to_kill_at(harness: Harness, chance: random.Random) -> str:
    """Arm a random point; a point that is not passed in time (nothing to fence, say) is a kill at any moment."""
    point = chance.choice(faults.POINTS)
    victim = harness.store if point.startswith("split_store.") else chance.choice(harness.usual)
    count = chance.randint(1, 2) if point.startswith("opening.") else chance.randint(1, 30)
    victim.kill()
    victim.start(f"{point}:{count}")
    try:
        await victim.died_by_fault(_STRIKES_WITHIN_SECONDS)
        struck = "struck"
    except NotInTime:
        victim.kill()
        struck = "was not passed in time"
    victim.start()
    return f"{victim.name} at {point}:{count}, which {struck}"


async def make_zombie(harness: Harness, victim: Worker) -> None:
    """Stop a worker's clock until others own all its shards, then let it go on as if nothing had happened."""
    before = len(victim.events(IN_DOUBT))
    victim.suspend()
    try:
        await others_own_all(harness, victim)
    finally:
        victim.resume()
    await until(
        lambda: len(victim.events(IN_DOUBT)) > before or not victim.is_alive,
        f"{victim.name} notices that it was fenced",
        SERVING_SECONDS_MAX,
    )
    assert victim.is_alive, f"{victim.name} ended instead of opening its shards anew: {victim.tail()}"


async def others_own_all(harness: Harness, victim: Worker) -> None:
    """Wait until the other pipeline workers have every shard."""

    async def own_all() -> bool:
        found: set[int] = set()
        for worker in harness.pipeline:
            if worker is not victim:
                found |= await harness.open_shards(worker)
        return len(found) == SHARDS

    await until_answered(own_all, f"others own the shards of {victim.name}", SERVING_SECONDS_MAX)


async def kill_broker(harness: Harness) -> None:
    """SIGKILL the broker under load, and start it again on the same folder."""
    await asyncio.to_thread(harness.broker.kill)
    await asyncio.to_thread(harness.broker.start)


async def damage_stores(_harness: Harness, victim: Worker, damage: Damage) -> int:
    """Kill a worker, break all its local stores, start it; return how many were broken."""
    victim.kill()
    broken = sum(break_store(folder, damage) for folder in victim.shard_folders())
    victim.start()
    return broken


def break_store(folder: Path, damage: Damage) -> bool:
    """Break one RocksDB folder; return False when it has nothing that can be broken in this way."""
    current = folder / "CURRENT"
    match damage:
        case Damage.WIPED:
            shutil.rmtree(folder)
        case Damage.CURRENT_GARBAGE:
            current.write_bytes(b"\x00garbage\xff" * 9)
        case Damage.MANIFEST_GONE:
            for manifest in folder.glob("MANIFEST-*"):
                manifest.unlink()
        case Damage.TABLES_TRUNCATED:
            tables = list(folder.glob("*.sst"))
            for table in tables:
                table.write_bytes(table.read_bytes()[: table.stat().st_size // 2])
            return bool(tables)
        case Damage.LOG_GARBAGE:
            for log in folder.glob("*.log"):
                data = log.read_bytes()
                log.write_bytes(data[: len(data) // 2] + b"\xa5" * (len(data) // 2))
    return True


async def storm(harness: Harness, chance: random.Random, beats: int = BEATS_A_STORM) -> list[str]:
    """Start, stop and kill up to three workers at random, a beat every so many requests; one at least lives."""
    told = []
    for _ in range(beats):
        worker = chance.choice(harness.pipeline)
        alive = [one for one in harness.pipeline if one.is_alive]
        if not worker.is_alive:
            worker.start()
            told.append(f"start {worker.name}")
        elif len(alive) == 1:
            told.append(f"leave {worker.name}")
        elif chance.random() < 0.5:
            worker.kill()
            told.append(f"kill {worker.name}")
        else:
            await worker.stop()
            told.append(f"stop {worker.name}")
        await harness.fed(REQUESTS_A_BEAT)
    return told


Action = Callable[[Harness, random.Random], Awaitable[str]]


async def _kill(harness: Harness, chance: random.Random) -> str:
    victim = chance.choice([*harness.usual, harness.store])
    victim.kill()
    victim.start()
    return victim.name


async def _zombie(harness: Harness, chance: random.Random) -> str:
    victim = chance.choice(harness.usual)
    await make_zombie(harness, victim)
    return victim.name


async def _broker(harness: Harness, chance: random.Random) -> str:
    victim = chance.choice([*harness.usual, None])
    if victim is not None:
        victim.kill()
    await kill_broker(harness)
    if victim is None:
        return "the broker alone"
    victim.start()
    return f"the broker and {victim.name}"


async def _damage(harness: Harness, chance: random.Random) -> str:
    victim, damage = chance.choice(harness.usual), chance.choice(list(Damage))
    broken = await damage_stores(harness, victim, damage)
    return f"{broken} stores of {victim.name} {damage}"


async def _storm(harness: Harness, chance: random.Random) -> str:
    return ", ".join(await storm(harness, chance, chance.randint(4, BEATS_A_STORM)))


ACTIONS: dict[str, Action] = {
    "kill at a point": try_to_kill_at,
    "kill": _kill,
    "zombie": _zombie,
    "broker": _broker,
    "damage": _damage,
    "storm": _storm,
}
"""By the names that the schedule prints."""
