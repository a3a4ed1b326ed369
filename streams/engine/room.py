"""How much the unit of work in the making still takes: records, and bytes of what they send.

Records bound the time of a unit, bytes its memory: the operation that adds a thousand members to a large thread is sent
to each of its members, and six thousand such appends are 80 MB, twice while one unit commits and the next is made. What
is counted is what the stages emit; the rows that they stage are about as much again. A record, or one step of a long
expansion, is never cut: a unit passes its bytes by one of those at most.
Counted from the shards, for one may go with its part. Tested in tests/engine/test_units.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from streams.engine.settings import HostSettings
from streams.engine.shard import Shard


class Room:
    """What is left of the limits of a worker's unit in the making."""

    def __init__(self, settings: HostSettings, shards: Mapping[int, Shard]) -> None:
        """`shards`: the worker's; live."""
        self._settings = settings
        self._shards = shards

    @property
    def records(self) -> int:
        return self._settings.unit_records_max - sum(shard.unit_records for shard in self._shards.values())

    @property
    def output_bytes(self) -> int:
        return self._settings.unit_bytes_max - sum(shard.unit_bytes for shard in self._shards.values())

    @property
    def is_left(self) -> bool:
        return self.records > 0 and self.output_bytes > 0
