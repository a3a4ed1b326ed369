"""Performs what streams.engine.opening asks for, on real Kafka, until one shard is ours or is given up.

The protocol decides; this file reads, waits, fences and commits. Every wait is bounded, every step can be cancelled,
and a crash after any of them leaves nothing to repair (see streams.engine.opening).
Tested by the kill matrix in tests/chaos.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from streams import faults
from streams.engine.claims import Claim, ClaimLog, claim_key, claim_value
from streams.engine.opening import (
    Action,
    BackOff,
    CommitClaim,
    ConfirmMembership,
    Fence,
    GiveWay,
    Opening,
    ReadToEnd,
    Won,
)
from streams.engine.restoration import Restoration
from streams.engine.settings import Patience

log = structlog.get_logger("engine")

_POLL_S = 0.05


class Membership(Protocol):
    """What a worker can learn of its consumer group."""

    @property
    def generation(self) -> int:
        """Generation of the group in which this worker was last assigned its shards; -1 without one."""
        ...

    async def is_member(self, owner: str) -> bool:
        """Whether the worker behind a transactional id is still a member of the group."""
        ...

    async def confirm(self) -> bool:
        """Send a heartbeat now; return whether this worker is a member of the present generation."""
        ...


@dataclass(frozen=True, slots=True)
class Takeover:
    """What an opening needs of its worker."""

    owner: str
    membership: Membership
    fenced: set[str]
    fence: Callable[[str], Awaitable[None]]
    commit_claim: Callable[[list[tuple[bytes, bytes | None]]], Awaitable[None]]
    """Commit rows of the shard's state topic in one transaction of the worker's producer."""
    patience: Patience

    async def open(self, restoration: Restoration, claims: ClaimLog) -> Won | GiveWay:
        """Run the protocol to its end. Raises KafkaError, CommitInDoubt or StoreError: the opening is then void."""
        opening = Opening(claims, self.owner, self.membership.generation, self.fenced.__contains__)
        action: Action = opening.start()
        while not isinstance(action, Won | GiveWay):
            action = await self._perform(opening, action, restoration, claims)
        return action

    async def _perform(  # one return an action
        self, opening: Opening, action: Action, restoration: Restoration, claims: ClaimLog
    ) -> Action:
        match action:
            case ReadToEnd(settled=False):
                await restoration.read_committed()
                await restoration.observe_tail()
                faults.point("opening.after_restore")
                return opening.read()
            case ReadToEnd(settled=True):
                if await restoration.read_settled(self.patience.undecided_s):
                    return opening.read()
                log.warning("engine.opening_waits", reason="a transaction of somebody else is still open")
                await restoration.observe_tail()
                return opening.undecided()
            case ConfirmMembership():
                return opening.confirmed() if await self.membership.confirm() else opening.outdated()
            case Fence(owner=owner, hand_over=True) if await self.membership.is_member(owner):
                await self._await_release(owner, restoration, claims)
                await restoration.observe_tail()
                return opening.read()
            case Fence(owner=owner):
                await self.fence(owner)
                self.fenced.add(owner)
                faults.point("opening.after_fence")
                return opening.fenced(owner)
            case CommitClaim(claim=claim, tombstones=tombstones):
                faults.point("opening.before_claim_commit")
                await self.commit_claim([_row(claim), *((key, None) for key in tombstones)])
                faults.point("opening.after_claim_commit")
                return opening.claimed()
            case BackOff():
                await asyncio.sleep(random.uniform(0, self.patience.back_off_s))  # noqa: S311  # spreads claimers, keeps no secret
                await restoration.observe_tail()
                return opening.backed_off()
        raise AssertionError(action)

    async def _await_release(self, owner: str, restoration: Restoration, claims: ClaimLog) -> None:
        """Give a living owner a moment; read what it commits meanwhile."""
        deadline = time.monotonic() + self.patience.hand_over_s
        await restoration.read_committed()
        while time.monotonic() < deadline and claims.valid is not None and claims.valid.owner == owner:
            await asyncio.sleep(_POLL_S)
            await restoration.read_committed()


def _row(claim: Claim) -> tuple[bytes, bytes]:
    return claim_key(claim.number, claim.owner), claim_value(claim.generation)


def release_row(number: int, generation: int) -> tuple[bytes, bytes]:
    """Return the row by which the holder of claim `number` gives its shard away; the last that it writes there."""
    return _row(Claim(number, "", generation).release())
