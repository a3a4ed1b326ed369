"""Reads what came out, committed records only: how much there is, and what it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from bench.check import Sighting

if TYPE_CHECKING:
    from bench.sitting import Sitting

_POLL_MS = 500
_RECORDS_MAX = 20_000

Sight = Callable[[str, Any], Sighting]
"""Topic and record -> what the check wants to know of it."""


class Ends:
    """How far the committed part of some topics reaches; use as `async with`."""

    def __init__(self, sitting: Sitting, topics: Sequence[str]) -> None:
        self._sitting = sitting
        self._topics = topics

    async def __aenter__(self) -> Self:
        self._places = await self._sitting.places(self._topics)
        self._consumer = self._sitting.reader()
        await self._consumer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()

    async def total(self) -> int:
        """Return the sum of the ends; control records count too, so it is a bound and a sign of life."""
        return sum((await self._consumer.end_offsets(self._places)).values())


async def read(sitting: Sitting, topic: str, sight: Sight) -> list[Sighting]:
    """Return every committed record of a topic, each partition in log order."""
    return [sight(topic, record) async for record in records(sitting, topic)]


async def records(sitting: Sitting, topic: str) -> AsyncIterator[Any]:
    """Yield every committed record that a topic has now."""
    places = await sitting.places([topic])
    consumer = sitting.reader(max_poll_records=_RECORDS_MAX)
    await consumer.start()
    try:
        consumer.assign(places)
        starts, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        for place in places:  # seek_to_beginning would race with the consumer's own reset to the latest
            consumer.seek(place, starts[place])
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for batch in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                for record in batch:
                    yield record
    finally:
        await consumer.stop()
