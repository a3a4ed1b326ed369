"""The rule that says which worker has which shards, and which keeps copies of which (streams/engine/assignment.py)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from streams.engine.assignment import Held, assign

NAMES = tuple(f"worker-{number}" for number in range(7))
Members = dict[str, Held]


def _held(actives: str, standbys: str = "") -> Held:
    return Held(frozenset(map(int, actives.split())), frozenset(map(int, standbys.split())))


def _groups(shards: int) -> st.SearchStrategy[Members]:
    """Members that claim anything: shards twice, shards that are no more, copies of what they own."""
    some = st.frozensets(st.integers(0, shards + 2), max_size=shards + 3)
    return st.dictionaries(st.sampled_from(NAMES), st.builds(Held, some, some), min_size=1)


@st.composite
def cases(draw: st.DrawFn, copies_max: int = 4) -> tuple[int, Members, int]:
    """Shards, what members claim, copies wanted."""
    shards = draw(st.integers(0, 17))
    return shards, draw(_groups(shards)), draw(st.integers(0, copies_max))


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, Members]:
    """A group after workers came and went, with one copy."""
    shards = draw(st.integers(1, 17))
    members: Members = {}
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=9)):
        changed = {**members, name: Held()} if name not in members else _without(members, name)
        members = assign(shards, changed, 1) if changed else {}
    return shards, members or assign(shards, {NAMES[0]: Held()}, 1)


def _without(members: Mapping[str, Held], name: str) -> Members:
    return {one: held for one, held in members.items() if one != name}


def _owners(members: Mapping[str, Held]) -> dict[int, str]:
    return {shard: name for name, held in members.items() for shard in held.actives}


def _kept_at_most(claims: Mapping[str, frozenset[int]], shards: int) -> int:
    """How many shards can stay where they are claimed, each by one member, in a balance."""
    share, larger = divmod(shards, len(claims))
    counts = [len(one) for one in claims.values()]
    return sum(min(count, share) for count in counts) + min(larger, sum(count > share for count in counts))


@given(cases())
def test_every_shard_has_one_owner_and_all_own_equally_many_or_one_more(
    case: tuple[int, Members, int],
) -> None:
    shards, members, copies = case
    after = assign(shards, members, copies)
    assert after.keys() == members.keys()
    assert sorted(shard for held in after.values() for shard in held.actives) == list(range(shards))
    counts = [len(held.actives) for held in after.values()]
    assert max(counts) - min(counts) <= 1


@given(cases())
def test_every_shard_has_as_many_standbys_as_asked_and_its_owner_is_none(
    case: tuple[int, Members, int],
) -> None:
    shards, members, copies = case
    after = assign(shards, members, copies)
    counts = Counter(shard for held in after.values() for shard in held.standbys)
    assert [counts[shard] for shard in range(shards)] == [min(copies, len(members) - 1)] * shards
    assert counts.keys() <= set(range(shards))
    assert all(held.actives.isdisjoint(held.standbys) for held in after.values())


@given(cases())
def test_it_is_deterministic_and_what_it_returns_stays(case: tuple[int, Members, int]) -> None:
    shards, members, copies = case
    after = assign(shards, members, copies)
    assert assign(shards, dict(reversed(members.items())), copies) == after
    again = assign(shards, after, copies)
    assert _owners(again) == _owners(after)
    if copies <= 1:
        assert again == after


@given(cases())
def test_no_more_shards_change_their_owner_than_the_balance_asks_for(case: tuple[int, Members, int]) -> None:
    """Of a shard that several claim nobody can say whose it is: they count for none of them here."""
    shards, members, copies = case
    claimed = Counter(shard for held in members.values() for shard in held.actives if shard < shards)
    claims = {
        name: frozenset(shard for shard in held.actives if claimed[shard] == 1)
        for name, held in members.items()
    }
    owners = _owners(assign(shards, members, copies))
    kept = sum(owners[shard] == name for name, shards_of in claims.items() for shard in shards_of)
    contested = sum(count > 1 for count in claimed.values())
    assert kept >= _kept_at_most(claims, shards) - contested


@given(cases())
def test_a_shard_claimed_twice_stays_with_one_of_those_who_claim_it_if_they_have_room(
    case: tuple[int, Members, int],
) -> None:
    """A worker that slept through an assignment claims what it had before."""
    shards, members, copies = case
    after = assign(shards, members, copies)
    for shard, owner in _owners(after).items():
        claimants = {name for name, held in members.items() if shard in held.actives}
        if claimants and owner not in claimants:
            assert all(len(after[name].actives) >= len(after[owner].actives) for name in claimants)


@given(cases())
def test_a_shard_without_an_owner_goes_to_a_holder_of_a_copy_that_has_room(
    case: tuple[int, Members, int],
) -> None:
    shards, members, copies = case
    after = assign(shards, members, copies)
    claimed = {shard for held in members.values() for shard in held.actives}
    for shard, owner in _owners(after).items():
        holders = {name for name, held in members.items() if shard in held.standbys}
        if shard not in claimed and owner not in holders:
            assert all(len(after[name].actives) >= len(after[owner].actives) for name in holders)


@given(histories(), st.data())
def test_the_loss_of_any_one_member_moves_all_its_shards_to_warm_copies_and_no_other_shard(
    history: tuple[int, Members], data: st.DataObject
) -> None:
    shards, members = history
    if len(members) > 1:
        lost = data.draw(st.sampled_from(sorted(members)))
        after = assign(shards, _without(members, lost), 1)
        for shard, owner in _owners(after).items():
            assert shard in members[owner].actives | members[owner].standbys
            assert (shard in members[owner].actives) == (shard not in members[lost].actives)


@given(histories())
def test_standbys_are_spread_evenly_over_members_that_own_equally_many(history: tuple[int, Members]) -> None:
    shards, members = history
    for one, other in permutations(members.values(), 2):
        if len(one.actives) == len(other.actives):
            assert len(one.standbys) - len(other.standbys) <= 2
    if shards % len(members) == 0 and len(members) > 1:
        counts = [len(held.standbys) for held in members.values()]
        assert max(counts) - min(counts) <= 1


def test_a_third_worker_gets_a_shard_and_nothing_else_moves() -> None:
    """Faust's own rule gives it nothing."""
    two = {"a": _held("0 1", "2 3"), "b": _held("2 3", "0 1")}
    three = assign(4, {**two, "c": Held()}, 1)
    assert [three[name].actives for name in "abc"] == [{0, 1}, {2}, {3}]


def test_who_comes_back_gets_those_shards_of_which_its_disk_still_has_copies() -> None:
    after = assign(4, {"a": _held("0 1 2 3"), "b": _held("", "0 2")}, 1)
    assert after == {"a": _held("1 3", "0 2"), "b": _held("0 2", "1 3")}


def test_who_just_gave_a_shard_away_keeps_a_copy_of_it() -> None:
    after = assign(6, {"a": _held("0 1 2"), "b": _held("3 4 5"), "c": Held()}, 1)
    moved = after["c"].actives
    assert len(moved) == 2
    assert all(shard in after["a"].standbys | after["b"].standbys for shard in moved)
