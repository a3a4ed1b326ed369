"""What operators and strangers do to topics: deleted under a worker, other partitions, other settings, foreign records.

These break the instances they work on, so they are their own; the one that all but the last share has no store.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from streams.cli.instance import Instance
from streams.errors import TopologyError
from streams.ids import Token, message_id
from streams.limits import RECORD_BYTES_MAX, RECORD_OVERHEAD_BYTES
from tests.chaos.waiting import until_answered
from tests.e2e.bad_input import CODEC, NOW_MS, REGISTER, post, request
from tests.fixtures.instance import (
    COMMAND_SECONDS_MAX,
    PIPELINE,
    ROOT,
    SHARDS,
    STORE,
    RunningInstance,
    running_instance,
)
from tests.fixtures.tap import Tap

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

NOTICED_SECONDS_MAX = 90.0


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningInstance]:
    with running_instance(tmp_path_factory.mktemp("broken"), has_store=False) as running:
        yield running


@pytest_asyncio.fixture
async def admin(broken: RunningInstance) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(**broken.arguments)
    await client.start()
    yield client
    await client.close()


async def answered_everywhere(broken: RunningInstance, name: str) -> None:
    """A request on every shard is answered ACCEPTED, and its update is in the sender's inbox."""
    accounts = {broken.on_shard(shard, name) for shard in range(SHARDS)}
    async with Tap(broken) as tap:
        for account in accounts:
            await tap.request(request(account))
        answers = await tap.until(
            "ingest.results", lambda found: {one["account_id"] for one in found} >= accounts, "answers"
        )
        assert {one["status"] for one in answers if one["account_id"] in accounts} == {"ACCEPTED"}
        await tap.until(
            "inbox.updates", lambda found: {one["account_id"] for one in found} >= accounts, "updates"
        )


# -- Other partitions, other settings --------------------------------------------------------------------------------


def test_a_worker_refuses_to_start_where_partitions_are_not_its_shards(broken: RunningInstance) -> None:
    """It says both numbers and what to do, ends with 2, and has processed nothing."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "streams", "worker", "--bootstrap", broken.connection.bootstrap),
            *(
                "--shards",
                str(SHARDS - 1),
                "--name",
                "stranger",
                "--data-dir",
                str(broken.folder / "stranger"),
            ),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    assert "error TOPOLOGY: 3 shards were asked for" in said
    assert "ingest.requests: 4" in said
    assert "--shards" in said
    assert not (broken.folder / "stranger").exists()


async def test_up_takes_the_shards_of_topics_that_are_there_and_refuses_others(
    broken: RunningInstance,
) -> None:
    """Without --shards theirs win over topology.yaml; with another number nothing is started."""
    other = broken.topology.with_shards(12)
    folder = broken.folder / "second"
    folder.mkdir()
    adopting = Instance(
        data_dir=folder, topology=other, workers=1, connection=broken.connection, adopts_shards=True
    )
    await adopting.prepare()
    assert adopting.topology.shards == SHARDS
    fixed = Instance(data_dir=folder, topology=other, workers=1, connection=broken.connection)
    with pytest.raises(TopologyError, match="12 shards were asked for"):
        await fixed.prepare()


async def test_a_setting_that_differs_is_named_and_put_right_only_when_asked(
    broken: RunningInstance, admin: AIOKafkaAdminClient
) -> None:
    """`topology check` ends with 1 and names topic, setting, expected and got; --apply mends it."""
    assert broken.json("topology", "check")["equal"] is True
    changed = {"retention.ms": "3600000"}
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, "inbox.updates", configs=changed)])
    for _ in range(2):
        found = broken.json("topology", "check", exit_code=1)
        assert {
            "topic": "inbox.updates",
            "setting": "retention.ms",
            "expected": "2592000000",
            "found": "3600000",
        } in (found["differences"])
    assert broken.json("topology", "check", "--apply")["applied"] is True
    assert broken.json("topology", "check")["differences"] == []


# -- Records that nobody of ours wrote -------------------------------------------------------------------------------


async def test_an_update_that_would_exceed_its_topic_becomes_a_tombstone_and_a_dead_letter(
    broken: RunningInstance,
) -> None:
    """The append fits its own topic, its update would not: the number stays, the reason is said, no unit is aborted.

    No request that ingest takes can grow so large, so it is written where only fanout should write.
    """
    account = broken.on_shard(1, "large")
    async with Tap(broken) as tap:
        await tap.command(account, "phone", "Register", "register", **REGISTER)
        await tap.command(account, "phone", "Attach", "attach", position=None)
        fields = {
            "account_id": account,
            "token": None,
            "message_id": message_id("stranger", "phone", Token(NOW_MS, 1)),
            "thread_id": "large-thread",
            "thread_position": 1,
            "sender_id": "stranger",
            "server_at_ms": NOW_MS,
            "kind": "post",
            "content": post(b""),
        }
        room = (
            RECORD_BYTES_MAX
            - RECORD_OVERHEAD_BYTES
            - len(CODEC["InboxAppend"].encode(fields))
            - len(account)
            - 4
        )
        fields["content"] = post(b"x" * room)
        value = CODEC["InboxAppend"].encode(fields)
        offset = await tap.put("inbox.appends", account.encode(), value, 1)
        await tap.request(request(account))
        await tap.until("inbox.updates", lambda found: len(found) >= 2, "both updates")
        updates = await tap.decoded("inbox.updates")
        assert [(one["seq"], one["kind"]) for one in updates] == [(1, "tombstone"), (2, "post")]
        assert updates[0]["content"] == ("lockstep.Tombstone", {"reason": "OVERSIZE"})
        (letter,) = await tap.decoded("dead.letters")
        assert (letter["topic"], letter["offset"], letter["code"]) == ("inbox.appends", offset, "OVERSIZE")
        assert (letter["key"], letter["value"]) == (account.encode(), value)
        delivered = await tap.until("delivery.mobile", lambda found: len(found) >= 2, "both deliveries")
        assert [(one["seq"], one["kind"]) for one in delivered] == [(1, "tombstone"), (2, "post")]


# -- Deleted under the worker ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", ["ingest.requests", "thread.operations", "delivery.web", "ingest.results"])
async def test_a_topic_deleted_under_the_worker_is_said_and_processing_goes_on_when_it_is_made_anew(
    broken: RunningInstance, admin: AIOKafkaAdminClient, topic: str
) -> None:
    """Status and log name it, `topology check` ends with 1; then every shard answers, and passes over nothing."""
    name = f"deleted-{topic}"
    await answered_everywhere(broken, f"{name}-before")
    await broken.drained(has_store=False)
    said_before = len(broken.log())
    pid = broken.worker().process

    await admin.delete_topics([topic])

    async def is_said() -> bool:
        return f"{topic}: deleted under this worker" in str((await broken.status()).get("broker"))

    await until_answered(is_said, "the status names the topic", NOTICED_SECONDS_MAX)
    assert f"{topic}: deleted under this worker" in broken.log()[said_before:]
    assert "open" not in {one["state"] for one in (await broken.status())["shards"]}
    (difference,) = broken.json("topology", "check", exit_code=1)["differences"]
    assert (difference["topic"], difference["setting"]) == (topic, "topic")

    begun = time.monotonic()
    assert broken.json("topics", "create")["created"] == [topic]
    await answered_everywhere(broken, f"{name}-after")
    print(f"went on after {time.monotonic() - begun:.1f} s")
    assert broken.worker().process is pid, "the worker was never restarted"
    await broken.drained(has_store=False)
    if topic in broken.topology.inputs_of("pipeline"):
        assert broken.log()[said_before:].count("engine.topic_made_anew") == SHARDS
    assert (await broken.status())["broker"] == "up"


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[RunningInstance]:
    """An instance with a store, for one test."""
    with running_instance(tmp_path) as running:
        yield running


async def test_thread_messages_made_anew_stops_the_store_by_name_and_a_store_moved_away_begins_anew(
    stored: RunningInstance,
) -> None:
    """W9: no worker ends, the pipeline goes on, what was stored is kept; the loss is accepted by an operator."""
    running = stored
    await answered_everywhere(running, "before")
    await running.drained()
    client = AIOKafkaAdminClient(**running.arguments)
    await client.start()
    await client.delete_topics(["thread.messages"])
    await client.close()
    pids = {name: running.worker(name).process for name in (PIPELINE, STORE)}

    async def is_stopped() -> bool:
        status = await running.status(STORE)
        return "thread.messages: deleted under this worker" in status.get("broker", "") and not any(
            one["state"] == "open" for one in status["shards"]
        )

    await until_answered(is_stopped, "the store stops, and says why", NOTICED_SECONDS_MAX)
    assert running.json("topics", "create")["created"] == ["thread.messages"]

    async def is_said() -> bool:
        shards = (await running.status(STORE)).get("shards", [])
        return len(shards) == SHARDS and all("QUEUE_REPLACED" in one["detail"] for one in shards)

    await until_answered(is_said, "the status names what happened", NOTICED_SECONDS_MAX)
    await answered_everywhere(running, "after")
    assert {name: running.worker(name).process for name in pids} == pids, "no worker was restarted"
    assert "Traceback" not in running.log(STORE)

    running.stop_worker(STORE)
    (running.folder / "store").rename(running.folder / "store before")
    running.start_worker(STORE)

    async def is_open() -> bool:
        shards = (await running.status(STORE)).get("shards", [])
        return len(shards) == SHARDS and {one["state"] for one in shards} == {"open"}

    await until_answered(is_open, "the store begins anew", NOTICED_SECONDS_MAX)
    await running.drained()
