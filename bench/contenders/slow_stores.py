"""The two embedded stores with writes that take long while a switch is on; reads and what is written stay the same.

A write waits, then is made: as at a store that is overloaded, not as at one that is down (each call stays below the
product's own time-out). Tested in tests/bench/test_slow_store.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from streams.adapters.rocks_store import RocksBodyStore, RocksMetadataStore
from streams.store_ports import Body, MetadataRow

_LOOK_SECONDS = 0.05


class Switch:
    """A file that holds the seconds a write takes; without the file there is no delay."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def turn_on(self, seconds: float) -> None:
        """Make every write slow that begins from now on."""
        scratch = self.path.with_suffix(".new")
        scratch.write_text(f"{seconds:g}", "utf-8")
        scratch.replace(self.path)

    def turn_off(self) -> None:
        """Make them quick again, those under way among them."""
        self.path.unlink(missing_ok=True)

    async def wait(self) -> None:
        """Return when a write that begins now may be made."""
        try:
            ready_s = time.monotonic() + float(self.path.read_text("utf-8"))
        except FileNotFoundError:
            return
        while time.monotonic() < ready_s and self.path.exists():  # noqa: ASYNC110  # the other process turns it off
            await asyncio.sleep(_LOOK_SECONDS)


class SlowMetadataStore(RocksMetadataStore):
    """Metadata, written late."""

    def __init__(self, folder: Path, switch: Switch) -> None:
        super().__init__(folder)
        self._switch = switch

    async def commit(self, partition: int, rows: Sequence[MetadataRow], pointer: int) -> None:
        await self._switch.wait()
        await super().commit(partition, rows, pointer)


class SlowBodyStore(RocksBodyStore):
    """Bodies, written late."""

    def __init__(self, folder: Path, switch: Switch) -> None:
        super().__init__(folder)
        self._switch = switch

    async def commit(self, partition: int, bodies: Sequence[Body], pointer: int) -> None:
        await self._switch.wait()
        await super().commit(partition, bodies, pointer)
