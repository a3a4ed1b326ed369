"""One instance for all of tests/e2e that does not break it: starting one takes longer than most tests."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.fixtures.instance import RunningInstance, running_instance
from tests.fixtures.tap import Tap


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningInstance]:
    """Four shards, one pipeline worker, the store."""
    if os.environ.get("LOCKSTEP_TEST_BOOTSTRAP"):
        pytest.skip("these tests start an instance of their own; LOCKSTEP_TEST_BOOTSTRAP names a cluster")
    with running_instance(tmp_path_factory.mktemp("instance")) as running:
        yield running


@pytest_asyncio.fixture
async def tap(instance: RunningInstance) -> AsyncIterator[Tap]:
    async with Tap(instance) as opened:
        yield opened
