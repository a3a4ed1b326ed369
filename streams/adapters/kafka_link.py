"""Requests to a Kafka cluster, sent again with growing patience while the broker is away.

Guarantees: an operation is repeated only for errors that pass by themselves, and it fails as
BrokerUnavailable, saying what to do, when its patience is over. Operations must bear to be repeated: a
request may have been carried out although its answer was lost. Tested against a real broker in
tests/adapters/test_cluster.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import stamina
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, NodeNotReadyError

from streams.connection import Connection
from streams.errors import BrokerUnavailable

_WAIT_INITIAL_S = 0.1
_WAIT_MAX_S = 2.0

Answer = TypeVar("Answer")


def is_passing(error: Exception) -> bool:
    """Whether an error may be gone when the same request is sent again."""
    if isinstance(error, KafkaError):
        return bool(error.retriable)
    return isinstance(error, OSError | asyncio.TimeoutError)


class KafkaLink:
    """An open connection to a cluster: `async with KafkaLink(connection) as link`."""

    def __init__(self, connection: Connection, *, patience_s: float) -> None:
        self._connection = connection
        self._patience_s = patience_s
        self._client: AIOKafkaClient | None = None

    async def __aenter__(self) -> Self:
        client = AIOKafkaClient(
            request_timeout_ms=int(self._patience_s * 1000), **self._connection.client_arguments()
        )
        try:
            await self.patiently(client.bootstrap)
        except BaseException:
            await client.close()
            raise
        self._client = client
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def ask(self, request: object, node_id: int | None = None) -> Any:  # noqa: ANN401  # aiokafka's answers are untyped
        """Send one request once, to a node or to any; return the answer or raise aiokafka's error."""
        if self._client is None:
            raise RuntimeError("the link is not open: use `async with`")
        node = self._client.get_random_node() if node_id is None else node_id
        if node is None:
            raise NodeNotReadyError("no broker is known")
        return await self._client.send(node, request)

    async def coordinator_of(self, group: str) -> int:
        """Return the node that looks after a consumer group."""
        if self._client is None:
            raise RuntimeError("the link is not open: use `async with`")
        return int(await self._client.coordinator_lookup(0, group))

    async def patiently(self, operation: Callable[[], Awaitable[Answer]]) -> Answer:
        """Run an operation until it is through; raise BrokerUnavailable when patience_s have passed."""
        try:
            return await stamina.AsyncRetryingCaller(
                attempts=None,
                timeout=self._patience_s,
                wait_initial=_WAIT_INITIAL_S,
                wait_max=_WAIT_MAX_S,
            )(is_passing, operation)
        except Exception as error:
            if not is_passing(error):
                raise
            raise BrokerUnavailable(
                f"No broker answered at {self._connection.bootstrap} within {self._patience_s:g} s "
                f"({type(error).__name__}: {error}). "
                "Start one with `lockstep up`, or correct LOCKSTEP_BOOTSTRAP."
            ) from error
