"""The opening of a shard, move by move. What it is worth under faults is the matter of tests/simulation."""

from __future__ import annotations

import pytest

from streams.engine.claims import Claim, ClaimLog, claim_key, claim_value
from streams.engine.opening import (
    BackOff,
    CommitClaim,
    ConfirmMembership,
    Fence,
    GiveWay,
    GiveWayReason,
    Opening,
    OutOfTurnError,
    ReadToEnd,
    Won,
)
from tests.simulation.planted import UndecidedNumbersLog

FIRST = ReadToEnd(settled=False)
SETTLED = ReadToEnd(settled=True)


class Story:
    """A shard's log that grows, and one opening by `me` in generation 5."""

    def __init__(self, *claims: Claim) -> None:
        self.log = ClaimLog()
        self.fenced_ids: set[str] = set()
        self.opening = Opening(self.log, "me", 5, self.fenced_ids.__contains__)
        self._end = 0
        for claim in claims:
            self.commit(claim)

    def commit(self, claim: Claim) -> None:
        self._observe(claim, committed=True)

    def begin(self, claim: Claim) -> None:
        self._observe(claim, committed=False)

    def fence(self, owner: str) -> object:
        self.fenced_ids.add(owner)
        return self.opening.fenced(owner)

    def _observe(self, claim: Claim, *, committed: bool) -> None:
        key, value = claim_key(claim.number, claim.owner), claim_value(claim.generation)
        self.log.observe(self._end, key, value, committed=committed)
        self._end += 1


def claimed(*claims: Claim) -> tuple[Story, Claim]:
    """A story up to the commit of its own claim, which is not read back yet."""
    story = Story(*claims)
    story.fenced_ids |= {claim.owner for claim in claims}
    story.opening.start()
    story.opening.read()
    action = story.opening.read()
    assert isinstance(action, CommitClaim)
    assert story.opening.claimed() == SETTLED
    return story, action.claim


def test_a_shard_that_nobody_had_is_claimed_with_number_1_and_won() -> None:
    story = Story()
    own = Claim(1, "me", 5)
    assert story.opening.start() == FIRST
    assert story.opening.read() == SETTLED
    assert story.opening.read() == CommitClaim(own, ())
    assert story.opening.claimed() == SETTLED
    story.commit(own)
    assert story.opening.read() == Won(own)


def test_the_owner_is_given_a_moment_then_fenced_and_everything_is_read_after_that() -> None:
    story = Story(Claim(7, "other", 4))
    story.opening.start()
    assert story.opening.read() == Fence("other", hand_over=True)
    assert story.opening.read() == Fence("other", hand_over=False)
    assert story.fence("other") == SETTLED
    assert story.opening.read() == CommitClaim(Claim(8, "me", 5), (claim_key(7, "other"),))


def test_an_owner_that_is_known_to_be_gone_is_fenced_without_a_moment() -> None:
    story = Story(Claim(7, "other", 4))
    story.opening.start()
    assert story.opening.read() == Fence("other", hand_over=True)
    assert story.fence("other") == SETTLED


def test_a_release_in_the_moment_spares_the_owner() -> None:
    story = Story(Claim(7, "other", 4))
    story.opening.start()
    story.opening.read()
    story.commit(Claim(7, "other", 4).release())
    assert story.opening.read() == SETTLED
    assert story.opening.read() == CommitClaim(Claim(9, "me", 5), (claim_key(7, "other"), claim_key(8, "")))


def test_every_owner_of_an_undecided_claim_is_fenced_too() -> None:
    story = Story(Claim(7, "other", 4))
    story.begin(Claim(8, "dead", 4))
    story.opening.start()
    assert story.opening.read() == Fence("other", hand_over=True)
    assert story.fence("other") == Fence("dead", hand_over=True)
    assert story.fence("dead") == SETTLED


@pytest.mark.parametrize("owner", ["", "me", "fenced before"])
def test_nobody_is_fenced_who_cannot_write_or_is_oneself(owner: str) -> None:
    story = Story(Claim(7, owner, 4))
    story.fenced_ids.add("fenced before")
    story.opening.start()
    assert story.opening.read() == SETTLED


def test_a_claim_that_came_during_the_fences_is_fenced_as_well() -> None:
    story = Story(Claim(7, "other", 4))
    story.opening.start()
    story.opening.read()
    story.fence("other")
    story.commit(Claim(8, "faster", 5))
    assert story.opening.read() == Fence("faster", hand_over=True)
    assert story.fence("faster") == SETTLED
    action = story.opening.read()
    assert isinstance(action, CommitClaim)
    assert action.claim.number == 9


def test_no_claim_is_made_before_a_settled_reading_that_follows_the_last_fence() -> None:
    story = Story(Claim(7, "other", 4))
    story.opening.start()
    story.opening.read()
    story.fence("other")
    assert story.opening.undecided() == BackOff()
    assert story.opening.backed_off() == SETTLED


def test_a_claim_before_ours_of_the_same_number_wins() -> None:
    story, own = claimed()
    story.commit(Claim(own.number, "faster", 5))
    story.commit(own)
    assert story.opening.read() == GiveWay(GiveWayReason.OTHER_CLAIM)


def test_a_claim_after_ours_of_the_same_number_loses() -> None:
    story, own = claimed()
    story.commit(own)
    story.commit(Claim(own.number, "slower", 5))
    assert story.opening.read() == Won(own)


def test_a_greater_claim_after_ours_wins_for_it_has_fenced_us() -> None:
    story, own = claimed()
    story.commit(own)
    story.commit(Claim(own.number + 1, "later", 6))
    assert story.opening.read() == GiveWay(GiveWayReason.OTHER_CLAIM)


def test_an_undecided_claim_before_ours_is_fenced_after_a_back_off_and_then_ours_is_judged() -> None:
    story, own = claimed(Claim(1, "gone", 4))
    assert story.opening.undecided() == BackOff()
    story.begin(Claim(own.number, "slow", 5))
    assert story.opening.backed_off() == Fence("slow", hand_over=False)
    assert story.fence("slow") == SETTLED
    story.log.discard_uncommitted()
    story.commit(own)
    assert story.opening.read() == Won(own)


def test_the_former_owner_is_not_fenced_again_while_the_own_claim_is_not_visible_yet() -> None:
    """The broker acknowledges a commit before each partition has its marker."""
    story, own = claimed(Claim(1, "gone", 4))
    story.opening.undecided()
    story.begin(own)
    assert story.opening.backed_off() == SETTLED


def test_an_own_claim_that_was_surely_aborted_is_tried_again_with_the_same_number() -> None:
    story = Story()
    story.opening.start()
    story.opening.read()
    first = story.opening.read()
    assert story.opening.claim_failed() == FIRST
    assert story.opening.read() == SETTLED
    assert story.opening.read() == first


def test_an_older_generation_gives_way_to_a_newer_one() -> None:
    story = Story(Claim(7, "other", 6))
    story.opening.start()
    assert story.opening.read() == ConfirmMembership(Claim(7, "other", 6))
    assert story.opening.outdated() == GiveWay(GiveWayReason.NEWER_GENERATION)


def test_a_greater_generation_of_a_group_that_was_forgotten_does_not_lock_the_shard_for_ever() -> None:
    """Kafka forgets an empty group and begins again at 1; found by the simulation, planted as `never-confirms`."""
    story = Story(Claim(7, "other", 6))
    story.opening.start()
    story.opening.read()
    assert story.opening.confirmed() == Fence("other", hand_over=True)
    assert story.fence("other") == SETTLED


def claim_after_an_abort(log: ClaimLog, owner: str, *, sees_aborted: bool) -> Claim:
    """The claim of an opener; an aborted claim of number 1 was seen by one of the two, and is gone for the other."""
    opening = Opening(log, owner, 5, lambda _: True)
    opening.start()
    if sees_aborted:
        log.observe(0, claim_key(1, "aborted"), claim_value(5), committed=False)
    opening.read()
    log.discard_uncommitted()
    action = opening.read()
    assert isinstance(action, CommitClaim)
    return action.claim


@pytest.mark.parametrize(("kind", "are_both_valid"), [(ClaimLog, False), (UndecidedNumbersLog, True)])
def test_of_two_claimers_only_one_is_ever_valid_although_one_saw_an_aborted_claim(
    kind: type[ClaimLog], are_both_valid: bool
) -> None:
    """If undecided numbers counted, the second would stand above the first, whom nobody fenced: two owners."""
    first = claim_after_an_abort(kind(), "first", sees_aborted=False)
    second = claim_after_an_abort(kind(), "second", sees_aborted=True)
    log = ClaimLog()
    valid_in_turn = []
    for offset, claim in enumerate((first, second), start=2):
        log.observe(
            offset, claim_key(claim.number, claim.owner), claim_value(claim.generation), committed=True
        )
        valid_in_turn.append(log.valid)
    assert (valid_in_turn == [first, second]) is are_both_valid


@pytest.mark.parametrize(
    "answer", ["read", "undecided", "backed_off", "confirmed", "outdated", "claimed", "claim_failed"]
)
def test_an_answer_before_the_start_is_refused(answer: str) -> None:
    with pytest.raises(OutOfTurnError):
        getattr(Story().opening, answer)()


def test_an_answer_out_of_turn_is_refused_and_changes_nothing() -> None:
    story = Story(Claim(7, "other", 4))
    story.opening.start()
    for wrong in (
        story.opening.start,
        story.opening.undecided,
        story.opening.claimed,
        story.opening.backed_off,
    ):
        with pytest.raises(OutOfTurnError):
            wrong()
    assert story.opening.read() == Fence("other", hand_over=True)
    with pytest.raises(OutOfTurnError):
        story.opening.fenced("somebody else")
    assert story.opening.read() == Fence("other", hand_over=False)
    with pytest.raises(OutOfTurnError):
        story.opening.read()
    assert story.fence("other") == SETTLED


def test_an_opening_needs_an_id_for_its_claims() -> None:
    with pytest.raises(ValueError, match="transactional id"):
        Opening(ClaimLog(), "", 1, lambda _: False)
