"""What a verification found: counters with stable names, and the first offenders by name.

A report is ok when every counter of FAULTS is 0; the others say how much was judged. null means: not judged,
because there is no store to look into. Tested in tests/verify/test_judge.py.
"""

from __future__ import annotations

from typing import Any

COUNTS = (
    "requests",
    "distinct_tokens",
    "accepted",
    "duplicates",
    "token_reused",
    "too_old",
    "clock_ahead",
    "rejected",
    "refused",
    "admitted",
    "updates",
    "deliveries",
    "dead_letters",
)
FAULTS = (
    "requests_unanswered",
    "answers_doubled",
    "operations_lost",
    "operations_doubled",
    "operations_unasked",
    "thread_gaps",
    "inbox_gaps",
    "inbox_doubled",
    "thread_order_violations",
    "delivery_missing",
    "delivery_doubled",
    "delivery_unowed",
    "bodies_without_metadata",
    "metadata_without_body",
)
STORE_FAULTS = ("bodies_without_metadata", "metadata_without_body")
_OFFENDERS_MAX = 5


class Report:
    """Counters that start at 0, and offenders; filled by the audits."""

    def __init__(self) -> None:
        self.counters: dict[str, int | None] = dict.fromkeys((*COUNTS, *FAULTS), 0)
        self.counters.update(dict.fromkeys(STORE_FAULTS))
        self.offenders: dict[str, list[str]] = {}
        self.trimmed: list[str] = []
        """Topics whose oldest records are gone: what only those could prove was not judged."""

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter."""
        self.counters[name] = (self.counters[name] or 0) + amount

    def fault(self, name: str, offender: str, amount: int = 1) -> None:
        """Count a fault and keep who did it, if among the first."""
        self.count(name, amount)
        kept = self.offenders.setdefault(name, [])
        if len(kept) < _OFFENDERS_MAX:
            kept.append(offender)

    @property
    def ok(self) -> bool:
        """Whether no fault was found."""
        return not any(self.counters[name] for name in FAULTS)

    def to_json(self) -> dict[str, Any]:
        """Stable keys: every counter, `ok`, `offenders` (fault -> first offenders), `trimmed`."""
        return {**self.counters, "ok": self.ok, "offenders": self.offenders, "trimmed": self.trimmed}
