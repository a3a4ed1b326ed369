"""What observes can be switched off for a measurement, and the difference is of the medians."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from bench.contenders import altered_worker
from bench.contenders.unobserved import INSTEAD
from bench.figures import Difference, difference
from bench.jobs.observing import OBSERVING, LockstepObserved, LockstepUnobserved
from bench.plan import Options
from bench.report import completed, render
from tests.tidy.files import ROOT

FIGURE = "cpu_seconds_per_million"


def run(contender: str, value: float | None, number: int = 1, reason: str | None = None) -> dict[str, Any]:
    more = {"round": number, "label": contender, "parameters": {}, "load": 1.0, "loop_us": 12.0}
    return {"contender": contender, FIGURE: value, "reason": reason, **more}


def test_what_is_switched_off_is_there() -> None:
    """A name that the product gave up would be switched off without any effect."""
    assert all(hasattr(owner, name) for owner, name, _ in INSTEAD)


def test_a_worker_that_is_switched_off_notes_nothing() -> None:
    """In a process of its own, as in the job: here it would switch off the other tests."""
    program = """
from bench.contenders.unobserved import switch_off
from streams.observe.units import Phases, Units
switch_off()
units = Units(("a",))
units.done([], [("a", 0, b"", b"")], Phases(1, 1, 1))
assert not units.records_out and not units.sizes.count, "it noted something"
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, timeout=60)


def test_both_sides_start_in_the_same_way() -> None:
    """So that nothing but the observing differs."""
    assert {LockstepObserved().alteration(), LockstepUnobserved().alteration()} <= set(
        altered_worker.ALTERATIONS
    )
    assert OBSERVING.compares == tuple(step.contender.name for step in OBSERVING.steps(Options()))


def test_a_difference_is_of_the_medians_in_percent() -> None:
    """100 without, 103 with: 3 %, whatever the outer runs."""
    without = [run("w", value) for value in (100, 1, 999)]
    having = [run("h", value) for value in (103, 50, 103)]
    found = difference(without, having, FIGURE)
    assert (found.without, found.median_with, found.reason) == (100, 103, None)
    assert found.percent == pytest.approx(3)


def test_a_difference_with_a_wrong_run_is_null_with_the_reason() -> None:
    """On the same terms as a ratio."""
    wrong = [run("h", None, reason="3 lost")]
    assert difference([run("w", 1)], wrong, FIGURE) == Difference(None, None, None, "with, run 1: 3 lost")
    assert difference([], [run("h", 1)], FIGURE).reason == "without: left out"


def test_the_report_says_it_in_json_and_in_words() -> None:
    """Under `differences` of the job."""
    job = {"title": "t", "note": "n", "figures": [[FIGURE, "CPU-s"]], "compares": ["w", "h"]}
    found = {
        "at": "2026-01-01T00:00:00Z",
        "is_quick": False,
        "machine": {"cores": 2, "memory_gib": 24, "python": "3.11"},
        "contenders": {},
        "jobs": {"observing": {**job, "runs": [run("w", 100), run("h", 102)]}},
    }
    report = completed(found)
    assert report["jobs"]["observing"]["differences"][FIGURE]["percent"] == pytest.approx(2)
    assert "CPU-s: 100 without, 102 with, +2.0 %" in render(report)
