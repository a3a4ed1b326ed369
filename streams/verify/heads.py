"""Reads the first fields of a record and leaves the rest: what makes judging a million records quick.

Records of the newest schema are split; older published versions are decoded whole. Tested in
tests/verify/test_judge.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streams.errors import Undecodable

if TYPE_CHECKING:
    from streams.codec import Codec


class Heads:
    """Heads of one record type, up to (not with) a field."""

    def __init__(self, codec: Codec, record: str, first_of_tail: str) -> None:
        self._codec = codec
        self._record = record
        self._split = codec[record].split(first_of_tail)

    def read(self, value: bytes | None) -> dict[str, Any]:
        """Return the head's fields (all fields for an older version); raise RecordError."""
        return self.read_with_tail(value)[0]

    def read_with_tail(self, value: bytes | None) -> tuple[dict[str, Any], bytes | None]:
        """Return (head, encoded tail); the tail is None when the head holds all fields already."""
        if value is not None and value.startswith(self._split.frame):
            try:
                return self._split.read(value)
            except Undecodable:
                pass  # the whole decoder says what is wrong with it
        return self._codec.decode_as(self._record, value), None

    def decode_tail(self, tail: bytes) -> dict[str, Any]:
        """Return the fields of a tail."""
        return self._split.decode_tail(tail)
