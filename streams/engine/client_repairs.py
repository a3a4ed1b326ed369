"""Two repairs of aiokafka, for every client of a worker's process: what ends a connection must not end a task.

1. On uvloop, writing to a connection that the broker has just broken raises RuntimeError; asyncio's own loop does not.
   aiokafka catches OSError only (its issue 1038), for the moment between the break and its own noticing. The connection
   is closed and KafkaConnectionError raised instead, which every caller there knows.
2. aiokafka's task that keeps a client's metadata fresh ends for good, without a word, at the first error that it does
   not know. From then on whoever asks for fresh metadata waits for ever: a consumer that looks for its coordinator
   never heartbeats again, a batch that is sent again never leaves. Such an error is logged and the task goes on.

Seen in tests/chaos: a broker that is killed breaks connections in just that moment once in some dozen times.
Tested in tests/engine/test_client_repairs.py, which notices when one is not needed any more.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import structlog
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError

log = structlog.get_logger("engine")

_BACK_OFF_S = 0.2
_send = AIOKafkaConnection.send
_send_sasl_token = AIOKafkaConnection._send_sasl_token  # noqa: SLF001  # it writes too
_synchronise = AIOKafkaClient._md_synchronizer  # noqa: SLF001  # the task that must not end


def repair_clients() -> None:
    """Repair the classes, once; clients that are there already are repaired with them."""
    for name, write in (("send", _send), ("_send_sasl_token", _send_sasl_token)):
        setattr(AIOKafkaConnection, name, _or_close(write))
    AIOKafkaClient._md_synchronizer = _keep_synchronising  # noqa: SLF001  # the second repair


def _or_close(write: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(write)
    def written(self: AIOKafkaConnection, *arguments: object, **options: object) -> object:
        try:
            return write(self, *arguments, **options)
        except KafkaError:  # is a RuntimeError
            raise
        except RuntimeError as error:
            self.close(reason=CloseReason.CONNECTION_BROKEN, exc=error)
            raise KafkaConnectionError(f"Connection at {self.host}:{self.port} broken: {error}") from error

    return written


async def _keep_synchronising(self: AIOKafkaClient) -> None:
    while True:
        try:
            await _synchronise(self)
        except Exception as error:  # noqa: BLE001  # whatever it was: the next metadata may be had
            log.warning("engine.metadata_failed", reason=repr(error))
            await asyncio.sleep(_BACK_OFF_S)
