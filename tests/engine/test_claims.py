"""Claims: the record, and which of them is valid."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.claims import Claim, ClaimLog, UnreadableClaimError, claim_key, claim_value, parse_claim

numbers = st.integers(min_value=1, max_value=2**63)
owners = st.text(max_size=40)
generations = st.integers(min_value=-1, max_value=2**31 - 1)


def observe(log: ClaimLog, offset: int, claim: Claim, *, committed: bool = True) -> None:
    log.observe(offset, claim_key(claim.number, claim.owner), claim_value(claim.generation), committed)


def committed_log(*claims: Claim) -> ClaimLog:
    log = ClaimLog()
    for offset, claim in enumerate(claims):
        observe(log, offset, claim)
    return log


@given(numbers, owners, generations)
def test_a_claim_is_read_back_as_it_was_written(number: int, owner: str, generation: int) -> None:
    assert parse_claim(claim_key(number, owner), claim_value(generation)) == Claim(number, owner, generation)


def test_the_bytes_of_a_claim_do_not_change() -> None:
    """Claims outlive every version of the program."""
    assert claim_key(258, "wörker") == b"\x01\x00\x00\x00\x00\x00\x00\x01\x02w\xc3\xb6rker"
    assert claim_value(7) == b"\x01\x00\x00\x00\x00\x00\x00\x00\x07"


@given(st.lists(st.tuples(numbers, owners), unique=True, min_size=2, max_size=2))
def test_two_claims_never_share_a_key(pair: list[tuple[int, str]]) -> None:
    """Compaction would keep only the later one."""
    assert claim_key(*pair[0]) != claim_key(*pair[1])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"", claim_value(1)),
        (b"\x02" + claim_key(1, "a")[1:], claim_value(1)),
        (b"\x01\x00\x00", claim_value(1)),
        (claim_key(1, "") + b"\xff", claim_value(1)),
        (claim_key(1, "a"), b""),
        (claim_key(1, "a"), b"\x02" + claim_value(1)[1:]),
        (claim_key(1, "a"), claim_value(1) + b"\x00"),
    ],
)
def test_what_is_no_claim_is_refused_and_changes_nothing(key: bytes, value: bytes) -> None:
    log = committed_log(Claim(1, "a", 1))
    with pytest.raises(UnreadableClaimError):
        log.observe(9, key, value, committed=True)
    assert log.valid == Claim(1, "a", 1)
    assert log.greatest_number == 1


def test_a_shard_without_claims_has_no_owner() -> None:
    log = ClaimLog()
    assert log.valid is None
    assert log.greatest_number == 0
    assert log.lower_keys(1) == []


def test_the_first_claim_of_the_greatest_number_is_valid() -> None:
    first, second = Claim(2, "b", 1), Claim(2, "a", 9)
    assert committed_log(Claim(1, "z", 1), first, second).valid == first


def test_a_late_claim_of_a_lower_number_changes_nothing() -> None:
    valid = Claim(3, "a", 1)
    assert committed_log(valid, Claim(2, "b", 1)).valid == valid


def test_the_order_of_offsets_decides_and_not_the_order_of_reading() -> None:
    """A local store gives its rows back in the order of their keys."""
    rows = list(enumerate([Claim(1, "a", 1), Claim(2, "c", 1), Claim(2, "b", 1)]))
    for order in permutations(rows):
        log = ClaimLog()
        for offset, claim in order:
            observe(log, offset, claim)
        assert log.valid == Claim(2, "c", 1)


def test_an_undecided_claim_is_not_valid_and_its_number_does_not_count() -> None:
    """Planted in the simulation as `undecided-numbers`: counting it makes two owners."""
    log = committed_log(Claim(1, "a", 1))
    observe(log, 1, Claim(2, "b", 1), committed=False)
    assert log.valid == Claim(1, "a", 1)
    assert log.greatest_number == 1
    assert log.uncommitted_owners == {"b"}


def test_an_undecided_claim_that_is_committed_is_no_longer_undecided() -> None:
    log = ClaimLog()
    observe(log, 0, Claim(1, "b", 1), committed=False)
    observe(log, 0, Claim(1, "b", 1), committed=True)
    assert log.valid == Claim(1, "b", 1)
    assert log.uncommitted_owners == frozenset()


def test_what_is_undecided_can_be_forgotten_and_what_is_committed_stays() -> None:
    log = committed_log(Claim(1, "a", 1))
    observe(log, 1, Claim(2, "b", 1), committed=False)
    log.discard_uncommitted()
    assert log.uncommitted == ()
    assert log.valid == Claim(1, "a", 1)


def test_undecided_claims_come_in_log_order() -> None:
    log = ClaimLog()
    observe(log, 5, Claim(2, "b", 1), committed=False)
    observe(log, 3, Claim(2, "c", 1), committed=False)
    assert log.uncommitted == (Claim(2, "c", 1), Claim(2, "b", 1))


def test_a_tombstone_removes_its_claim_but_its_number_still_counts() -> None:
    log = committed_log(Claim(1, "a", 1), Claim(2, "b", 1))
    log.observe(2, claim_key(2, "b"), None, committed=True)
    assert log.valid == Claim(1, "a", 1)
    assert log.greatest_number == 2


def test_an_undecided_tombstone_removes_nothing() -> None:
    log = committed_log(Claim(1, "a", 1))
    log.observe(1, claim_key(1, "a"), None, committed=False)
    assert log.valid == Claim(1, "a", 1)


def test_a_holder_tombstones_all_lower_numbers_and_no_others() -> None:
    log = committed_log(Claim(1, "a", 1), Claim(2, "b", 1), Claim(2, "c", 1), Claim(3, "d", 1))
    assert log.lower_keys(3) == [claim_key(1, "a"), claim_key(2, "b"), claim_key(2, "c")]


def test_a_log_restored_from_its_rows_is_the_same_log() -> None:
    log = committed_log(Claim(1, "z", 1), Claim(2, "b", 4), Claim(2, "a", 5))
    log.observe(3, claim_key(1, "z"), None, committed=True)
    again = ClaimLog()
    for offset, key, value in log.rows():
        again.observe(offset, key, value, committed=True)
    assert again.valid == log.valid == Claim(2, "b", 4)
    assert list(again.rows()) == list(log.rows())


def test_a_release_follows_the_claim_and_names_nobody() -> None:
    release = Claim(4, "a", 9).release()
    assert release == Claim(5, "", 9)
    assert release.is_release
    assert not Claim(4, "a", 9).is_release
