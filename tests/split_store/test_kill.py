"""SIGKILL at every step of the split store on RocksDB, with a checker looking on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streams import faults
from streams.adapters.rocks_store import RocksBodyStore, RocksMetadataStore
from streams.adapters.store_checker import StoreChecker
from streams.store_ports import Body, MetadataRow
from tests.split_store import doomed

ROOT = Path(doomed.__file__).parents[2]
LIFE_S_MAX = 60.0
State = tuple[list[MetadataRow], list[Body], int | None, int | None]


def start(folder: Path, fault: str = "") -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), faults.VARIABLE: fault}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.split_store.doomed", str(folder)],
        env=environment,
    )


def live_to_the_end(folder: Path) -> None:
    assert start(folder).wait(LIFE_S_MAX) == 0


async def state_of(folder: Path) -> State:
    metadata = RocksMetadataStore(folder / "metadata")
    bodies = RocksBodyStore(folder / "bodies")
    rows = (await metadata.read(0, "thread", 0, 10**6, 10**6)).rows
    stored = await bodies.get([row.key for row in rows])
    state = rows, list(stored.values()), await metadata.pointer(0), await bodies.pointer(0)
    await metadata.close()
    await bodies.close()
    return state


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose worker was never killed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    live_to_the_end(folder)
    return folder


@pytest.mark.chaos
@pytest.mark.parametrize("count", [1, 17])
@pytest.mark.parametrize("point", [name for name in faults.POINTS if name.startswith("split_store.")])
async def test_a_kill_between_any_two_steps_leaves_the_same_final_state(
    tmp_path: Path, undisturbed: Path, point: str, count: int
) -> None:
    """W5: before metadata, after it, before the body, after it; W6 holds of what the dead worker left."""
    process = start(tmp_path, f"{point}:{count}")
    assert process.wait(LIFE_S_MAX) == -signal.SIGKILL
    if (tmp_path / "bodies").is_dir() and (tmp_path / "metadata").is_dir():
        with StoreChecker(tmp_path / "metadata", tmp_path / "bodies", tmp_path / "look") as checker:
            assert checker.bodies_without_metadata() == frozenset()
    live_to_the_end(tmp_path)
    assert await state_of(tmp_path) == await state_of(undisturbed)


@pytest.mark.chaos
async def test_bodies_always_have_metadata_while_the_worker_is_killed_again_and_again(
    tmp_path: Path, undisturbed: Path, seed: int
) -> None:
    """W6: looked at from beside the worker, as fast as it goes, over several lives and deaths."""
    choice = random.Random(seed)
    process = start(tmp_path)
    deadline = time.monotonic() + LIFE_S_MAX
    while not (tmp_path / "bodies" / "CURRENT").exists() or not (tmp_path / "metadata" / "CURRENT").exists():
        assert time.monotonic() < deadline
    looks = kills = most_bodies = 0
    with StoreChecker(tmp_path / "metadata", tmp_path / "bodies", tmp_path / "look") as checker:
        kill_at = choice.randrange(5, 60)
        while process.poll() is None:
            assert time.monotonic() < deadline
            assert checker.bodies_without_metadata() == frozenset()
            bodies = len(checker.bodies().keys)
            looks += 1
            if kills < 4 and bodies >= kill_at and bodies > most_bodies:
                process.kill()
                process.wait()
                kills += 1
                kill_at = bodies + choice.randrange(1, 30)
                process = start(tmp_path)
            most_bodies = max(most_bodies, bodies)
        assert checker.lowest_pointers() == {0: doomed.script().end}
    assert process.returncode == 0
    assert kills > 0
    assert looks > 10
    assert await state_of(tmp_path) == await state_of(undisturbed)
