"""Avro's longs, strings and tokens, written by hand for the measured hot loops.

A head of five fields costs a schema-driven writer 4 to 7 us (a union of records above all), and an update
has three of them; joined from parts that are kept, a head costs about 1 us. Only what every update repeats is
here: the schemas stay the source, and tests/tables/test_wire.py compares each function with the
schema-driven writer.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_TOKEN = b"\x00"
"""A missing token: branch 0 of the union, which is null."""

_KEPT_LONGS = 16_384
_KEPT_TEXTS = 65_536
"""Encoded ids that are kept: about 15 MiB when full of typical ids, three times that with the longest."""


@lru_cache(maxsize=_KEPT_LONGS)
def long(number: int) -> bytes:
    """Return an Avro long: zigzag, seven bits a byte, the lowest first."""
    left = (number << 1) ^ (number >> 63)
    out = bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)


@lru_cache(maxsize=_KEPT_TEXTS)
def text(name: str) -> bytes:
    """Return an Avro string."""
    data = name.encode()
    return long(len(data)) + data


def optional_token(token: Mapping[str, int] | None) -> bytes:
    """Return an Avro union of null and Token."""
    if token is None:
        return NO_TOKEN
    return b"\x02" + long(token["timestamp_ms"]) + long(token["nonce"])
