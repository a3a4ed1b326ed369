"""Which worker has which shards, and which keeps warm copies of which: a rule without I/O, clock or chance.

What it promises, for shards and members as they are (share = shards // members):
- every shard has one owner; every member owns `share` or one more, so each owns one when there are enough;
- as few shards change their owner as that allows; of two that claim a shard, the one with fewer keeps it;
- a shard without an owner goes to a member that holds a copy of it and has room, else to the one with most room;
- a shard has min(copies, members - 1) standbys, never its owner;
- its first standby is where it would go if its owner were lost: with one copy, the loss of any one member moves every
  one of its shards to a warm copy;
- copies stay where they are as far as that allows, and are spread evenly over members that own equally many;
- it is deterministic, and what it returns is what it returns again when it is told so.

Not promised: that as many shards as possible find a warm copy where several claims compete for one member's room.
Why Faust's own rule is not enough: docs/decisions/standby-copies.md. Tested in tests/engine/test_assignment.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import permutations
from typing import NamedTuple


class Held(NamedTuple):
    """The shards of one member."""

    actives: frozenset[int] = frozenset()
    standbys: frozenset[int] = frozenset()


Shards = dict[str, set[int]]
"""Member -> shards."""


def assign(shards: int, members: Mapping[str, Held], copies: int) -> dict[str, Held]:
    """Return what each member is to have, given what it had; `copies` is how many standbys a shard is to have.

    members: at least one. What they claim of shards that do not exist is ignored.
    """
    existing = frozenset(range(shards))
    names = sorted(members)
    held = {name: set((members[name].actives | members[name].standbys) & existing) for name in names}
    standbys: Shards = {name: set() for name in names}
    owned = _settled({name: members[name].actives & existing for name in names})
    _Balance(shards, owned, held, standbys).settle()
    while _returned(owned, members):
        pass
    if copies > 0 and len(names) > 1:
        for owner in names:
            _back_up(shards, owner, owned, held, standbys)
        while _levelled(owned, standbys):
            pass
        share = -(-shards * min(copies, len(names) - 1) // len(names))
        for _ in range(1, min(copies, len(names) - 1)):
            _add_copies(owned, held, standbys, share)
    return {name: Held(frozenset(owned[name]), frozenset(standbys[name])) for name in names}


def _settled(claims: Mapping[str, Collection[int]]) -> Shards:
    """Give each claimed shard to one claimant: who claims it alone, else who has fewest so far."""
    claimants: dict[int, list[str]] = {}
    for name in sorted(claims):
        for shard in claims[name]:
            claimants.setdefault(shard, []).append(name)
    owned: Shards = {name: set() for name in sorted(claims)}
    for shard in sorted(claimants, key=lambda one: (len(claimants[one]), one)):
        owned[min(claimants[shard], key=lambda name: (len(owned[name]), name))].add(shard)
    return owned


class _Balance:
    """Brings owners to a balance; changes `owned` in place."""

    def __init__(self, shards: int, owned: Shards, held: Shards, standbys: Shards) -> None:
        self._shards = shards
        self._owned = owned
        self._held = held
        self._standbys = standbys
        self._share, self._larger = divmod(shards, len(owned))
        """What everybody has at least, and how many have one more."""

    def settle(self) -> None:
        """Promote copies of shards without an owner, take from who has too many, give the rest to who has room."""
        unowned = set(range(self._shards)).difference(*self._owned.values())
        rest = [shard for shard in sorted(unowned, key=self._rarity) if not self._promote(shard)]
        by_size = sorted(self._owned, key=lambda name: (-len(self._owned[name]), name))
        for rank, name in enumerate(by_size):
            rest += self._given_up(name, self._share + (rank < self._larger))
        for shard in sorted(rest):
            self._owned[min(filter(self._has_room, self._owned), key=self._load)].add(shard)

    def _rarity(self, shard: int) -> tuple[int, int]:
        """Few copies first: who holds many may still choose later."""
        return sum(shard in held for held in self._held.values()), shard

    def _has_room(self, name: str) -> bool:
        count = len(self._owned[name])
        if count != self._share:
            return count < self._share
        return sum(len(owned) > self._share for owned in self._owned.values()) < self._larger

    def _load(self, name: str) -> tuple[int, int, str]:
        return len(self._owned[name]), len(self._standbys[name]), name

    def _promote(self, shard: int) -> bool:
        """Give a shard to a member that holds a copy and has room; return whether there is one."""
        holders = [name for name in self._owned if shard in self._held[name] and self._has_room(name)]
        if holders:
            self._owned[min(holders, key=self._load)].add(shard)
        return bool(holders)

    def _given_up(self, name: str, kept: int) -> list[int]:
        """Take what is too much from a member: to holders of copies as far as they have room; return the others."""
        owned = self._owned[name]
        for shard in sorted(owned, reverse=True):
            if len(owned) > kept and self._promote(shard):  # never to itself: it has no room
                owned.remove(shard)
        rest = sorted(owned)[kept:]
        owned.difference_update(rest)
        return rest


def _returned(owned: Shards, members: Mapping[str, Held]) -> bool:
    """Move one shard to a member that had it, or a copy, and owns less than who had neither; return whether.

    The balance is as before, the other way round. It settles what was decided while others had yet to give up theirs.
    """

    def warmth(name: str, shard: int) -> int:
        return 2 * (shard in members[name].actives) + (shard in members[name].standbys)

    for fuller, emptier in permutations(sorted(owned), 2):
        if len(owned[fuller]) > len(owned[emptier]):
            for shard in sorted(owned[fuller]):
                if warmth(emptier, shard) > warmth(fuller, shard):
                    owned[fuller].remove(shard)
                    owned[emptier].add(shard)
                    return True
    return False


def _back_up(shards: int, owner: str, owned: Shards, held: Shards, standbys: Shards) -> None:
    """Give each shard of an owner a standby: where the rule would put it if the owner were lost."""
    others = {name: set(shards_of) for name, shards_of in owned.items() if name != owner}
    _Balance(shards, others, held, standbys).settle()
    for name, shards_of in others.items():
        standbys[name] |= shards_of & owned[owner]


def _levelled(owned: Shards, standbys: Shards) -> bool:
    """Move one standby from a member that has at least two more than another; return whether one can be moved.

    Only where both would own equally many again after the loss of its owner, just the other way round.
    """
    for full, empty in permutations(sorted(standbys), 2):
        if len(standbys[full]) < len(standbys[empty]) + 2:
            continue
        for owner in owned:
            backed = standbys[full] & owned[owner]
            after = len(owned[full]) + len(backed)
            if owner != empty and backed and after > len(owned[empty]) + len(standbys[empty] & owned[owner]):
                standbys[full].remove(max(backed))
                standbys[empty].add(max(backed))
                return True
    return False


def _add_copies(owned: Shards, held: Shards, standbys: Shards, share: int) -> None:
    """Give each shard one more standby: a member that holds a copy and has no more than its share, else who has few."""
    for owner in owned:
        for shard in sorted(owned[owner]):
            free = [name for name in owned if name != owner and shard not in standbys[name]]
            holders = [name for name in free if shard in held[name] and len(standbys[name]) < share]
            standbys[min(holders or free, key=lambda name: (len(standbys[name]), name))].add(shard)
