"""A connection that breaks in the worst moment costs a request, never a task of the client."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import pytest
import uvloop
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from streams.engine import client_repairs
from streams.engine.client_repairs import repair_clients

SECONDS_MAX = 10
Result = TypeVar("Result")


@pytest.fixture
def unrepaired() -> Iterator[None]:
    """Aiokafka as it comes; whatever a test repairs is taken back."""
    names = [
        (AIOKafkaConnection, "send", client_repairs._send),
        (AIOKafkaConnection, "_send_sasl_token", client_repairs._send_sasl_token),
        (AIOKafkaClient, "_md_synchronizer", client_repairs._synchronise),
    ]
    before = [getattr(owner, name) for owner, name, _ in names]
    for owner, name, original in names:
        setattr(owner, name, original)
    yield
    for (owner, name, _), found in zip(names, before, strict=True):
        setattr(owner, name, found)


async def _reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Break the connection as a broker does that dies with something unread."""
    await reader.read(1)
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def _send_at_the_break() -> Exception | None:
    """Send in the moment in which the transport knows that it is broken and the connection does not yet."""
    server = await asyncio.start_server(_reset, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        connection = AIOKafkaConnection("127.0.0.1", port, request_timeout_ms=SECONDS_MAX * 1000)
        protocol_broken = asyncio.Event()
        transport, protocol = await asyncio.get_running_loop().create_connection(
            lambda: _Broken(protocol_broken), "127.0.0.1", port
        )
        reader = asyncio.StreamReader()
        connection._reader = reader
        connection._writer = asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())
        connection._read_task = asyncio.ensure_future(asyncio.sleep(SECONDS_MAX))
        connection._versions = {3: (0, 5)}
        transport.write(b"x")
        await asyncio.wait_for(protocol_broken.wait(), SECONDS_MAX)
        await asyncio.sleep(0)
        try:
            connection.send(MetadataRequest([])).close()
        except RuntimeError as error:  # as KafkaError is
            return error
        finally:
            connection.close()
        return None


class _Broken(asyncio.Protocol):
    def __init__(self, is_broken: asyncio.Event) -> None:
        self._is_broken = is_broken

    async def _drain_helper(self) -> None:
        """StreamWriter wants it."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        self._is_broken.set()


def _on_uvloop(work: Callable[[], Awaitable[Result]]) -> Result:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(asyncio.wait_for(work(), 2 * SECONDS_MAX))


@pytest.mark.usefixtures("unrepaired")
def test_a_request_on_a_connection_that_just_broke_fails_as_every_caller_expects() -> None:
    """Closed, and KafkaConnectionError; as it comes it is RuntimeError on uvloop, and the repair can go when not."""
    assert type(_on_uvloop(_send_at_the_break)) is RuntimeError
    repair_clients()
    assert type(_on_uvloop(_send_at_the_break)) is KafkaConnectionError


@pytest.mark.usefixtures("unrepaired")
@pytest.mark.parametrize("is_repaired", [False, True])
def test_an_unknown_error_does_not_end_the_keeping_of_metadata(*, is_repaired: bool) -> None:
    """Who asks for fresh metadata gets it at the next attempt; as it comes he waits for ever."""
    if is_repaired:
        repair_clients()

    async def ask() -> bool:
        client = AIOKafkaClient(bootstrap_servers="127.0.0.1:1")
        errors = [RuntimeError("the handler is closed")]

        async def update(*_: object) -> bool:
            if errors:
                raise errors.pop()
            return True

        client._metadata_update = update
        client._sync_task = asyncio.ensure_future(client._md_synchronizer())
        asked = client.force_metadata_update()
        try:
            done, _ = await asyncio.wait(
                {asked, client._sync_task}, timeout=SECONDS_MAX, return_when="FIRST_COMPLETED"
            )
            return asked in done
        finally:
            asked.cancel()
            client._sync_task.cancel()
            await asyncio.gather(client._sync_task, return_exceptions=True)

    assert _on_uvloop(ask) is is_repaired
