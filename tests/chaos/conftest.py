"""One instance for all of tests/chaos: what an early fault left behind is still found by the last judgement."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.chaos.harness import Harness
from tests.conftest import SEED


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def instance(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Harness]:
    """Two pipeline workers, the store's worker, a broker, traffic."""
    if os.environ.get("LOCKSTEP_TEST_BOOTSTRAP"):
        pytest.skip("chaos kills its broker, and LOCKSTEP_TEST_BOOTSTRAP names one that must not be killed")
    async with Harness(tmp_path_factory.mktemp("chaos"), seed=SEED) as harness:
        yield harness


@pytest_asyncio.fixture(loop_scope="session")
async def ready(instance: Harness) -> Harness:
    """The instance with everything running, whatever the test before left dead or suspended."""
    await instance.recovered()
    return instance
