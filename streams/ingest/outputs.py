"""Writes answers and accepted operations from pieces that are encoded already.

Avro's body is the plain concatenation of its fields, and most fields of both records stand encoded in the
request: joining them costs a twentieth of encoding them. Guarantees: the bytes are those that the codec would
write; checked for samples when a writer is made, so that a changed schema is never written in the old layout.
Tested in tests/ingest/test_outputs.py.
"""

from __future__ import annotations

from streams.codec import Codec
from streams.codec.primitives import NULL, PRESENT, long, text
from streams.errors import ConfigurationError
from streams.ids import MESSAGE_ID_BYTES
from streams.ingest.request import SAMPLES, Request, RequestReader, Sender
from streams.records import Status

_STATUS_BYTES = {status: bytes([2 * number]) for number, status in enumerate(Status)}


class OutputWriter:
    """Writes SendResult and ThreadOperation in their newest schemas."""

    def __init__(self, codec: Codec) -> None:
        self._result_frame = codec["SendResult"].frame
        self._operation_frame = codec["ThreadOperation"].frame
        self._prove_layout(codec)

    def result(
        self, sender: Sender, status: Status, message_id: bytes | None, server_at_ms: int, code: str | None
    ) -> bytes:
        """Return a SendResult."""
        token = sender.token_bytes
        return b"".join(
            (
                self._result_frame,
                NULL if token is None else PRESENT + token,
                _STATUS_BYTES[status],
                NULL if message_id is None else PRESENT + message_id,
                long(server_at_ms),
                NULL if code is None else PRESENT + text(code),
                sender.names_bytes,
            )
        )

    def operation(self, request: Request, message_id: bytes, server_at_ms: int) -> bytes:
        """Return a ThreadOperation; thread, recipients and operation stay the bytes they are."""
        _, names, token = request.sender
        assert token is not None, "a request that was read has a token"
        at_bytes = long(server_at_ms)
        return b"".join((self._operation_frame, names, token, message_id, at_bytes, request.payload_bytes))

    def _prove_layout(self, codec: Codec) -> None:
        message_id, at_ms = bytes(range(MESSAGE_ID_BYTES)), 1_700_000_000_000
        request = RequestReader(codec).read(codec["SendRequest"].encode(SAMPLES[0]))
        shared = {**SAMPLES[0], "message_id": message_id, "server_at_ms": at_ms}
        for status in Status:
            expected = codec["SendResult"].encode({**shared, "status": status.value, "code": status.value})
            if expected != self.result(request.sender, status, message_id, at_ms, status.value):
                raise ConfigurationError(
                    "SendResult has a layout that streams/ingest/outputs.py does not know"
                )
        if codec["ThreadOperation"].encode(shared) != self.operation(request, message_id, at_ms):
            raise ConfigurationError(
                "ThreadOperation has a layout that streams/ingest/outputs.py does not know"
            )
