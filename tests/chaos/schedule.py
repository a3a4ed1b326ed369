"""The random schedule: a seed gives the same steps, each with its own source of chance, however long it runs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from tests.chaos.actions import ACTIONS

WEIGHTS = {"kill at a point": 6, "kill": 3, "zombie": 3, "broker": 2, "damage": 2, "storm": 2}


class Step(NamedTuple):
    """One step. What it chooses inside follows from its own seed, not from what came before."""

    number: int
    action: str
    seed: int
    is_judged: bool
    """Whether everything is judged before the next step; otherwise the next fault meets the unrepaired one."""


def steps(seed: int) -> Iterator[Step]:
    """Yield steps for ever."""
    assert WEIGHTS.keys() == ACTIONS.keys()
    chance = random.Random(f"chaos {seed}")
    number = 0
    while True:
        number += 1
        (action,) = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
        yield Step(number, action, chance.randrange(2**32), chance.random() < 0.5)
