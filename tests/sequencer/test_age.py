"""What the latency of a delivery is measured from (streams/sequencer/age.py)."""

from __future__ import annotations

import pytest

from streams.adapters.memory import MemoryRecord
from streams.codec import Codec
from streams.errors import Undecodable, UnknownSchema
from streams.sequencer.age import AppendAge

SERVER_AT_MS = 1_795_000_000_123


@pytest.mark.parametrize("token", [None, {"timestamp_ms": 1, "nonce": 2}])
def test_an_append_says_when_its_request_was_taken_in(token: dict[str, int] | None) -> None:
    """Not the append's own time: what went before it counts too."""
    codec = Codec()
    value = codec["InboxAppend"].encode(
        {
            "account_id": "bob",
            "token": token,
            "message_id": bytes(16),
            "thread_id": "t",
            "thread_position": 1,
            "sender_id": "ann",
            "server_at_ms": SERVER_AT_MS,
            "kind": "noop",
            "content": None,
        }
    )
    record = MemoryRecord(
        topic="inbox.appends", key=b"bob", value=value, offset=0, timestamp=SERVER_AT_MS + 99
    )
    assert AppendAge(codec)(record) == SERVER_AT_MS


@pytest.mark.parametrize("value", [None, b"", b"\xc3\x01nonsense"])
def test_what_is_no_append_is_named_as_such(value: bytes | None) -> None:
    """Whoever measures leaves such a record out."""
    record = MemoryRecord(topic="inbox.appends", key=b"bob", value=value, offset=0, timestamp=1)
    with pytest.raises((Undecodable, UnknownSchema)):
        AppendAge(Codec())(record)
