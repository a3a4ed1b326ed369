"""Sends requests and resolves their answers. A retry carries the same token, so it can only be a duplicate.

Guarantees: `ask` returns an answer of the pipeline to exactly this token, and sends the same bytes again
while none comes. Not promised: an order between requests that are asked at the same time (await one before
the next). Tested in tests/client/test_kafka.py, on Kafka.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from streams.client.outlet import codec_of
from streams.client.wire import OnWire, Wire
from streams.errors import LockstepError, RecordError
from streams.ids import Token
from streams.records import Status

if TYPE_CHECKING:
    from streams.client.requests import Request
    from streams.codec import Codec
    from streams.ports import Record
    from streams.topology import Topology

_ATTEMPT_SECONDS = 3.0
_ATTEMPT_SECONDS_MAX = 30.0


class NoAnswer(LockstepError):
    """The pipeline did not answer in time; the request may yet be accepted."""

    code = "NO_ANSWER"


class Answer(NamedTuple):
    """What became of a request."""

    token: Token
    status: Status
    message_id: bytes | None
    server_at_ms: int
    code: str | None

    @property
    def is_accepted(self) -> bool:
        """Whether the message is in its thread: accepted now, or by an earlier attempt."""
        return self.status in (Status.ACCEPTED, Status.DUPLICATE)


class Sender(OnWire):
    """An open sender, for any number of accounts; use as `async with`.

    retry_seconds: how long `ask` goes on; at most the topology's client_retry_horizon_ms, below which the
    pipeline still knows the token (D16).
    """

    def __init__(
        self, client_arguments: Mapping[str, Any], topology: Topology, *, retry_seconds: float = 60.0
    ) -> None:
        self._codec: Codec = codec_of(topology)
        horizon_seconds = topology.timestamps.client_retry_horizon_ms / 1000
        self._retry_seconds = min(retry_seconds, horizon_seconds)
        self._waiting: dict[tuple[str, str, Token], asyncio.Queue[Answer]] = {}
        said, heard = topology.topic_of("SendRequest"), topology.topic_of("SendResult")
        super().__init__(Wire(client_arguments, said=said, heard=heard, on_record=self._hear))

    async def send(self, request: Request) -> None:
        """Write a request once, without waiting for its answer. May be repeated: the token is the same."""
        await self._wire.say(request.account_id, self._codec["SendRequest"].encode(request.fields()))

    async def ask(self, request: Request, *, refusal_seconds: float = 0.0) -> Answer:
        """Write a request until it is answered and return the answer; raises NoAnswer.

        refusal_seconds: how long, after ACCEPTED, a refusal by the thread is waited for and returned instead.
        """
        key = (request.account_id, request.endpoint_id, request.token)
        answers = self._waiting.setdefault(key, asyncio.Queue())
        try:
            answer = await self._first(request, answers)
            if answer.status is Status.ACCEPTED and refusal_seconds:
                answer = await self._refusal(answers, refusal_seconds) or answer
            return answer
        finally:
            self._waiting.pop(key, None)

    async def _first(self, request: Request, answers: asyncio.Queue[Answer]) -> Answer:
        deadline = time.monotonic() + self._retry_seconds
        attempt = _ATTEMPT_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            await self.send(request)
            try:
                return await asyncio.wait_for(answers.get(), min(attempt, left))
            except TimeoutError:
                attempt = min(2 * attempt, _ATTEMPT_SECONDS_MAX)
        raise NoAnswer(
            f"No answer within {self._retry_seconds:g} s; are workers running? See `lockstep status`. "
            f"Asking again with the token {request.token.timestamp_ms}:{request.token.nonce} is safe."
        )

    @staticmethod
    async def _refusal(answers: asyncio.Queue[Answer], seconds: float) -> Answer | None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                answer = await asyncio.wait_for(answers.get(), left)
            except TimeoutError:
                return None
            if answer.status is Status.REFUSED:
                return answer
        return None

    def _hear(self, record: Record) -> None:
        try:
            fields = self._codec.decode_as("SendResult", record.value)
        except RecordError:
            return  # not an answer; whoever wrote it, nobody waits for it
        if fields["token"] is None:
            return
        token = Token(fields["token"]["timestamp_ms"], fields["token"]["nonce"])
        queue = self._waiting.get((fields["account_id"], fields["endpoint_id"], token))
        if queue is not None:
            status = Status(fields["status"])
            queue.put_nowait(
                Answer(token, status, fields["message_id"], fields["server_at_ms"], fields["code"])
            )
