"""Claims: who owns a shard, as rules without I/O, clock or chance.

Ownership is itself events in the shard's state topic. A claim has a number, an owner (a transactional id, or
"" for a release) and the group generation its owner acted in. **The valid claim is the first record in log
order that bears the greatest number.** `ClaimLog` is what is known of a shard's claims;
`streams.engine.opening` says step by step what a worker has to do until the shard is its own.

Guarantees, if the engine keeps the rules below: at most one owner at a time, and whoever is told `Won` has
read all that former owners committed. Both follow from the log and from fencing alone: a claim of number n +
1 is written only by someone who saw the first claim of number n decided and fenced its owner; so the first
claim of n + 1 begins when the owner of n can write no more. Generations and hand-over moments serve liveness
only.

The engine's part:
- A transactional id is initialised for use once, by one producer object. After any doubt (fenced, outcome
  unknown, an abort that failed) the worker fences its own id, drops every opening and shard, and begins again
  under a NEW id.
- `InitProducerId` with an owner's id is a fence once the broker has ANSWERED; only then is it marked as
  fenced.
- A claim is written before the tombstones that go with it, in one transaction.
- A release is the last thing that its owner writes to the shard under that claim.

Not promised: that an opening ends. Two workers that both believe they hold the newest generation can fence
each other again and again.
Tested in tests/engine/test_claims.py; simulated with crashes, stalls, races and planted bugs in
tests/simulation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from streams.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE = b"\x01"
"""First byte of the key of every claim, in the shard's state topic and in its store."""

RELEASED = ""
"""The owner that a release names."""

_NUMBER_BYTES = 8
_GENERATION_BYTES = 8
_VERSION = b"\x01"


class UnreadableClaimError(RecordError):
    """A record under the claims' table byte is no claim; its shard cannot open until that is explained."""

    code = "UNREADABLE_CLAIM"


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim record of a shard. The number is also the fencing token ("term") of what is done under it."""

    number: int
    owner: str
    generation: int

    @property
    def is_release(self) -> bool:
        """Nobody owns the shard under this claim."""
        return self.owner == RELEASED

    def release(self) -> Claim:
        """The claim by which the holder of this one gives the shard away; the last it writes to the shard."""
        return Claim(self.number + 1, RELEASED, self.generation)


def claim_key(number: int, owner: str) -> bytes:
    """Table byte, number (8 bytes, big-endian), owner in UTF-8; so compaction never merges two claims."""
    return TABLE + number.to_bytes(_NUMBER_BYTES, "big") + owner.encode()


def claim_value(generation: int) -> bytes:
    """Version byte, generation (8 bytes, big-endian, signed: without a group it is -1)."""
    return _VERSION + generation.to_bytes(_GENERATION_BYTES, "big", signed=True)


def parse_claim(key: bytes, value: bytes) -> Claim:
    """The claim that key and value hold; raises `UnreadableClaimError`."""
    number, owner = _parse_key(key)
    if value[:1] != _VERSION or len(value) != 1 + _GENERATION_BYTES:
        raise UnreadableClaimError(
            f"claim {number} of {owner!r} has the value {value.hex()}; expected version 01"
        )
    return Claim(number, owner, int.from_bytes(value[1:], "big", signed=True))


def _parse_key(key: bytes) -> tuple[int, str]:
    if key[:1] != TABLE or len(key) < 1 + _NUMBER_BYTES:
        raise UnreadableClaimError(f"{key.hex()} is not the key of a claim")
    try:
        owner = key[1 + _NUMBER_BYTES :].decode()
    except UnicodeDecodeError as error:
        raise UnreadableClaimError(f"{key.hex()} names an owner that is not UTF-8") from error
    return int.from_bytes(key[1 : 1 + _NUMBER_BYTES], "big"), owner


class ClaimLog:
    """The claims of one shard, as far as its log has been read.

    Feed it every record under `TABLE` in log order: first the rows kept in the local store (`rows` of an
    earlier one), then what was read since. A gap is harmless where a holder's marker skips claims that lost
    against its own: they bear no greater number.
    """

    def __init__(self) -> None:
        self._rows: dict[bytes, tuple[int, Claim]] = {}
        self._undecided: dict[int, Claim] = {}
        self._valid_row: tuple[int, Claim] | None = None
        self._greatest_number = 0

    def observe(self, offset: int, key: bytes, value: bytes | None, committed: bool) -> None:  # noqa: FBT001  # the four parts of one record
        """Take in one record (value None = tombstone); it may come undecided first, and committed later.

        Raises `UnreadableClaimError`, and has then changed nothing.
        """
        claim = None if value is None else parse_claim(key, value)
        number = _parse_key(key)[0]
        if not committed:
            if claim is not None:
                self._undecided[offset] = claim
            return
        self._undecided.pop(offset, None)
        self._greatest_number = max(self._greatest_number, number)
        if claim is None:
            self._remove(key)
        elif key not in self._rows:
            self._rows[key] = (offset, claim)
            self._valid_row = _earlier_of_greater(self._valid_row, (offset, claim))

    def discard_uncommitted(self) -> None:
        """Forget what is not known to be committed; call it before the tail is read again."""
        self._undecided.clear()

    @property
    def valid(self) -> Claim | None:
        """The first committed claim in log order of the greatest number; None when there was never one."""
        return None if self._valid_row is None else self._valid_row[1]

    @property
    def uncommitted(self) -> tuple[Claim, ...]:
        """Claims beyond the committed end, in log order: open, aborted, or committed behind an open one."""
        return tuple(self._undecided[offset] for offset in sorted(self._undecided))

    @property
    def uncommitted_owners(self) -> frozenset[str]:
        """Owners of `uncommitted`; that of a release is ""."""
        return frozenset(claim.owner for claim in self._undecided.values())

    @property
    def greatest_number(self) -> int:
        """The greatest number COMMITTED so far, tombstones included; 0 before the first.

        Undecided and aborted claims must not count. Else one claimer, who saw an aborted n + 1, takes n + 2
        while another, who did not see it, wins n + 1: then the claim of n + 2 is valid, and nobody has fenced
        the winner.
        """
        return self._greatest_number

    def lower_keys(self, number: int) -> list[bytes]:
        """Keys of the committed claims below `number`, for the tombstones beside a claim of that number."""
        return sorted(key for key, (_, claim) in self._rows.items() if claim.number < number)

    def rows(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Offset, key and value of the committed claims in log order: what a local store keeps."""
        for key, (offset, claim) in sorted(self._rows.items(), key=lambda row: row[1][0]):
            yield offset, key, claim_value(claim.generation)

    def _remove(self, key: bytes) -> None:
        removed = self._rows.pop(key, None)
        if removed is None or removed != self._valid_row:
            return
        self._valid_row = None
        for row in self._rows.values():
            self._valid_row = _earlier_of_greater(self._valid_row, row)


def _earlier_of_greater(left: tuple[int, Claim] | None, right: tuple[int, Claim]) -> tuple[int, Claim]:
    if left is None or (right[1].number, -right[0]) > (left[1].number, -left[0]):
        return right
    return left
