"""Ends the unit of work in the making: what its shards send, and those that could not say.

A shard whose local store fails while it is sealed is dropped, as everywhere: nothing of it is sent, and its next owner
reads its input again. The others are not held up by it, nor lose what was sealed before. Tested in
tests/engine/test_units.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from streams.engine.shard import Output, Shard
from streams.errors import StoreError
from streams.observe.units import Served


class SealedUnit(NamedTuple):
    """What one transaction covers."""

    shards: list[Shard]
    outputs: list[Output]
    served: list[Served]


def seal(
    shards: Iterable[Shard], changelogs: Mapping[int, str], lose: Callable[[Shard, StoreError], None]
) -> SealedUnit:
    """Seal what shards have in the making; `lose` is told of each whose store failed."""
    unit = SealedUnit([], [], [])
    for shard in shards:
        try:
            outputs = shard.seal(changelogs)
        except StoreError as error:
            lose(shard, error)
            continue
        unit.shards.append(shard)
        unit.outputs.extend(outputs)
        unit.served.extend(shard.sealed_served)
    return unit
