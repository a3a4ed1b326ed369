"""Names, positions and hashes: what identifies things, for ever.

The hashes are part of the format: BLAKE2b with an 8-byte digest over length-prefixed UTF-8 (each part is
preceded by its length in bytes as a 4-byte big-endian number; integers are hashed as their decimal text).
shard = murmur2 of the UTF-8 account or thread, as Kafka's default partitioner computes it.
Tested in tests/test_ids.py with vectors that must never change.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from aiokafka.partitioner import murmur2

from streams.limits import ID_BYTES_MAX

MESSAGE_ID_BYTES = 16
_CACHE_ENTRIES = 262_144  # about 40 MiB when full of long ids; typical ids cost a third of it


class Token(NamedTuple):
    """A dedup token: the client's clock at compose time and 63 random bits."""

    timestamp_ms: int
    nonce: int


class Position(NamedTuple):
    """A place in one inbox: numbers are dense inside an epoch."""

    epoch: int
    seq: int

    def next(self) -> Position:
        """Return the position after this one in the same epoch."""
        return Position(self.epoch, self.seq + 1)


def hash64(parts: Iterable[str | bytes]) -> bytes:
    """Return BLAKE2b-64 over the length-prefixed parts."""
    digest = blake2b(digest_size=8)
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode()
        digest.update(len(data).to_bytes(4, "big"))
        digest.update(data)
    return digest.digest()


@lru_cache(maxsize=_CACHE_ENTRIES)
def account_hash(account_id: str) -> bytes:
    """Return the 8 bytes by which a message id tells its author."""
    return hash64((account_id,))


def message_id(account_id: str, endpoint_id: str, token: Token) -> bytes:
    """Return the 16-byte id of a message: the same on every retry and after any failover (spec 1)."""
    author, client = _client_parts(account_id, endpoint_id)
    timestamp, nonce = b"%d" % token.timestamp_ms, b"%d" % token.nonce
    # hash64 of the four parts, with the client's two prepared: this is the measured hot path.
    parts = b"%b\0\0\0%c%b\0\0\0%c%b" % (client, len(timestamp), timestamp, len(nonce), nonce)
    return author + blake2b(parts, digest_size=8).digest()


@lru_cache(maxsize=65_536)  # entries are twice as large as those of the other caches
def _client_parts(account_id: str, endpoint_id: str) -> tuple[bytes, bytes]:
    """Return the author's hash, and account and endpoint as length-prefixed parts."""
    account, endpoint = account_id.encode(), endpoint_id.encode()
    parts = (len(account).to_bytes(4, "big"), account, len(endpoint).to_bytes(4, "big"), endpoint)
    return account_hash(account_id), b"".join(parts)


def is_author(message: bytes, account_id: str) -> bool:
    """Whether a message id was given to a message of this account."""
    return message[:8] == account_hash(account_id)


class _Homes(dict[str, int]):
    """Key -> shard, worked out when it is first asked for; ids that are too long to be ids are not kept."""

    def __init__(self, shards: int) -> None:
        super().__init__()
        self._shards = shards

    def __missing__(self, key: str) -> int:
        home = int((murmur2(key.encode()) & 0x7FFFFFFF) % self._shards)
        if len(key) <= ID_BYTES_MAX:
            if len(self) >= _CACHE_ENTRIES:
                self.clear()
            self[key] = home
        return home


@lru_cache(maxsize=16)
def placing(shards: int) -> Callable[[str], int]:
    """Return the function that gives the shard of an account or a thread: Kafka's own default partition for that key.

    What is returned keeps its results: the hot loop asks it eight times a message.
    """
    return _Homes(shards).__getitem__


def shard_of(key: str, shards: int) -> int:
    """Return the shard of an account or a thread among so many."""
    return placing(shards)(key)


def delivery_key(account_id: str, endpoint_id: str) -> bytes:
    """Return the key of delivery and replay records; their partition is the account's shard."""
    return f"{account_id}\0{endpoint_id}".encode()


def id_problem(name: str) -> str | None:
    """Return the stable code of what is wrong with an id, or None (D18).

    Ids are 1 to 128 UTF-8 bytes without control characters: NUL separates account and endpoint in delivery
    keys.
    """
    # A string has at least as many bytes as characters: what is far too long is not kept in the cache.
    return "ID_TOO_LONG" if len(name) > ID_BYTES_MAX else _short_id_problem(name)


@lru_cache(maxsize=_CACHE_ENTRIES)
def _short_id_problem(name: str) -> str | None:
    if not name:
        return "ID_EMPTY"
    if len(name.encode()) > ID_BYTES_MAX:
        return "ID_TOO_LONG"
    if any(unicodedata.category(character) == "Cc" for character in name):
        return "ID_CONTROL_CHARACTER"
    return None
