"""Publisher, sender and commands against a real broker; a coroutine of the test plays the pipeline."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from streams.client import EndpointCommands, NoAnswer, Outlet, Publisher, Request, Sender, post
from streams.client.trace import TracePlan, read_trace
from streams.codec import Codec
from streams.errors import BrokerUnavailable
from streams.ids import Position, delivery_key, shard_of
from streams.records import Status
from streams.verify.source import KafkaSource
from tests.data import make_small_trace
from tests.fixtures.outside import SHARDS, Outside, outside_of_pipeline

pytestmark = pytest.mark.kafka

CODEC = Codec()
Reply = Callable[[dict[str, Any], int], list[tuple[str, bytes, bytes]]]
"""(fields of a record, how many came before it) -> (topic, key, value) to write."""


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with outside_of_pipeline(tmp_path_factory.mktemp("kafka")) as cluster:
        yield cluster


@asynccontextmanager
async def replying(outside: Outside, topic: str, reply: Reply) -> AsyncIterator[list[dict[str, Any]]]:
    """Answer every new record of a topic; gives the list of what came."""
    came: list[dict[str, Any]] = []
    consumer = AIOKafkaConsumer(topic, **outside.arguments, auto_offset_reset="latest")
    producer = AIOKafkaProducer(**outside.arguments)
    await consumer.start()
    await consumer.seek_to_end()
    await producer.start()

    async def play() -> None:
        async for record in consumer:
            _, fields = CODEC.decode(record.value)
            came.append(fields)
            for to, key, value in reply(fields, len(came) - 1):
                await producer.send_and_wait(to, value, key=key, partition=record.partition)

    playing = asyncio.create_task(play())
    try:
        yield came
    finally:
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        await consumer.stop()
        await producer.stop()


def result(fields: dict[str, Any], status: str, code: str | None = None) -> tuple[str, bytes, bytes]:
    answer = {
        "token": fields["token"], "status": status, "message_id": bytes(16), "server_at_ms": 7, "code": code,
        "account_id": fields["account_id"], "endpoint_id": fields["endpoint_id"],
    }  # fmt: skip
    return "ingest.results", fields["account_id"].encode(), CODEC["SendResult"].encode(answer)


async def read_all(outside: Outside, topic: str) -> list[Any]:
    async with KafkaSource(outside.arguments) as source:
        await source.capture([topic])
        return [record async for records in source.batches(topic) for record in records]


async def test_everything_published_stands_on_its_shard_in_order_and_once(outside: Outside) -> None:
    """The partition is Kafka's own default for the key; within a partition the order is that of `put`."""
    plan = TracePlan(read_trace(make_small_trace.PATH), start_at_ms=1_000_000)
    async with Publisher(outside.arguments) as publisher:
        outlet = Outlet(publisher, outside.topology)
        await outlet.open()
        assert outlet.shards == SHARDS
        for request in plan.messages():
            await outlet.put_request(request)
        await publisher.flush()
        records = await read_all(outside, "ingest.requests")
    assert len(records) == publisher.written == plan.messages_total
    assert all(record.partition == shard_of(record.key.decode(), SHARDS) for record in records)
    for shard in range(SHARDS):
        found = [CODEC.decode(record.value)[1] for record in records if record.partition == shard]
        sent = [one.fields() for one in plan.messages() if shard_of(one.account_id, SHARDS) == shard]
        assert found == sent


async def test_a_record_larger_than_a_batch_is_published_too(outside: Outside) -> None:
    async with Publisher(outside.arguments) as publisher:
        await publisher.put("shard.ledger", 0, b"large", bytes(500_000))
        await publisher.put("shard.ledger", 0, b"small", b"x")
    assert [len(record.value) for record in await read_all(outside, "shard.ledger")] == [500_000, 1]


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_publisher_without_a_broker_gives_up_in_time_and_says_where(free_port: int) -> None:
    arguments = {"bootstrap_servers": f"127.0.0.1:{free_port}"}
    with pytest.raises(BrokerUnavailable, match=str(free_port)):
        async with Publisher(arguments, retry_seconds=0.3):
            pass


async def test_an_answer_reaches_the_coroutine_that_asked(outside: Outside) -> None:
    async with (
        replying(outside, "ingest.requests", lambda fields, _: [result(fields, "ACCEPTED")]),
        Sender(outside.arguments, outside.topology) as sender,
    ):
        requests = [Request(f"asker-{n}", "phone", "t", post("x")) for n in range(5)]
        answers = await asyncio.gather(*(sender.ask(request) for request in requests))
    assert [answer.token for answer in answers] == [request.token for request in requests]
    assert all(answer.status is Status.ACCEPTED and answer.is_accepted for answer in answers)


async def test_a_retry_carries_the_same_token_and_the_same_bytes(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is lost on the way is asked again, and can only be a duplicate."""
    monkeypatch.setattr("streams.client.sender._ATTEMPT_SECONDS", 0.2)

    def reply(fields: dict[str, Any], before: int) -> list[tuple[str, bytes, bytes]]:
        return [result(fields, "DUPLICATE")] if before else []

    async with (
        replying(outside, "ingest.requests", reply) as came,
        Sender(outside.arguments, outside.topology) as sender,
    ):
        answer = await sender.ask(Request("patient", "phone", "t", post("x")))
    assert answer.status is Status.DUPLICATE
    assert len(came) >= 2
    assert all(fields == came[0] for fields in came)


async def test_a_refusal_that_follows_is_returned_to_who_waits_for_it(outside: Outside) -> None:
    """ACCEPTED is followed by REFUSED when the thread does not take it."""

    def reply(fields: dict[str, Any], _: int) -> list[tuple[str, bytes, bytes]]:
        return [result(fields, "ACCEPTED"), result(fields, "REFUSED", "NOT_A_MEMBER")]

    async with (
        replying(outside, "ingest.requests", reply),
        Sender(outside.arguments, outside.topology) as sender,
    ):
        answer = await sender.ask(Request("stranger", "phone", "t", post("x")), refusal_seconds=10)
    assert (answer.status, answer.code, answer.is_accepted) == (Status.REFUSED, "NOT_A_MEMBER", False)


async def test_no_answer_ends_with_an_error_that_names_the_token(outside: Outside) -> None:
    async with Sender(outside.arguments, outside.topology, retry_seconds=0.3) as sender:
        request = Request("ignored", "phone", "t", post("x"))
        with pytest.raises(NoAnswer, match=str(request.token.nonce)):
            await sender.ask(request)


async def test_a_command_is_answered_with_its_batches_in_order(outside: Outside) -> None:
    """Missing updates come in bounded batches until there are no more."""

    def reply(fields: dict[str, Any], _: int) -> list[tuple[str, bytes, bytes]]:
        owner = {name: fields[name] for name in ("account_id", "endpoint_id", "command_id")}
        done = {**owner, "code": "OK", "attached_from_seq": None, "head": 4, "epoch": 1}
        parts = [CODEC["CommandResult"].encode(done)]
        if fields["command"][0] == "lockstep.MissingUpdates":
            for first, has_more in ((1, True), (3, False)):
                batch = {
                    **owner,
                    "seq_first": first,
                    "seq": first + 1,
                    "updates": [],
                    "has_more": has_more,
                    "epoch": 1,
                }
                parts.append(CODEC["UpdateBatch"].encode(batch))
        key = delivery_key(fields["account_id"], fields["endpoint_id"])
        return [("replay.updates", key, part) for part in parts]

    async with (
        replying(outside, "endpoint.commands", reply) as came,
        EndpointCommands(outside.arguments, outside.topology) as commands,
    ):
        answer = await commands.missing("ann", "phone", Position(1, 1), 4)
        assert [batch["seq_first"] for batch in answer.batches] == [1, 3]
        for asked in (
            commands.register("ann", "phone", locale="fr", window=3),
            commands.attach("ann", "phone", Position(1, 2)),
            commands.detach("ann", "phone"),
            commands.ack("ann", "phone", Position(1, 2)),
            commands.unregister("ann", "phone"),
        ):
            assert (await asked).is_ok
    assert Counter(fields["command"][0] for fields in came) == dict.fromkeys(
        (
            f"lockstep.{name}"
            for name in ("MissingUpdates", "Register", "Attach", "Detach", "Ack", "Unregister")
        ),
        1,
    )
