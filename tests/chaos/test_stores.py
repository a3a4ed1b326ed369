"""Local stores are caches of the log: lost, damaged or without room, they come back from the topics."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.actions import Damage, damage_stores
from tests.chaos.harness import SERVING_SECONDS_MAX, Harness
from tests.chaos.waiting import until

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
]

DISK_BYTES = 48 << 20


@pytest.mark.parametrize("damage", list(Damage))
async def test_a_broken_store_is_rebuilt_from_the_topics(ready: Harness, damage: Damage) -> None:
    """Every store of a worker that was killed under load; it serves again by itself."""
    victim = ready.usual[0]
    if damage is Damage.TABLES_TRUNCATED:  # RocksDB writes tables when it opens what a killed process left
        victim.kill()
        victim.start()
        await ready.serving()
    assert await damage_stores(ready, victim, damage) > 0
    await ready.serving()
    await ready.answered()
    await ready.judged()


async def test_a_full_disk_is_waited_out(ready: Harness) -> None:
    """The worker says so, keeps its process, and goes on by itself when there is room again."""
    victim = ready.usual[0]
    victim.kill()
    with small_disk(victim.folder / "shards"):
        victim.start()
        await ready.serving()
        filler = victim.folder / "shards" / "filler"
        fill(filler)
        await until(
            lambda: any("STORE_FULL" in str(event) or "is full" in str(event) for event in victim.logged()),
            "the full disk is noticed",
            SERVING_SECONDS_MAX,
        )
        assert victim.is_alive
        filler.unlink()
        await ready.serving()
        await ready.answered()
        await ready.judged()
        victim.kill()


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of its own, which a test may fill; skips where that needs rights that nobody gave."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a full disk cannot be had here: mounting a tmpfs is not permitted ({error})")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


def fill(path: Path) -> None:
    """Write until there is no room."""
    with path.open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"\0" * 65_536)
        except OSError:
            return
