"""Opening a shard: what a worker does, step by step, until the shard is its own; sans-I/O.

1. read what is committed, and look at undecided claims too; 2. fence the owner of the valid claim and of
every undecided one, each after a moment to hand over; 3. read on until everything is decided, and go back to
2 when that brought a new rival; 4. commit the own claim; 5. read on until everything is decided: the shard is
ours when ours is the valid claim. Why that is enough stands in `streams.engine.claims`, with the engine's
part of the rules.

Dying after any step leaves nothing to repair: an undecided claim is fenced by the next opener, a committed
one is an owner like any other. Tested in tests/engine/test_opening.py and simulated in tests/simulation.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from streams.engine.claims import RELEASED, Claim, ClaimLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class OutOfTurnError(RuntimeError):
    """The engine answered with something that the last action did not ask for: a bug of the engine."""


@dataclass(frozen=True, slots=True)
class ReadToEnd:
    """Restore the shard to the end, and feed the claims on the way to the log.

    The high watermarks are asked AFTER this action was issued. Not settled: read what is committed, then
    `discard_uncommitted` and observe the claims from the committed end to the high watermark (even where the
    store's marker lies beyond the committed end: an open claim that lost may stand below it). Settled: read
    on until the committed end has reached the high watermark on shard.state, shard.ledger and inbox.updates;
    when that takes longer than the engine's patience, observe the tail likewise and answer `undecided`.
    Answer: `read`, or to a settled one `undecided`.
    """

    settled: bool


@dataclass(frozen=True, slots=True)
class ConfirmMembership:
    """A rival bears a greater generation: make sure by a new heartbeat that ours is the group's.

    A group that Kafka forgot begins again at generation 1, so that greater is not always newer.
    Answer: `confirmed`, or `outdated` when it cannot be made sure of.
    """

    rival: Claim


@dataclass(frozen=True, slots=True)
class Fence:
    """Initialise the transactional id `owner`, and throw that producer away.

    What the owner has open is aborted, what it tries later is refused. Answer `fenced` when the broker
    answered. With `hand_over`, an owner that is still a member of the group gets a moment to release first:
    wait until its claim is not the valid one any more or the moment is over, then do what an unsettled
    `ReadToEnd` says, and answer `read`.
    """

    owner: str
    hand_over: bool


@dataclass(frozen=True, slots=True)
class CommitClaim:
    """Write the claim, then tombstones for these keys, in one transaction of the worker's own producer.

    Other shards' work may share the transaction. Answer: `claimed` when it is committed, `claim_failed` when
    it is surely aborted and the own id is intact. Any doubt ends this opening, and the id.
    """

    claim: Claim
    tombstones: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class BackOff:
    """Wait for a random while, then observe the undecided tail again. Answer: `backed_off`."""


@dataclass(frozen=True, slots=True)
class Won:
    """The shard is ours under this claim, and what the engine has read is all there is.

    Unless we have been fenced meanwhile, which the next transaction tells: it will not be committed.
    """

    claim: Claim


class GiveWayReason(StrEnum):
    """Why an opening ended without the shard."""

    NEWER_GENERATION = "a claim of a newer generation stands, and ours could not be confirmed"
    OTHER_CLAIM = "another claim came before ours, or was built on it"


@dataclass(frozen=True, slots=True)
class GiveWay:
    """The shard is not ours. A worker that still should have it opens again after a random while."""

    reason: GiveWayReason


Action: TypeAlias = ReadToEnd | ConfirmMembership | Fence | CommitClaim | BackOff | Won | GiveWay
_Issued = TypeVar("_Issued", ReadToEnd, ConfirmMembership, Fence, CommitClaim, BackOff)


class Opening:
    """Opens one shard for the transactional id `me`: perform the action, answer, get the next action.

    Each action names the methods that answer it; `Won` and `GiveWay` are the last. An opening may be dropped
    at any point. An answer out of turn raises `OutOfTurnError` and changes nothing. `fenced(owner)` tells
    whether this worker has fenced that id before; ids are used once, so that holds for ever.
    """

    def __init__(self, log: ClaimLog, me: str, generation: int, fenced: Callable[[str], bool]) -> None:
        if me == RELEASED:
            raise ValueError("an owner needs a transactional id")
        self._log = log
        self._me = me
        self._generation = generation
        self._generation_outranked = generation
        self._is_fenced = fenced
        self._waited_for: set[str] = set()
        self._is_settled = False
        self._own: Claim | None = None
        self._issued: Action | None = None

    def start(self) -> Action:
        """The first action."""
        if self._issued is not None:
            raise OutOfTurnError(f"start() after {self._issued}")
        return self._issue(ReadToEnd(settled=False))

    def read(self) -> Action:
        """The reading is done (after a `Fence` with hand-over: the wait, and the reading after it)."""
        if isinstance(self._issued, Fence) and self._issued.hand_over:
            self._is_settled = False
        else:
            self._is_settled = self._expect("read", ReadToEnd).settled
        return self._issue(self._next())

    def undecided(self) -> Action:
        """The settled reading met a transaction that stayed open for longer than the engine's patience."""
        if not self._expect("undecided", ReadToEnd).settled:
            raise OutOfTurnError(f"undecided() after {self._issued}")
        return self._issue(BackOff())

    def backed_off(self) -> Action:
        """The while is over and the tail was observed again: who is still undecided has had a moment."""
        self._expect("backed_off", BackOff)
        self._waited_for |= self._log.uncommitted_owners
        self._is_settled = False
        return self._issue(self._next())

    def fenced(self, owner: str) -> Action:
        """The broker answered the fence of `owner`, and the constructor's `fenced` says so from now on."""
        if self._expect("fenced", Fence).owner != owner:
            raise OutOfTurnError(f"fenced({owner!r}) after {self._issued}")
        self._is_settled = False
        return self._issue(self._next())

    def confirmed(self) -> Action:
        """A heartbeat of our generation succeeded after the rival was seen: its own is of the past."""
        rival = self._expect("confirmed", ConfirmMembership).rival
        self._generation_outranked = max(self._generation_outranked, rival.generation)
        return self._issue(self._next())

    def outdated(self) -> Action:
        """Our generation is not the group's, or that could not be made sure of."""
        self._expect("outdated", ConfirmMembership)
        return self._issue(GiveWay(GiveWayReason.NEWER_GENERATION))

    def claimed(self) -> Action:
        """The own claim is committed; whether it is the valid one, the log decides."""
        self._own = self._expect("claimed", CommitClaim).claim
        return self._issue(ReadToEnd(settled=True))

    def claim_failed(self) -> Action:
        """The own claim was surely not committed and the own id is intact: look again."""
        self._expect("claim_failed", CommitClaim)
        return self._issue(ReadToEnd(settled=False))

    def _next(self) -> Action:
        if self._own is not None and (self._is_settled or self._is_beaten(self._own)):
            return Won(self._own) if self._log.valid == self._own else GiveWay(GiveWayReason.OTHER_CLAIM)
        for rival in self._rivals():
            if self._own is None and rival.generation > self._generation_outranked:
                return ConfirmMembership(rival)
            is_first_time = rival.owner not in self._waited_for
            self._waited_for.add(rival.owner)
            return Fence(rival.owner, hand_over=is_first_time)
        if self._own is not None or not self._is_settled:
            return ReadToEnd(settled=True)
        number = self._log.greatest_number + 1
        return CommitClaim(Claim(number, self._me, self._generation), tuple(self._log.lower_keys(number)))

    def _is_beaten(self, own: Claim) -> bool:
        """Another claim of our number was read first, or one of a greater: nothing undecided helps."""
        valid = self._log.valid
        return valid is not None and valid != own and valid.number >= own.number

    def _rivals(self) -> Iterator[Claim]:
        """Claims whose owners may still write: the valid one, then the undecided ones.

        Once our claim is committed only the undecided matter: one of them may stand before it.
        """
        claims = self._log.uncommitted
        if self._own is None and self._log.valid is not None:
            claims = (self._log.valid, *claims)
        for claim in claims:
            if not (claim.is_release or claim.owner == self._me or self._is_fenced(claim.owner)):
                yield claim

    def _expect(self, answer: str, action: type[_Issued]) -> _Issued:
        if not isinstance(self._issued, action):
            raise OutOfTurnError(f"{answer}() after {self._issued}")
        return self._issued

    def _issue(self, action: Action) -> Action:
        self._issued = action
        return action
