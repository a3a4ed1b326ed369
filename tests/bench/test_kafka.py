"""A run of the smallest size on a real broker: figures for a right output, null and the reason for a wrong one."""

from __future__ import annotations

from typing import Any

import pytest

from bench.check import Sighting
from bench.contenders.lockstep import LockstepTwoHop
from bench.jobs.throughput import FIGURES, throughput
from bench.load import Load
from bench.sitting import Sitting

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

LOAD = Load(messages=2_000, accounts=200)


class Small(LockstepTwoHop):
    """Our two hops with a short warm-up."""

    warm_up_messages = 500


class Forgetful(Small):
    """The same, seen by a reader to whom one recipient's first update looks like another's: a planted fault."""

    def sight(self, topic: str, record: Any) -> Sighting:
        seen = super().sight(topic, record)
        return seen._replace(seq=seen.seq + 1) if seen.recipient == "account-00007" else seen


async def test_a_run_has_figures_and_a_wrong_one_has_none() -> None:
    """One broker, two runs on fresh topics; the second's output is made to look wrong."""
    async with Sitting(warms_up=False) as sitting:
        right = await throughput(sitting, Small(), LOAD)
        wrong = await throughput(sitting, Forgetful(), LOAD)
    assert right["reason"] is None
    assert all(right[figure] > 0 for figure in FIGURES)
    assert "gaps" in wrong["reason"]
    assert [wrong[figure] for figure in FIGURES] == [None] * len(FIGURES)
