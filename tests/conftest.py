"""What all tests share: a seed that repeats every random choice, and where the real chat trace lies.

Guarantees: with the same `LOCKSTEP_SEED` every test that takes the `seed` fixture, and every Hypothesis test,
makes the same choices. The seed stands in pytest's header and in the output of each test that used it.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.fixtures.kafka"]  # the session's real broker; it starts when a test asks for it

SEED = int(os.environ.get("LOCKSTEP_SEED") or random.SystemRandom().randrange(2**32))
EXAMPLES = int(
    os.environ.get("LOCKSTEP_EXAMPLES") or 100
)  # of each property; thousands for a search by night

# Two shared cores make wall time a poor judge of a rule, so no deadline; a failure prints how to repeat it.
settings.register_profile(
    "lockstep",
    max_examples=EXAMPLES,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
settings.load_profile("lockstep")


def pytest_configure(config: pytest.Config) -> None:
    """Give Hypothesis the run's seed, unless the command line names another."""
    if getattr(config.option, "hypothesis_seed", None) is None:
        config.option.hypothesis_seed = str(SEED)


def pytest_report_header() -> list[str]:
    """Say how to repeat this run, and whether the real trace takes part."""
    trace = os.environ.get("LOCKSTEP_TRACE")
    return [
        f"seed: {SEED} (repeat with LOCKSTEP_SEED={SEED})",
        f"trace: {trace}"
        if trace
        else "trace: LOCKSTEP_TRACE is not set: tests of the real chat trace are SKIPPED",
    ]


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A seed of this test alone: made from the run's seed and the test's name, whatever ran before."""
    value = random.Random(f"{SEED}:{request.node.nodeid}").randrange(2**32)
    print(f"seed of this test: {value} (LOCKSTEP_SEED={SEED})")
    return value


@pytest.fixture(scope="session")
def trace_path() -> Path:
    """The real chat trace; a test that asks for it is skipped, aloud, where it is not at hand."""
    name = os.environ.get("LOCKSTEP_TRACE")
    if not name:
        pytest.skip("the real chat trace is not here: set LOCKSTEP_TRACE to its path")
    path = Path(name)
    assert path.is_file(), f"LOCKSTEP_TRACE names {path}, which is no file"
    return path
