"""How long `up` waits for its workers (streams/cli/instance.py)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.cli import instance as module
from streams.cli.instance import Instance
from streams.topology import load_topology

ROWS_IN_ALL = 4


async def _awaits(monkeypatch: pytest.MonkeyPatch, folder: Path, rows_read: Iterable[int]) -> bool:
    """Wait for a worker that has read so many rows at each look, and serves when it has them all."""
    looks: Iterator[int] = iter(rows_read)

    async def pages(_: object) -> list[dict[str, Any]]:
        return [{"shards": [{"rows_read": next(looks)}]}]

    def serves(_: object, found: list[dict[str, Any]], __: int) -> bool:
        return bool(found[0]["shards"][0]["rows_read"] == ROWS_IN_ALL)

    monkeypatch.setattr(module, "worker_pages", pages)
    monkeypatch.setattr(module, "_serves", serves)
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.1)
    made = Instance(data_dir=folder, topology=load_topology(), workers=0, has_store=False)
    monkeypatch.setattr(made, "_write_run", lambda: None)
    return await made.await_serving(0.15)


async def test_a_restore_is_waited_for_as_long_as_rows_are_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Four looks take longer than the time-out; each finds one row more."""
    assert await _awaits(monkeypatch, tmp_path, range(ROWS_IN_ALL + 1))


async def test_a_worker_that_reads_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Rows that were there before are no sign of life."""
    assert not await _awaits(monkeypatch, tmp_path, itertools.repeat(1))
