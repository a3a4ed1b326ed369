"""What the machine was doing: its load, the speed of a fixed loop, CPU and memory of processes with their children."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import psutil

_LOOP_NUMBER = 20_000
_LOOP_REPEATS = 5


def loop_us() -> float:
    """Return the best time of `sum(range(1000))` in microseconds: how fast this machine is at this moment."""
    best_s = float("inf")
    for _ in range(_LOOP_REPEATS):
        began_s = time.perf_counter()
        for _ in range(_LOOP_NUMBER // 10):
            sum(range(1_000))
        best_s = min(best_s, time.perf_counter() - began_s)
    return best_s / (_LOOP_NUMBER // 10) * 1e6


def moment() -> dict[str, float]:
    """Return load average and loop speed, as they stand before a run."""
    return {"load": psutil.getloadavg()[0], "loop_us": loop_us()}


def described() -> dict[str, Any]:
    """Return what a reader must know of the machine; no names of it."""
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "aiokafka": version("aiokafka"),
        **moment(),
    }


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds (user and system) and resident bytes at one moment."""

    cpu_s: float
    rss_bytes: int


def usage(processes: Iterable[psutil.Process]) -> Usage:
    """Return what processes and their living children have used; a process that is gone counts nothing."""
    cpu_s, rss_bytes = 0.0, 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            for one in [process, *process.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess), one.oneshot():
                    times = one.cpu_times()
                    cpu_s += times.user + times.system
                    rss_bytes += one.memory_info().rss
    return Usage(cpu_s, rss_bytes)
