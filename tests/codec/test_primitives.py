"""What is written by hand for the hot loops is what Avro's own writer gives (streams/codec/primitives.py)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codec.primitives import long, long_end, place_bytes, read_long, text, text_end
from tests.fixtures.pipeline import CODEC, optional_token

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


@given(st.text(max_size=100), LONGS, st.integers(0, 2**62))
def test_the_place_of_an_update_is_written_as_avro_writes_it(account: str, epoch: int, seq: int) -> None:
    """account_id, epoch and the same number twice have the bytes that the schema-driven writer gives them."""
    head = CODEC["InboxUpdate"].split("token")
    fields = {"account_id": account, "epoch": epoch, "seq_first": seq, "seq": seq}
    assert head.write(fields, b"") == head.frame + place_bytes(account, epoch, seq)


@given(LONGS, st.binary(max_size=3))
def test_a_long_is_read_and_skipped_to_where_it_ends(number: int, rest: bytes) -> None:
    """Reading gives the number back, and both ways end at the same byte."""
    value = long(number) + rest
    assert read_long(value, 0) == (number, long_end(value, 0)) == (number, len(value) - len(rest))


@given(st.text(max_size=200), st.binary(max_size=3))
def test_a_string_is_skipped_to_where_it_ends(name: str, rest: bytes) -> None:
    """Strings of every size, those whose size takes two bytes too."""
    value = text(name) + rest
    assert text_end(value, 0) == len(value) - len(rest)


@pytest.mark.parametrize(
    "value", [b"\x80\x00", b"\xff" * 9 + b"\x02", b"\xff" * 11, b"\xff" * 9 + b"\x80\x01"]
)
def test_a_long_that_is_not_minimal_or_too_long_is_refused(value: bytes) -> None:
    """What another writer may have padded, or what has no 64 bits, is left to the schema-driven reader."""
    with pytest.raises(ValueError, match="minimal"):
        read_long(value, 0)
    with pytest.raises(ValueError, match="minimal"):
        long_end(value, 0)


@pytest.mark.parametrize("value", [b"\x01", b"\x04a", b"\x80\x01" + b"a" * 63])
def test_a_string_beyond_the_end_or_of_negative_size_is_refused(value: bytes) -> None:
    """A size that cannot be is never followed."""
    with pytest.raises(ValueError, match="minimal"):
        text_end(value, 0)
