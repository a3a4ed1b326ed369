"""The laws that a schedule can break, by name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Law(StrEnum):
    """What must hold."""

    ONE_CHAIN = "each unit names the one before it: none is lost, and no two owners build on the same one"
    ONE_OWNER_A_CLAIM = "under one claim one owner commits units, and none does under an older claim later on"
    FIRST_CLAIM_OWNS = "a unit's owner made the first claim of its number"
    ALL_RESTORED = "a unit's owner has restored both topics to the same unit"
    SERVED = "once the faults are over, the shard is served within bounded time"


@dataclass(frozen=True, slots=True)
class Violation:
    """A law that was broken, and by what."""

    law: Law
    what: str

    def __str__(self) -> str:
        return f"{self.law.name}: {self.what}"
