"""What must hold of a shard's whole history; shares no code with the rules.

It reads everything that was ever committed, before compaction, straight from the keys and values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.laws import Law, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.world import Unit, World


def committed_units(world: World) -> list[Unit]:
    """Every committed unit, in log order."""
    return [
        record.value
        for record in world.updates.history
        if record.transaction.is_committed and record.value is not None
    ]


def violations(world: World) -> Iterator[Violation]:
    """What does not hold of a schedule that is over."""
    yield from world.violations
    units = committed_units(world)
    yield from each_unit_names_the_one_before_it(units)
    yield from what_a_unit_builds_on_is_whole(units)
    yield from each_claim_has_one_owner(units)
    yield from units_belong_to_valid_claims(world, units)


def each_unit_names_the_one_before_it(units: list[Unit]) -> Iterator[Violation]:
    """No unit is lost, and no two owners build on the same one."""
    before = 0
    for unit in units:
        if unit.previous != before:
            yield Violation(Law.ONE_CHAIN, f"{unit} follows unit {before}")
        before = unit.name


def what_a_unit_builds_on_is_whole(units: list[Unit]) -> Iterator[Violation]:
    """Its owner has restored both topics to the same unit.

    Asked of committed units only: a zombie may be told `Won` on an old claim after it has read one topic
    further than the other. By then it is fenced, and nothing that it builds on that is ever committed.
    """
    for unit in units:
        if unit.progress != unit.previous:
            yield Violation(Law.ALL_RESTORED, f"{unit} knew two different units as the last one")


def each_claim_has_one_owner(units: list[Unit]) -> Iterator[Violation]:
    """Under one claim only one owner commits units, and nobody does under an older claim later on."""
    owners: dict[int, str] = {}
    greatest = 0
    for unit in units:
        if owners.setdefault(unit.claim_number, unit.owner) != unit.owner:
            owner = owners[unit.claim_number]
            yield Violation(Law.ONE_OWNER_A_CLAIM, f"{unit} was committed under the claim of {owner}")
        if unit.claim_number < greatest:
            yield Violation(Law.ONE_OWNER_A_CLAIM, f"{unit} was committed after units of claim {greatest}")
        greatest = max(greatest, unit.claim_number)


def units_belong_to_valid_claims(world: World, units: list[Unit]) -> Iterator[Violation]:
    """A unit's owner made the first committed claim of its number."""
    first_owner: dict[int, str] = {}
    for record in world.state.history:
        if record.key[:1] == b"\x01" and record.value is not None and record.transaction.is_committed:
            first_owner.setdefault(int.from_bytes(record.key[1:9], "big"), record.key[9:].decode())
    for unit in units:
        owner = first_owner.get(unit.claim_number)
        if owner != unit.owner:
            yield Violation(Law.FIRST_CLAIM_OWNS, f"{unit}, but the first claim of that number is of {owner}")
