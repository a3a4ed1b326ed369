"""Bugs that are planted on purpose: a checker that does not find them proves nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streams.engine.claims import Claim, ClaimLog, parse_claim

if TYPE_CHECKING:
    from collections.abc import Callable


class LastClaimLog(ClaimLog):
    """Takes the last instead of the first claim of the greatest number."""

    @property
    def valid(self) -> Claim | None:
        claims = [parse_claim(key, value) for _, key, value in self.rows()]
        return max(reversed(claims), key=lambda claim: claim.number, default=None)


class UndecidedNumbersLog(ClaimLog):
    """Counts the numbers of claims that were seen but never committed."""

    def __init__(self) -> None:
        super().__init__()
        self._greatest_seen = 0

    def observe(self, offset: int, key: bytes, value: bytes | None, committed: bool) -> None:
        super().observe(offset, key, value, committed)
        self._greatest_seen = max([self._greatest_seen, *(claim.number for claim in self.uncommitted)])

    @property
    def greatest_number(self) -> int:
        return max(self._greatest_seen, super().greatest_number)


@dataclass(frozen=True, slots=True)
class Bug:
    """What a worker does wrong; nothing by default."""

    reuses_fenced_id: bool = False
    never_fences: bool = False
    never_waits_until_settled: bool = False
    never_confirms: bool = False
    skips_undecided: bool = False
    claim_log: Callable[[], ClaimLog] = field(default=ClaimLog)


BUGS = {
    "none": Bug(),
    "reused-id": Bug(reuses_fenced_id=True),
    "last-claim": Bug(claim_log=LastClaimLog),
    "no-fence": Bug(never_fences=True),
    "unsettled": Bug(never_waits_until_settled=True),
    "never-confirms": Bug(never_confirms=True),
    "skipped-tail": Bug(skips_undecided=True),
    "undecided-numbers": Bug(claim_log=UndecidedNumbersLog),
}
