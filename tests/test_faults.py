"""Fault points kill exactly where they are told to, and are nothing otherwise."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from streams import faults
from streams.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSES_TWO_PLACES_THREE_TIMES = """
from streams import faults
faults.arm_from_environment()
for number in range(3):
    faults.point("unit.after_send")
    print("sent", number, flush=True)
    faults.point("unit.after_commit")
    print("committed", number, flush=True)
"""


@pytest.fixture(autouse=True)
def _unarmed_afterwards() -> Iterator[None]:
    yield
    faults.arm("")


def run(specification: str | None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != faults.VARIABLE}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    if specification is not None:
        environment[faults.VARIABLE] = specification
    return subprocess.run(
        [sys.executable, "-c", PASSES_TWO_PLACES_THREE_TIMES],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_the_variable_every_place_is_an_empty_function() -> None:
    """Off by default: nothing is rebound, nothing is looked up."""
    faults.arm_from_environment({})
    assert faults.point is faults._unarmed
    assert run(None).returncode == 0


def test_the_process_is_killed_at_the_counted_passing_of_the_named_place() -> None:
    """It dies by SIGKILL at the second commit: after its send, before anything that follows."""
    process = run("unit.after_commit:2")
    assert process.returncode == -signal.SIGKILL
    assert process.stdout.split("\n") == ["sent 0", "committed 0", "sent 1", ""]


def test_without_a_count_the_first_passing_kills() -> None:
    """`name` alone means `name:1`."""
    process = run("unit.after_commit")
    assert (process.returncode, process.stdout) == (-signal.SIGKILL, "sent 0\n")


@pytest.mark.parametrize(
    "specification", ["unit.nowhere", "unit.after_send:0", "unit.after_send:", "unit.after_send:x"]
)
def test_a_specification_that_can_never_fire_is_refused(specification: str) -> None:
    """A typing error must not look like a pipeline that survives everything."""
    with pytest.raises(ConfigurationError):
        faults.arm(specification)
