"""What is written by hand for the hot loops is what Avro's own writer gives (streams/tables/wire.py)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.tables.wire import long, optional_token, text
from tests.fixtures.pipeline import CODEC

LONGS = st.integers(-(2**63), 2**63 - 1)


@given(st.integers(0, 2**62), LONGS)
def test_a_long_is_written_as_avro_writes_it(seq: int, epoch: int) -> None:
    """Every 64-bit number, negative ones too, has the bytes that the schema-driven writer gives it."""
    head = CODEC["UpdateBatch"].split("updates")
    assert head.write({"seq_first": epoch, "seq": seq}, b"") == head.frame + long(epoch) + long(seq)


@given(st.text(max_size=200))
def test_a_string_is_written_as_avro_writes_it(name: str) -> None:
    """Every text has the bytes that the schema-driven writer gives it."""
    head = CODEC["EndpointCommand"].split("account_id")
    assert head.write({"command_id": name}, b"") == head.frame + text(name)


@given(st.none() | st.fixed_dictionaries({"timestamp_ms": LONGS, "nonce": LONGS}))
def test_a_token_or_none_is_written_as_avro_writes_it(token: dict[str, int] | None) -> None:
    """The union of null and a token has the bytes that the schema-driven writer gives it."""
    head = CODEC["InboxAppend"].split("message_id")
    expected = head.write({"account_id": "a", "token": token}, b"")
    assert expected == head.frame + text("a") + optional_token(token)
