"""Old tokens are strewn into a load without disturbing its order; prefilled state is what work would leave."""

from __future__ import annotations

from collections import Counter

from bench.jobs.growth import with_old
from bench.load import Fed
from bench.prefill import Prefill
from streams.codec import Codec

FRESH = [Fed(0, b"k", b"v", bytes([number])) for number in range(50)]
OLD = [Fed(1, b"old", b"v", b"old") for _ in range(10)]


def test_fresh_records_keep_their_order_and_old_ones_are_not_due() -> None:
    """Tokens of a client must not run back, and a repeat of an old token must not come out."""
    merged = with_old(FRESH, OLD, seed=1)
    assert [one for one in merged if one.key == b"k"] == FRESH
    assert [one.message for one in merged if one.key == b"old"] == [b""] * 10
    assert len(merged) == 60


def test_old_records_are_spread_over_the_whole_load() -> None:
    """Not all at its start or end."""
    at = [place for place, one in enumerate(with_old(FRESH, OLD, seed=1)) if one.key == b"old"]
    assert min(at) < 20
    assert max(at) > 40


def test_a_prefill_repeats_its_own_requests_and_numbers_every_inbox_densely() -> None:
    """A request of an old token is the same each time; the heads add up to the tokens."""
    prefill = Prefill(1_000, Codec(), 4, has_queue=True, accounts=30)
    assert prefill.request(7) == prefill.request(7)
    assert len({prefill.request(number).message_id for number in range(1_000)}) == 1_000
    assert sum(prefill.heads.values()) == 1_000
    assert Counter(len(name) for name in prefill.heads) == {len("account-00000"): 30}
