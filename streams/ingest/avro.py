"""The few Avro encodings that this stage joins records of; all minimal, as every Avro library writes them.

Tested in tests/ingest/test_outputs.py against the codec.
"""

from __future__ import annotations

from functools import lru_cache

from streams.ids import Token

NULL = b"\x00"
"""First branch of a union with null."""
PRESENT = b"\x02"
"""Second branch of a union with null."""


def long_bytes(number: int) -> bytes:
    """Return a signed number of up to 64 bits."""
    rest = (number << 1) ^ (number >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


@lru_cache(maxsize=256)
def instant_bytes(at_ms: int) -> bytes:
    """Return an instant; cached, for the shard clock stands still over a batch."""
    return long_bytes(at_ms)


def string_bytes(text: str) -> bytes:
    """Return a string."""
    data = text.encode()
    return long_bytes(len(data)) + data


def sender_bytes(account_id: str, endpoint_id: str) -> bytes:
    """Return account_id and endpoint_id, as they stand side by side in requests, operations and answers."""
    return string_bytes(account_id) + string_bytes(endpoint_id)


def token_bytes(token: Token) -> bytes:
    """Return a token."""
    return long_bytes(token.timestamp_ms) + long_bytes(token.nonce)
