"""Whether a request is new: the rule of deduplication.

The order is fixed and each step is cheaper than the next: age, clock ahead, newer than the client's most
recent (certainly new, no look-up), the filter's "definitely absent", the exact look-up. The payload's digest
is compared only when the token is known; it never decides whether a token is new.

Guarantees: nothing here changes the ledger; a request that is too old or ahead of the clock does not even
read it. Tested in tests/ingest/test_admission.py and tests/properties/test_ingest_properties.py.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from streams.ids import Token
from streams.records import Status
from streams.tables.ledger import Ledger, ledger_key


class Timestamps(Protocol):
    """The settings of topology.yaml that this stage goes by."""

    @property
    def threshold_ms(self) -> int: ...
    @property
    def clock_ahead_ms(self) -> int: ...
    @property
    def ledger_bucket_ms(self) -> int: ...


class Verdict(NamedTuple):
    """What becomes of a request, and what it took to decide."""

    status: Status
    code: str | None = None
    is_newest: bool = False
    """No later timestamp of this client is known."""
    filter_lookups: int = 0
    exact_lookups: int = 0


TOO_OLD = Verdict(Status.TOO_OLD)
CLOCK_AHEAD = Verdict(Status.CLOCK_AHEAD)
CERTAINLY_NEW = Verdict(Status.ACCEPTED, is_newest=True)
ABSENT_BY_FILTER = Verdict(Status.ACCEPTED, filter_lookups=1)
ABSENT = Verdict(Status.ACCEPTED, filter_lookups=1, exact_lookups=1)
DUPLICATE = Verdict(Status.DUPLICATE, filter_lookups=1, exact_lookups=1)
TOKEN_REUSED = Verdict(Status.TOKEN_REUSED, filter_lookups=1, exact_lookups=1)


class Admission:
    """The rule, with its two limits: the age threshold and how far a client's clock may be ahead."""

    def __init__(self, threshold_ms: int, clock_ahead_ms: int) -> None:
        self._threshold_ms = threshold_ms
        self._clock_ahead_ms = clock_ahead_ms

    def decide(self, ledger: Ledger, client: bytes, token: Token, digest: bytes, now_ms: int) -> Verdict:
        """Return the verdict on one request; `now_ms` is the shard clock, the token is not negative.

        Exactly at the threshold is not older, exactly at the clock limit is not ahead. A known token with
        another payload is TOKEN_REUSED whether or not its thread refused it; with the same payload it is
        DUPLICATE or REFUSED.
        """
        timestamp_ms = token.timestamp_ms
        if timestamp_ms < now_ms - self._threshold_ms:
            return TOO_OLD
        latest_ms = now_ms + self._clock_ahead_ms
        if timestamp_ms > latest_ms:
            return CLOCK_AHEAD
        recent_ms = ledger.recent(client, timestamp_ms, latest_ms)
        if recent_ms is None or timestamp_ms > recent_ms:
            return CERTAINLY_NEW
        key = ledger_key(client, token)
        if not ledger.may_contain(key):
            return ABSENT_BY_FILTER
        entry = ledger.find(key)
        if entry is None:
            return ABSENT
        if entry.digest != digest:
            return TOKEN_REUSED
        if entry.refused_code:
            return Verdict(Status.REFUSED, entry.refused_code, filter_lookups=1, exact_lookups=1)
        return DUPLICATE
