"""The hosted split store of a whole instance: threads over HTTP and from the shell, its status, its end."""

from __future__ import annotations

from base64 import b64decode
from urllib.parse import quote

import pytest

from streams.adapters.cluster import Cluster
from tests.fixtures.instance import STORE, RunningInstance

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

THREAD = "stored/thread"


async def test_a_thread_can_be_read_from_the_store_and_again_after_its_worker_was_restarted(
    instance: RunningInstance,
) -> None:
    """W7, W9: what was sent is there with its bodies; the queue is emptied by the store alone."""
    for text in ("one", "two"):
        instance.run("send", THREAD, text, "--from", "ann", "--to", "bob")
    await instance.drained()
    shown = instance.json("thread", THREAD)["messages"]
    assert [(one["position"], one["body"]["body"], one["pending"]) for one in shown] == [
        (1, "one", False),
        (2, "two", False),
    ]
    assert "two" in instance.run("thread", THREAD, "--first", "2")
    page = await instance.page(f"threads/{quote(THREAD, safe='')}?first=2", STORE)
    assert b"two" in b64decode(page["messages"][0]["body"]["content"])
    assert (await instance.page(f"threads/{quote(THREAD, safe='')}?first=x", STORE))["error"] == "BAD_RANGE"
    status = await instance.status(STORE)
    assert status["broker"] == "up"
    assert status["counters"]["rows"] >= 2
    assert status["counters"]["bodies"] >= 2
    async with Cluster(instance.connection) as cluster:
        topic = instance.topology.topics["thread.messages"]
        assert topic.retention_ms == -1
        assert await cluster.differences(instance.topology) == []
    assert instance.stop_worker(STORE) < 10
    await instance.serving()
    assert instance.json("thread", THREAD)["messages"] == shown
