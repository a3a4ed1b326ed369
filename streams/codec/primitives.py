"""Avro's longs, strings and tokens, written and read by hand for the measured hot loops.

A head of five fields costs a schema-driven writer 4 to 7 us and a reader more (a union of records above all), and a
message passes nine of them; joined from parts, or cut into parts, it costs about 1 us. Only what every message repeats
is here: the schemas stay the source. Readers refuse whatever is not in minimal encoding with IndexError or ValueError,
and whoever calls them then asks the schema-driven reader. tests/codec/test_primitives.py compares each function with
the schema-driven ones.
"""

from __future__ import annotations

from functools import lru_cache

NULL = b"\x00"
"""The first branch of a union with null."""
PRESENT = b"\x02"
"""The second branch of a union with null."""
NO_TOKEN = NULL

_KEPT_LONGS = 16_384
_KEPT_TEXTS = 65_536
"""Encoded ids that are kept: about 15 MiB when full of typical ids, three times that with the longest."""
_UNUSUAL = "broken, or not in the minimal and short encoding that is read by hand"
_SHORT = 0x81
"""Bits that a size below 64 does not have: the sign, and the mark of a second byte."""


def long_once(number: int) -> bytes:
    """Return an Avro long, zigzag, seven bits a byte, the lowest first; for a number that is not likely to return."""
    left = (number << 1) ^ (number >> 63)
    if left < 0x80:
        return left.to_bytes(1, "big")
    out = bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)


long = lru_cache(maxsize=_KEPT_LONGS)(long_once)
"""The same, kept: positions, instants, sizes."""


def text_once(words: str) -> bytes:
    """Return an Avro string, of any size."""
    data = words.encode()
    return long_once(len(data)) + data


text = lru_cache(maxsize=_KEPT_TEXTS)(text_once)
"""The same, kept: for ids that were found to be valid, and other names that come again."""


def token_bytes(timestamp_ms: int, nonce: int) -> bytes:
    """Return a Token."""
    return long_once(timestamp_ms) + long_once(nonce)


def place_bytes(account_id: str, epoch: int, seq: int) -> bytes:
    """Return account_id, epoch, seq_first and seq of an update that covers one number."""
    number = long(seq)
    return b"".join((text(account_id), long(epoch), number, number))


def read_long(value: bytes, at: int) -> tuple[int, int]:
    """Return (number, where it ends); raise ValueError when it is not minimal or has more than 64 bits."""
    byte = value[at]
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), at + 1
    number = byte & 0x7F
    shift = 0
    while byte > 0x7F:
        at += 1
        shift += 7
        if shift > 63:
            raise ValueError(_UNUSUAL)
        byte = value[at]
        number |= (byte & 0x7F) << shift
    if (byte == 0 and shift) or number >> 64:
        raise ValueError(_UNUSUAL)
    return (number >> 1) ^ -(number & 1), at + 1


def long_end(value: bytes, at: int) -> int:
    """Return where a long ends; raise ValueError when it is not minimal or has more than 64 bits."""
    byte = value[at]
    if byte < 0x80:
        return at + 1
    last = at + 9
    while byte > 0x7F:
        at += 1
        byte = value[at]
        if at == last:
            break
    if not byte or (at == last and byte > 1):
        raise ValueError(_UNUSUAL)
    return at + 1


def text_end(value: bytes, at: int) -> int:
    """Return where a string ends; raise ValueError when its size is not minimal or reaches beyond the value."""
    size = value[at]
    if size & _SHORT:
        size, at = read_long(value, at)
        end = at + size
        if size < 0:
            raise ValueError(_UNUSUAL)
    else:
        end = at + 1 + (size >> 1)
    if end > len(value):
        raise ValueError(_UNUSUAL)
    return end


def read_short_text(value: bytes, at: int) -> tuple[str, int]:
    """Return (text, where it ends) of a string of less than 64 bytes; raise ValueError for any other."""
    size = value[at]
    if size & _SHORT:
        raise ValueError(_UNUSUAL)
    end = at + 1 + (size >> 1)
    return value[at + 1 : end].decode(), end


def short_text_end(value: bytes, at: int) -> int:
    """Return where a string of less than 64 bytes ends; raise ValueError for any other size.

    Not promised: that the bytes are UTF-8.
    """
    size = value[at]
    if size & _SHORT:
        raise ValueError(_UNUSUAL)
    return at + 1 + (size >> 1)


def read_bytes(value: bytes, at: int) -> tuple[bytes, int]:
    """Return (bytes, where they end)."""
    size, at = read_long(value, at)
    if size < 0:
        raise ValueError(_UNUSUAL)
    return value[at : at + size], at + size


def read_short_texts(value: bytes, at: int) -> tuple[list[str] | None, int]:
    """Return (texts or None, where it ends) of a union of null and an array of strings.

    Raises ValueError for more than 63 texts, for one of 64 bytes or more, and for an array in several blocks.
    """
    branch = value[at]
    if branch == 0:
        return None, at + 1
    count = value[at + 1]
    if branch != PRESENT[0] or count & _SHORT:
        raise ValueError(_UNUSUAL)
    at += 2
    texts: list[str] = []
    if count:
        for _ in range(count >> 1):
            one, at = read_short_text(value, at)
            texts.append(one)
        if value[at]:  # another block follows
            raise ValueError(_UNUSUAL)
        at += 1
    return texts, at
