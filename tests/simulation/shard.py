"""A worker's copy of the shard: what it restored from its store and from the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from streams.engine.claims import TABLE, ClaimLog

if TYPE_CHECKING:
    from tests.simulation.world import World

PROGRESS_KEY = b"\x09progress"


@dataclass(frozen=True, slots=True)
class Store:
    """What lies on the disk: markers, claims, last unit (of the updates) and progress (of the state)."""

    state_position: int = 0
    updates_position: int = 0
    claims: tuple[tuple[int, bytes, bytes], ...] = ()
    last_unit: int = 0
    progress: int = 0


class Shard:
    """The shard in memory, as far as it was read; each step of reading sees what is there at that moment."""

    def __init__(self, world: World, store: Store, log: ClaimLog, *, skips_undecided: bool) -> None:
        self.log = log
        self._skips_undecided = skips_undecided
        self.state_position = store.state_position
        self.updates_position = store.updates_position
        self.last_unit = store.last_unit
        self.progress = store.progress
        self._world = world
        for offset, key, value in store.claims:
            log.observe(offset, key, value, committed=True)

    def stored(self) -> Store:
        """What the next batch puts on the disk."""
        return Store(
            self.state_position, self.updates_position, tuple(self.log.rows()), self.last_unit, self.progress
        )

    def read_committed(self) -> None:
        """Read on to the committed ends, or stop somewhere before."""
        world = self._world
        limit, updates_limit = world.state.end, world.updates.end
        if world.happens(0.2):
            limit = min(limit, self.state_position + 1 + int(world.random.random() * 4))
        if world.happens(0.2):
            updates_limit = min(updates_limit, self.updates_position + 1 + int(world.random.random() * 4))
        for record in world.state.committed(self.state_position, limit):
            if record.key[:1] == TABLE:
                self.log.observe(record.offset, record.key, record.value, committed=True)
            elif record.value is not None:
                self.progress = int(record.value)
        self.state_position = max(self.state_position, min(limit, world.state.committed_end))
        for update in world.updates.committed(self.updates_position, updates_limit):
            if update.value is not None:
                self.last_unit = update.value.name
        self.updates_position = max(self.updates_position, min(updates_limit, world.updates.committed_end))

    def observe_tail(self, state_end: int) -> None:
        """Look at the claims between what is committed and `state_end`, also where the marker lies beyond them."""
        self.log.discard_uncommitted()
        start = (
            self.state_position
            if self._skips_undecided
            else min(self.state_position, self._world.state.committed_end)
        )
        for record in self._world.state.tail(start, state_end):
            if record.key[:1] == TABLE:
                self.log.observe(record.offset, record.key, record.value, committed=False)

    def took_unit(self, name: int, state_position: int, updates_position: int) -> None:
        """Go on behind the worker's own unit, skipping what others wrote before it: claims that were lost."""
        self.last_unit = self.progress = name
        self.state_position, self.updates_position = state_position, updates_position
