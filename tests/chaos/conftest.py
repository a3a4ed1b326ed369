"""One instance for all of tests/chaos: what an early fault left behind is still found by the last judgement."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Generator

import pytest
import pytest_asyncio

from tests.chaos.harness import Harness
from tests.chaos.instances import Instances
from tests.conftest import SEED

INSTANCES = pytest.StashKey[Instances]()


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def instances(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Instances]:
    """Two pipeline workers, the store's worker, a broker, traffic; fresh ones after a failure."""
    if os.environ.get("LOCKSTEP_TEST_BOOTSTRAP"):
        pytest.skip("chaos kills its broker, and LOCKSTEP_TEST_BOOTSTRAP names one that must not be killed")
    instances = Instances(lambda: Harness(tmp_path_factory.mktemp("chaos"), seed=SEED))
    request.config.stash[INSTANCES] = instances
    yield instances
    await instances.close()


@pytest_asyncio.fixture(loop_scope="session")
async def ready(instances: Instances) -> Harness:
    """The instance with everything running, whatever the test before left dead or suspended."""
    instance = await instances.get()
    await instance.recovered()
    return instance


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note down that a test, or its set-up, failed."""
    report = yield
    if report.failed and INSTANCES in item.config.stash:
        item.config.stash[INSTANCES].is_spoilt = True
    return report
