"""What a worker's process does with memory that is free again (streams/engine/heap.py)."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
import psutil
from streams.engine.heap import return_large_blocks

is_set = {setting}
me = psutil.Process()
for _ in range(3):
    bytearray(24 << 20)  # glibc takes the first free large blocks for a hint, and raises its threshold
kept = []
blocks = []
for _ in range(300):
    blocks.append(bytearray(1 << 20))
    kept.append(bytearray(600))  # a row that stays, above the block
del blocks
print(me.memory_info().rss >> 20)
"""


def occupied_mib(setting: str) -> int:
    program = textwrap.dedent(PROGRAM.format(setting=setting))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's mallopt")
def test_large_blocks_between_small_ones_are_given_back() -> None:
    """Megabytes that came and went leave nothing behind, although small things that stay were made among them."""
    without, with_setting = occupied_mib("False"), occupied_mib("return_large_blocks()")
    assert with_setting < without - 100, (with_setting, without)


def test_the_collector_looks_rarely_and_not_at_what_is_wired() -> None:
    """After the call, what was there is frozen, and hundreds of times the usual number of objects may come first."""
    program = (
        "import gc; usual = gc.get_threshold()[0]; from streams.engine.heap import collect_rarely; collect_rarely();"
        "assert gc.get_freeze_count() > 1000; assert gc.get_threshold()[0] > 10 * usual; assert gc.isenabled()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
