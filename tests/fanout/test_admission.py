"""What a thread admits, and what that does to its members (streams/fanout/admission.py)."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from streams.fanout import admission
from streams.fanout.admission import Admitted, Asked, Refused, decide
from streams.ids import Token, message_id
from streams.limits import THREAD_MEMBERS_MAX
from streams.records import Kind, RefusalCode


class People(list[str]):
    """Members of a thread."""

    def present(self, accounts: Iterable[str]) -> list[str]:
        return [account for account in accounts if account in self]


class Crowd(People):
    """A thread that has room for one more."""

    def __len__(self) -> int:
        return THREAD_MEMBERS_MAX - 1


OF_ANN = message_id("ann", "phone", Token(1, 1))
OF_BOB = message_id("bob", "phone", Token(1, 1))


def refusal(asked: Asked, members: People | None) -> RefusalCode | None:
    verdict = decide(asked, members)
    return verdict.code if isinstance(verdict, Refused) else None


@pytest.mark.parametrize("kind", [Kind.POST, Kind.POST_FORM])
def test_a_first_post_with_recipients_creates_the_thread(kind: Kind) -> None:
    """Its members are the sender and the recipients, each once, in the order in which they were named."""
    verdict = decide(Asked(kind, "ann", ["bob", "eve", "ann", "bob"]), None)
    assert verdict == Admitted(creates=True, added=("ann", "bob", "eve"))


def test_a_thread_that_nobody_created_is_unknown() -> None:
    """Q21: without recipients there is no thread; what refers to something earlier does not create one."""
    assert refusal(Asked(Kind.POST, "ann", None), None) is RefusalCode.THREAD_UNKNOWN
    for kind in (Kind.EDIT, Kind.DELETE, Kind.MARK_READ, Kind.CHANGE_MEMBERS):
        assert refusal(Asked(kind, "ann", ["bob"], OF_ANN), None) is RefusalCode.THREAD_UNKNOWN


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in (Kind.TOMBSTONE, Kind.NOOP)])
def test_who_is_no_member_may_do_nothing(kind: Kind) -> None:
    """Q21: recipients of a thread that exists are ignored and make nobody a member."""
    asked = Asked(kind, "eve", ["eve"], message_id("eve", "phone", Token(1, 1)), add=["eve"])
    assert refusal(asked, People(["ann", "bob"])) is RefusalCode.NOT_A_MEMBER


@pytest.mark.parametrize("kind", [Kind.EDIT, Kind.DELETE])
def test_only_the_author_may_edit_or_delete(kind: Kind) -> None:
    """Q21: another's message is refused; a message that nobody has is harmless and admitted."""
    members = People(["ann", "bob"])
    assert refusal(Asked(kind, "ann", None, OF_BOB), members) is RefusalCode.NOT_THE_AUTHOR
    assert refusal(Asked(kind, "ann", None, OF_ANN), members) is None
    assert refusal(Asked(Kind.MARK_READ, "ann", None, OF_BOB), members) is None


def test_only_what_changes_is_a_change() -> None:
    """Adding a member or removing a stranger does nothing; being removed wins over being added."""
    members = People(["ann", "bob"])
    asked = Asked(
        Kind.CHANGE_MEMBERS, "ann", None, b"", ["bob", "eve", "eve", "zoe"], ["bob", "bob", "zoe", "nobody"]
    )
    assert decide(asked, members) == Admitted(added=("eve",), removed=("bob",))


def test_a_member_may_leave() -> None:
    """Removing oneself is a change like any other."""
    asked = Asked(Kind.CHANGE_MEMBERS, "ann", None, remove=["ann"])
    assert decide(asked, People(["ann"])) == Admitted(removed=("ann",))


def test_a_full_thread_takes_no_more_members() -> None:
    """Q21: THREAD_FULL counts who leaves in the same change; posts go on."""
    crowd = Crowd(["ann", "bob"])
    assert refusal(Asked(Kind.CHANGE_MEMBERS, "ann", None, add=["x"]), crowd) is None
    assert refusal(Asked(Kind.CHANGE_MEMBERS, "ann", None, add=["x", "y"]), crowd) is RefusalCode.THREAD_FULL
    assert refusal(Asked(Kind.CHANGE_MEMBERS, "ann", None, b"", ["x", "y"], ["bob"]), crowd) is None
    assert refusal(Asked(Kind.POST, "ann", None), crowd) is None


def test_the_rule_has_no_state() -> None:
    """The same question has the same answer."""
    assert decide(Asked(Kind.POST, "ann", None), People(["ann"])) is admission.decide(
        Asked(Kind.POST, "ann", None), People(["ann"])
    )
