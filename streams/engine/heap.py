"""What a worker's process does with memory that is free again: two settings of the interpreter and of the C library.

Neither changes what is kept, only what its keeping costs. Figures in docs/performance.md. Tested in
tests/engine/test_heap.py.
"""

from __future__ import annotations

import ctypes
import gc

_COLLECT_AFTER = 50_000
"""Objects made and not freed between two collections of the youngest: a few milliseconds of looking."""
_MAPPED_FROM_BYTES = 256 << 10
"""Blocks from this size on are mapped by themselves: fetches and batches are, rows and records are not."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt."""


def collect_rarely() -> None:
    """Call when everything is imported and wired.

    That is never garbage, and collections that look at it, at every cached row and at every waiting record cost a
    quarter of a worker's time: from now on they look rarely, and only at what came since.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 50)


def return_large_blocks() -> bool:
    """Have large blocks given back to the system as soon as they are free; return whether this C library can.

    glibc raises its threshold for that by itself, up to 32 MiB, after the first such block: fetched megabytes then lie
    between long-lived rows, and a worker that held 400 MiB was seen to occupy 2.3 GiB under load.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, another policy
        return False
    return all(mallopt(name, _MAPPED_FROM_BYTES) == 1 for name in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD))
