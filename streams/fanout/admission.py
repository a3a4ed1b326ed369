"""Whether a thread admits an operation, and what that does to its members (Q21).

Pure: a view of the thread in, a decision out. Guarantees that a refused operation changes nothing, that
nobody becomes a member twice, and that who is removed is named exactly when he was a member. Whether a
message exists is not asked: an edit of a message that nobody has is harmless to readers. Tested in
tests/fanout/test_admission.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from streams.ids import is_author
from streams.limits import THREAD_MEMBERS_MAX
from streams.records import Kind, RefusalCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_CREATING = (Kind.POST, Kind.POST_FORM)
"""What may be a thread's first operation; anything else refers to something that came before."""


class Membership(Protocol):
    """The members of a thread, as far as the rule asks."""

    def __len__(self) -> int: ...
    def __contains__(self, account_id: object) -> bool: ...
    def present(self, accounts: Iterable[str]) -> list[str]: ...


class Asked(NamedTuple):
    """An operation, reduced to what its admission depends on."""

    kind: Kind
    sender: str
    recipients: Sequence[str] | None
    target: bytes = b""
    """Message id that an edit or delete names."""
    add: Sequence[str] = ()
    remove: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """The thread does not take the operation."""

    code: RefusalCode


@dataclass(frozen=True, slots=True)
class Admitted:
    """The thread takes the operation."""

    creates: bool = False
    """Whether the thread begins with it; `added` are then its first members."""
    added: tuple[str, ...] = ()
    """Get this operation and everything after it."""
    removed: tuple[str, ...] = ()
    """Get this operation and nothing after it."""


def decide(asked: Asked, members: Membership | None) -> Admitted | Refused:
    """Return what becomes of an operation; `members` is None for a thread that nobody created."""
    if members is None:
        if asked.recipients is None or asked.kind not in _CREATING:
            return Refused(RefusalCode.THREAD_UNKNOWN)
        return Admitted(creates=True, added=tuple(dict.fromkeys((asked.sender, *asked.recipients))))
    if asked.sender not in members:
        return Refused(RefusalCode.NOT_A_MEMBER)
    if asked.kind in (Kind.EDIT, Kind.DELETE) and not is_author(asked.target, asked.sender):
        return Refused(RefusalCode.NOT_THE_AUTHOR)
    if asked.kind is Kind.CHANGE_MEMBERS:
        return _change(asked, members)
    return _PLAIN


def _change(asked: Asked, members: Membership) -> Admitted | Refused:
    """Being removed wins over being added: who is named in both lists is no member afterwards."""
    leaving = frozenset(asked.remove)
    joining = [account for account in dict.fromkeys(asked.add) if account not in leaving]
    already = frozenset(members.present(joining))
    added = tuple(account for account in joining if account not in already)
    removed = tuple(members.present(dict.fromkeys(asked.remove)))
    if added and len(members) + len(added) - len(removed) > THREAD_MEMBERS_MAX:
        return Refused(RefusalCode.THREAD_FULL)
    return Admitted(added=added, removed=removed)


_PLAIN = Admitted()
