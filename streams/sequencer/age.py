"""When the request behind an append was taken in: what the latency of a delivery is measured from.

Pure. Asked for two appends of a unit, never for each. Tested in tests/sequencer/test_age.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.errors import Undecodable

if TYPE_CHECKING:
    from streams.codec import Codec
    from streams.ports import Record


class AppendAge:
    """Reads the server time that an append carries; implements observe.units.BornAt."""

    def __init__(self, codec: Codec) -> None:
        self._head = codec["InboxAppend"].split("content")

    def __call__(self, record: Record) -> int:
        """Return milliseconds since 1970; raise Undecodable or UnknownSchema when the record is no append."""
        if record.value is None:
            raise Undecodable("the record has no value")
        return int(self._head.read(record.value)[0]["server_at_ms"])
