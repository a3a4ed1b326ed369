"""Threads and their members: what decides who may write to a thread and who reads it.

`threads`: thread -> position of the last admitted operation, number of members. `members`: thread + chunk
number -> up to MEMBERS_CHUNK members, each with the position since which it belongs. Members stand densely:
all chunks but the last are full, so member number i is in chunk i // MEMBERS_CHUNK, and a removed member's
place is taken by the last.

Guarantees point reads only, and that a chunk row changes only when one of its members does. Finding a
member reads the chunks one by one (about 1 us each): small beside the fan-out that an admitted operation
costs, which is why there is no row a member. Rows are parsed once as long as their bytes stay the same.
Tested in tests/tables/test_threads.py.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from streams.limits import MEMBERS_CHUNK
from streams.tables import MEMBERS, THREADS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from streams.ports import State

_VERSION = 1
_THREAD = struct.Struct(">BQI")
_CHUNK = struct.Struct(">BH")
_PARSED_CHUNKS = 2_048
"""Chunks kept parsed: about 20 MiB when all are full of long ids."""


class Thread(NamedTuple):
    """What the threads table says of one thread."""

    position: int
    members: int


class Chunk(NamedTuple):
    """One row of the members table."""

    accounts: tuple[str, ...]
    since: tuple[int, ...]


EMPTY = Chunk((), ())


def pack_chunk(chunk: Chunk) -> bytes:
    """Return a row: version, count, positions, then the accounts with NUL between them (ids hold no NUL)."""
    count = len(chunk.accounts)
    return (
        _CHUNK.pack(_VERSION, count)
        + struct.pack(f">{count}Q", *chunk.since)
        + "\0".join(chunk.accounts).encode()
    )


@lru_cache(maxsize=_PARSED_CHUNKS)
def parse_chunk(row: bytes) -> Chunk:
    """Return the members of a row."""
    _, count = _CHUNK.unpack_from(row)
    names = row[_CHUNK.size + 8 * count :].decode()
    return (
        Chunk(tuple(names.split("\0")), struct.unpack_from(f">{count}Q", row, _CHUNK.size))
        if count
        else EMPTY
    )


class ThreadsTable:
    """The two tables, read and written through a shard's state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def get(self, thread_id: str) -> Thread | None:
        """Return a thread, or None when nobody created it."""
        row = self._state.get(_thread_key(thread_id))
        return None if row is None else Thread(*_THREAD.unpack(row)[1:])

    def put(self, thread_id: str, thread: Thread) -> None:
        """Write a thread's position and number of members."""
        self._state.put(_thread_key(thread_id), _THREAD.pack(_VERSION, *thread))

    def members(self, thread_id: str, thread: Thread) -> Members:
        """Return the members of a thread."""
        return Members(self._state, thread_id, thread.members)


class Members:
    """The members of one thread: a container with a fixed order, changed in place."""

    def __init__(self, state: State, thread_id: str, count: int) -> None:
        self._state = state
        self._prefix = MEMBERS.byte + thread_id.encode() + b"\0"
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __contains__(self, account_id: object) -> bool:
        return isinstance(account_id, str) and self._find(account_id) is not None

    def run(self, start: int, count: int) -> Sequence[str]:
        """Return members number `start` to `start + count - 1`, as far as there are."""
        end = min(start + count, self._count)
        if start == 0 and end <= MEMBERS_CHUNK:
            return self._chunk(0).accounts[:end] if end else ()
        accounts: list[str] = []
        while start < end:
            number, at = divmod(start, MEMBERS_CHUNK)
            found = self._chunk(number).accounts[at : at + end - start]
            accounts += found
            start += len(found)
        return accounts

    def present(self, accounts: Iterable[str]) -> list[str]:
        """Return those of the accounts that are members, in the order of the question."""
        wanted = list(accounts)
        if not wanted:
            return []
        missing = set(wanted)
        found: set[str] = set()
        for number in range(self._chunks()):
            found |= missing.intersection(self._chunk(number).accounts)
        return [account for account in wanted if account in found]

    def add(self, accounts: Sequence[str], since: int) -> None:
        """Append members; the caller has made sure that none of them is one yet."""
        left = list(accounts)
        while left:
            number, at = divmod(self._count, MEMBERS_CHUNK)
            chunk = self._chunk(number) if at else EMPTY
            taken, left = left[: MEMBERS_CHUNK - at], left[MEMBERS_CHUNK - at :]
            self._put(number, Chunk((*chunk.accounts, *taken), (*chunk.since, *(since,) * len(taken))))
            self._count += len(taken)

    def remove(self, accounts: Iterable[str]) -> None:
        """Take members out; the last member moves into each free place."""
        for account in accounts:
            place = self._find(account)
            if place is not None:
                self._remove_at(*divmod(place, MEMBERS_CHUNK))

    def _remove_at(self, number: int, at: int) -> None:
        last_number = (self._count - 1) // MEMBERS_CHUNK
        last = self._chunk(last_number)
        mover, since = last.accounts[-1], last.since[-1]
        rest = Chunk(last.accounts[:-1], last.since[:-1])
        if rest.accounts:
            self._put(last_number, rest)
        else:
            self._state.delete(self._key(last_number))
        self._count -= 1
        if (number, at) == (last_number, len(rest.accounts)):
            return
        chunk = self._chunk(number)
        accounts, positions = list(chunk.accounts), list(chunk.since)
        accounts[at], positions[at] = mover, since
        self._put(number, Chunk(tuple(accounts), tuple(positions)))

    def _find(self, account_id: str) -> int | None:
        needle = account_id.encode()
        for number in range(self._chunks()):
            # Looking for the bytes first spares the parsing of nearly every chunk without the member.
            row = self._state.get(self._key(number))
            if row is not None and needle in row:
                accounts = parse_chunk(row).accounts
                if account_id in accounts:
                    return number * MEMBERS_CHUNK + accounts.index(account_id)
        return None

    def _chunks(self) -> int:
        return -(-self._count // MEMBERS_CHUNK)

    def _key(self, number: int) -> bytes:
        return self._prefix + number.to_bytes(4, "big")

    def _chunk(self, number: int) -> Chunk:
        row = self._state.get(self._key(number))
        assert row is not None, "a chunk below the member count is always there"
        return parse_chunk(row)

    def _put(self, number: int, chunk: Chunk) -> None:
        self._state.put(self._key(number), pack_chunk(chunk))


def _thread_key(thread_id: str) -> bytes:
    return THREADS.byte + thread_id.encode()
