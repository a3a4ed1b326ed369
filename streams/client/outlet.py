"""Puts requests and commands on the right partition of the right topic.

Partition = shard of the account, by the cluster's own partition count. Tested in tests/client/test_kafka.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streams.client.requests import Request
from streams.codec import Codec
from streams.ids import shard_of

if TYPE_CHECKING:
    from streams.client.publisher import Publisher
    from streams.topology import Topology


class Outlet:
    """Encodes and routes; the publisher writes. Call `open` once before anything is put."""

    def __init__(self, publisher: Publisher, topology: Topology, codec: Codec | None = None) -> None:
        self._publisher = publisher
        self._codec = codec or codec_of(topology)
        self._requests_topic = topology.topic_of("SendRequest")
        self._commands_topic = topology.topic_of("EndpointCommand")
        self.shards = 0
        """Partitions of the request topic, as the cluster has them."""

    async def open(self) -> None:
        """Ask the cluster for its shards."""
        self.shards = await self._publisher.shards(self._requests_topic)

    async def put_request(self, request: Request) -> None:
        """Write a request; raises ValueError for fields that do not fit the schema."""
        value = self._codec["SendRequest"].encode(request.fields())
        await self._put(self._requests_topic, request.account_id, value)

    async def put_command(self, fields: dict[str, Any]) -> None:
        """Write the fields of an EndpointCommand."""
        value = self._codec["EndpointCommand"].encode(fields)
        await self._put(self._commands_topic, fields["account_id"], value)

    async def _put(self, topic: str, account_id: str, value: bytes) -> None:
        partition = shard_of(account_id, self.shards)
        await self._publisher.put(topic, partition, account_id.encode(), value)


def codec_of(topology: Topology) -> Codec:
    """Return the codec with the framing that the topology asks for."""
    return Codec(registry_ids=topology.registry_ids if topology.framing == "registry" else None)
