"""Names, positions and hashes: the vectors below must never change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.ids import (
    Position,
    Token,
    account_hash,
    delivery_key,
    hash64,
    id_problem,
    is_author,
    message_id,
    shard_of,
)


def test_hashes_never_change() -> None:
    """BLAKE2b-64 over parts that are preceded by their length."""
    assert hash64(("ann",)).hex() == "77628dac86d3568b"
    assert account_hash("ann") == hash64(("ann",)) == hash64((b"ann",))
    assert hash64(("a", "b")) != hash64(("ab",)) != hash64(("ab", ""))
    assert (
        message_id("ann", "phone", Token(1_700_000_000_000, 2**63 - 1)).hex()
        == "77628dac86d3568b5fff725383bba017"
    )


@given(st.text(max_size=80), st.text(max_size=80), st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_a_message_id_is_the_hash_of_its_parts(account: str, endpoint: str, at_ms: int, nonce: int) -> None:
    """What is prepared for speed is what hash64 says; the id tells its author and nobody else."""
    found = message_id(account, endpoint, Token(at_ms, nonce))
    assert found == hash64((account,)) + hash64((account, endpoint, str(at_ms), str(nonce)))
    assert is_author(found, account)
    assert not is_author(found, account + "x")


def test_the_delivery_key_and_the_next_position() -> None:
    """The two small shapes that outsiders rely on."""
    assert delivery_key("ann", "phone") == b"ann\0phone"
    assert Position(3, 7).next() == Position(3, 8)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a", None),
        ("a" * 128, None),
        ("é" * 64, None),
        ("with space", None),
        ("", "ID_EMPTY"),
        ("a" * 129, "ID_TOO_LONG"),
        ("é" * 64 + "a", "ID_TOO_LONG"),
        ("a\0b", "ID_CONTROL_CHARACTER"),
        ("a\x7f", "ID_CONTROL_CHARACTER"),
        ("a\x85", "ID_CONTROL_CHARACTER"),
    ],
)
def test_an_id_is_short_and_holds_no_control_character(name: str, problem: str | None) -> None:
    """Ids are 1 to 128 bytes of UTF-8 without control characters."""
    assert id_problem(name) == problem


def test_shards_are_those_of_kafkas_own_partitioner() -> None:
    """Vectors of Kafka's murmur2, so that a stock producer lands on the same shard."""
    # From Kafka's own test of murmur2: key -> hash, here cut to the partitioner's positive number.
    known = {"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536}
    for key, murmur2 in known.items():
        assert shard_of(key, 12) == (murmur2 & 0x7FFFFFFF) % 12
