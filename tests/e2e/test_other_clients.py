"""Clients of other make land on the right shard, send, hear the answer and read what is delivered.

The part below the line knows only what docs/schemas-and-topics.md says: a Kafka client, an Avro library, schemas/.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import Consumer as LibrdkafkaConsumer
from confluent_kafka import Message, TopicPartition
from confluent_kafka import Producer as LibrdkafkaProducer
from fastavro import parse_schema, schemaless_reader, schemaless_writer

from streams.adapters.cluster import Cluster
from streams.connection import Connection
from streams.ids import shard_of
from streams.topology import load_topology
from tests.fixtures.instance import RunningInstance
from tests.fixtures.kafka import KafkaForTests
from tests.fixtures.topologies import renamed

pytest_plugins = ["tests.fixtures.kafka"]
pytestmark = pytest.mark.kafka

SHARDS = 7
KEYS = ["ann", "Zoë", "台北", "a" * 128, *(f"account-{number}" for number in range(60))]


async def created_topic(kafka: KafkaForTests) -> str:
    topology = renamed(load_topology(shards=SHARDS), f"clients-{uuid.uuid4().hex[:8]}")
    async with Cluster(Connection(bootstrap=kafka.bootstrap)) as cluster:
        await cluster.create_topics(topology)
    return topology.topic_of("SendRequest")


async def test_librdkafka_with_murmur2_random_lands_on_the_shard_of_the_key(kafka: KafkaForTests) -> None:
    topic = await created_topic(kafka)
    landed: dict[str, int] = {}

    def delivered(error: object, message: Message) -> None:
        assert error is None
        landed[(message.key() or b"").decode()] = message.partition() or 0

    producer = LibrdkafkaProducer({"bootstrap.servers": kafka.bootstrap, "partitioner": "murmur2_random"})
    for key in KEYS:
        producer.produce(topic, b"x", key.encode(), on_delivery=delivered)
    assert producer.flush(30) == 0
    assert landed == {key: shard_of(key, SHARDS) for key in KEYS}
    assert len(set(landed.values())) == SHARDS


async def test_aiokafka_lands_on_the_shard_of_the_key_by_default(kafka: KafkaForTests) -> None:
    topic = await created_topic(kafka)
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
        landed = {key: (await producer.send_and_wait(topic, b"x", key.encode())).partition for key in KEYS}
    assert landed == {key: shard_of(key, SHARDS) for key in KEYS}


# -- By the documentation alone --------------------------------------------------------------------------------------

HISTORY = Path(__file__).parents[2] / "schemas" / "history"
SCHEMAS: dict[bytes, Any] = {
    bytes.fromhex(path.name.split(".")[2]): parse_schema(json.loads(path.read_text("utf-8")))
    for path in HISTORY.glob("*.avsc")
}
SEND_REQUEST = bytes.fromhex("1eae30aff5af7053")
ENDPOINT_COMMAND = bytes.fromhex("c70a63e05289abcf")
DELIVERED_SECONDS_MAX = 120.0
Fields = dict[str, Any]


def encoded(fingerprint: bytes, fields: Fields) -> bytes:
    body = io.BytesIO()
    schemaless_writer(body, SCHEMAS[fingerprint], fields)
    return b"\xc3\x01" + fingerprint + body.getvalue()


def decoded(value: bytes) -> tuple[str, Fields]:
    schema = SCHEMAS[value[2:10]]
    body = io.BytesIO(value[10:])
    fields: Any = schemaless_reader(
        body, schema, None, return_record_name=True, return_record_name_override=True
    )
    return schema["name"], fields


def hashed(*parts: str) -> bytes:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(len(part.encode()).to_bytes(4, "big") + part.encode())
    return digest.digest()


class OtherClient:
    """A gateway in another library: produces requests and commands, follows every partition of some topics."""

    def __init__(self, bootstrap: str, topics: list[str]) -> None:
        self._producer = LibrdkafkaProducer(
            {"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "acks": "all"}
        )
        self._consumer = LibrdkafkaConsumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"other-client-{uuid.uuid4().hex[:8]}",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
            }
        )
        partitions = [
            TopicPartition(topic, number)
            for topic in topics
            for number in self._consumer.list_topics(topic, timeout=30).topics[topic].partitions
        ]
        for one in partitions:
            _, one.offset = self._consumer.get_watermark_offsets(one, timeout=30)
        self._consumer.assign(partitions)
        self.seen: list[tuple[str, bytes, str, Fields]] = []
        """Topic, key, record name, fields."""

    def send(self, fields: Fields) -> None:
        self._producer.produce("ingest.requests", encoded(SEND_REQUEST, fields), key=fields["account_id"])
        assert self._producer.flush(60) == 0

    def command(self, account: str, endpoint: str, name: str, fields: Fields) -> Fields:
        """Ask, and return the answer."""
        command_id = uuid.uuid4().hex
        command = {"command_id": command_id, "account_id": account, "endpoint_id": endpoint}
        value = encoded(ENDPOINT_COMMAND, {**command, "command": (f"lockstep.{name}", fields)})
        self._producer.produce("endpoint.commands", value, key=account)
        assert self._producer.flush(60) == 0
        answer = self.await_one(
            lambda _, record, found: record == "CommandResult" and found["command_id"] == command_id
        )
        return answer[3]

    def answer(self, token: Fields, status: str) -> tuple[str, bytes, str, Fields]:
        return self.await_one(
            lambda topic, _, found: (
                topic == "ingest.results" and (found["token"], found["status"]) == (token, status)
            )
        )

    def await_one(self, is_it: Callable[[str, str, Fields], bool]) -> tuple[str, bytes, str, Fields]:
        """Poll until something arrived (topic, record name, fields) that it is."""
        deadline = time.monotonic() + DELIVERED_SECONDS_MAX
        looked_at = 0
        while True:
            for one in self.seen[looked_at:]:
                if is_it(one[0], one[2], one[3]):
                    return one
            looked_at = len(self.seen)
            assert time.monotonic() < deadline, f"not among {len(self.seen)} records"
            message = self._consumer.poll(0.2)
            if message is not None and message.error() is None:
                name, fields = decoded(message.value() or b"")
                self.seen.append(
                    (message.topic() or "", message.key() or b"", name.removeprefix("lockstep."), fields)
                )

    def close(self) -> None:
        self._consumer.close()


def test_another_library_sends_hears_the_answer_and_reads_what_is_delivered(
    instance: RunningInstance,
) -> None:
    """Only the documented formats are used: a request, its retry, an endpoint that registers, attaches and acks."""
    ann, bob, thread = "other-Zoë", "other-台北", "other-thread"
    client = OtherClient(
        instance.connection.bootstrap, ["ingest.results", "replay.updates", "delivery.mobile", "delivery.web"]
    )
    try:
        register = {
            "locale": "fr",
            "app_version": "1.0",
            "capabilities": ["forms"],
            "media_width_max": 0,
            "encoding": "avro",
            "route": "web",
            "window": 0,
        }
        assert client.command(bob, "browser", "Register", register)["code"] == "OK"
        assert client.command(bob, "browser", "Attach", {"position": None})["code"] == "OK"
        token = {"timestamp_ms": int(time.time() * 1000), "nonce": random.getrandbits(63)}
        request = {
            "account_id": ann,
            "endpoint_id": "phone",
            "token": token,
            "thread_id": thread,
            "recipients": [bob],
            "operation": ("lockstep.Post", {"content_type": "text/plain", "body": b"Hello", "media": []}),
        }
        numbers = (str(token["timestamp_ms"]), str(token["nonce"]))
        message_id = hashed(ann) + hashed(ann, "phone", *numbers)
        for status in ("ACCEPTED", "DUPLICATE"):
            client.send(request)
            _, key, _, answer = client.answer(token, status)
            assert (key.decode(), answer["message_id"]) == (ann, message_id)
        topic, key, name, update = client.await_one(
            lambda _, __, found: found.get("message_id") == message_id and "seq" in found
        )
        assert (topic, key, name) == ("delivery.web", f"{bob}\0browser".encode(), "EndpointUpdate")
        assert (update["epoch"], update["seq_first"], update["seq"], update["sender_id"]) == (1, 1, 1, ann)
        assert update["content"][1]["body"] == b"Hello"
        assert client.command(bob, "browser", "Ack", {"epoch": 1, "seq": 1})["code"] == "OK"
    finally:
        client.close()
