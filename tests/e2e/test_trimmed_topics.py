"""Records that were trimmed before they were processed: a named stop, until an operator accepts the loss."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streams.adapters.cluster import Cluster
from tests.chaos.waiting import until_answered
from tests.e2e.bad_input import request
from tests.fixtures.instance import PIPELINE, SHARDS, RunningInstance, running_instance
from tests.fixtures.tap import Tap

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

NOTICED_SECONDS_MAX = 90.0
SHARD = 2


@pytest.fixture(scope="module")
def trimmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningInstance]:
    with running_instance(tmp_path_factory.mktemp("trimmed"), has_store=False) as running:
        yield running


async def answered(running: RunningInstance, account: str) -> None:
    async with Tap(running) as tap:
        await tap.request(request(account))
        await tap.until(
            "ingest.results", lambda found: account in {one["account_id"] for one in found}, "the answer"
        )


async def states(running: RunningInstance) -> dict[int, str]:
    shards = (await running.status()).get("shards", [])
    return {one["shard"]: f"{one['state']} {one['detail']}" for one in shards}


async def test_a_shard_whose_input_was_trimmed_unread_goes_on_once_the_loss_is_accepted(
    trimmed: RunningInstance,
) -> None:
    """Every other shard serves all the time; what comes after the loss is processed, nothing is asked twice."""
    account = trimmed.on_shard(SHARD, "before")
    await answered(trimmed, account)
    await trimmed.drained(has_store=False)
    trimmed.stop_worker()
    async with Tap(trimmed) as tap:
        for _ in range(3):
            lost_to = await tap.request(request(trimmed.on_shard(SHARD, "lost"))) + 1
    async with Cluster(trimmed.connection) as cluster:
        await cluster.delete_records({"ingest.requests": {SHARD: lost_to}})
    trimmed.start_worker(PIPELINE)

    async def is_said() -> bool:
        return "TRIMMED_BELOW_PROGRESS" in (await states(trimmed)).get(SHARD, "")

    await until_answered(is_said, "the shard stops by name", NOTICED_SECONDS_MAX)
    await answered(trimmed, trimmed.on_shard(SHARD + 1, "meanwhile"))
    shown = trimmed.json("accept-loss")
    assert shown["accepted"] is False
    (loss,) = shown["losses"]
    assert (loss["shard"], loss["topic"], loss["log_start"]) == (SHARD, "ingest.requests", lost_to)
    assert trimmed.json("accept-loss", "--yes") == {"accepted": True, "losses": [loss]}

    async def all_open() -> bool:
        found = await states(trimmed)
        return len(found) == SHARDS and all(state.startswith("open") for state in found.values())

    await until_answered(all_open, "the shard goes on", NOTICED_SECONDS_MAX)
    await answered(trimmed, trimmed.on_shard(SHARD, "after"))
    assert trimmed.json("accept-loss", "--yes") == {"accepted": False, "losses": []}
    assert "engine.loss_accepted" in trimmed.log()
    trimmed.stop_worker()
    trimmed.start_worker(PIPELINE)
    await until_answered(all_open, "and in the next life", NOTICED_SECONDS_MAX)
