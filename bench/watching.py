"""What the load scenarios watch while they run: memory, disk, rebalances; and `lockstep verify` at their end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.beside import beside
from bench.machine import usage
from streams.cli.instance import worker_pages

if TYPE_CHECKING:
    from bench.contenders.lockstep import LockstepPipeline

_EVERY_SECONDS = 1.0
VERIFY_SECONDS_MAX = 1_800.0


def disk_bytes(folder: Path) -> int:
    """Return what lies under a folder; files that vanish meanwhile count nothing."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


async def pages(contender: LockstepPipeline) -> list[dict[str, Any]]:
    """Return the status pages of the workers that answer."""
    assert contender.instance is not None, "started"
    found = await worker_pages([one.web_port for one in contender.instance.processes])
    return [page for page in found if page is not None]


async def counters(contender: LockstepPipeline) -> dict[str, int]:
    """Return the sum of the workers' counters."""
    total: dict[str, int] = {}
    for page in await pages(contender):
        for name, value in page.get("counters", {}).items():
            total[name] = total.get(name, 0) + value
    return total


async def generation(contender: LockstepPipeline) -> int:
    """Return the group's generation: it rises by one a rebalance."""
    return max((page.get("generation", 0) for page in await pages(contender)), default=0)


@asynccontextmanager
async def timeline(contender: LockstepPipeline) -> AsyncIterator[list[dict[str, float]]]:
    """Yield a list that gets a point a second: memory and disk of the workers."""
    assert contender.instance is not None, "started"
    points: list[dict[str, float]] = []
    began_s = time.monotonic()
    folder = contender.instance.data_dir / "workers"

    async def watch() -> None:
        while True:
            rss_mib = usage(contender.processes()).rss_bytes / 2**20
            disk_mib = await asyncio.to_thread(disk_bytes, folder) / 2**20
            points.append({"second": time.monotonic() - began_s, "rss_mib": rss_mib, "disk_mib": disk_mib})
            await asyncio.sleep(_EVERY_SECONDS)

    async with beside(watch()):
        yield points


async def judged(contender: LockstepPipeline) -> dict[str, Any]:
    """Return what `lockstep verify --json` says of a drained instance; raises RuntimeError when it says nothing."""
    assert contender.instance is not None, "started"
    command = [sys.executable, "-m", "streams", "verify", "--json"]
    command += ["--data-dir", str(contender.instance.data_dir)]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=VERIFY_SECONDS_MAX, check=False
    )
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        why = f"verify said nothing (exit {done.returncode}): {done.stderr.strip()[-300:]}"
        raise RuntimeError(why) from None
    return report


def fault_in(report: dict[str, Any]) -> str | None:
    """Return what a report of `lockstep verify` found, or None."""
    return None if report.get("ok") else f"verify: {json.dumps(report)[:600]}"


async def verified(contender: LockstepPipeline) -> tuple[str | None, float]:
    """Run `lockstep verify` on a drained instance; return (what it found, or None; seconds)."""
    began_s = time.monotonic()
    report = await judged(contender)
    return fault_in(report), time.monotonic() - began_s
