"""Names, positions and hashes stay what they are (streams/ids.py)."""

from __future__ import annotations

from hashlib import blake2b

import pytest
from aiokafka.partitioner import murmur2
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
from tests.vectors import ACCOUNTS, HASHES, MESSAGE_ID, MURMUR2

NAMES = st.text(min_size=1, max_size=20)


def by_hand(*parts: str) -> bytes:
    """BLAKE2b-64 over parts, each behind its length in four bytes, as the documentation describes it."""
    data = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
    return blake2b(data, digest_size=8).digest()


@pytest.mark.parametrize(("parts", "expected"), HASHES.items())
def test_the_hash_of_these_parts_never_changes(parts: tuple[str, ...], expected: str) -> None:
    assert hash64(parts).hex() == expected == by_hand(*parts).hex()


@pytest.mark.parametrize(("account_id", "expected"), ACCOUNTS.items())
def test_hash_and_shard_of_these_accounts_never_change(
    account_id: str, expected: tuple[str, int, int]
) -> None:
    assert (account_hash(account_id).hex(), shard_of(account_id, 12), shard_of(account_id, 5)) == expected


def test_this_message_id_never_changes() -> None:
    account_id, endpoint_id, token, expected = MESSAGE_ID
    assert message_id(account_id, endpoint_id, token).hex() == expected
    numbers = (str(token.timestamp_ms), str(token.nonce))
    assert expected == (by_hand(account_id) + by_hand(account_id, endpoint_id, *numbers)).hex()


@pytest.mark.parametrize(("key", "expected"), MURMUR2.items())
def test_the_partitioner_is_kafkas_own(key: bytes, expected: int) -> None:
    assert murmur2(key) & 0xFFFFFFFF == expected & 0xFFFFFFFF
    assert shard_of(key.decode(), 12) == (expected & 0x7FFFFFFF) % 12


@given(account_id=NAMES, endpoint_id=NAMES, timestamp_ms=st.integers(), nonce=st.integers(0, 2**63 - 1))
def test_a_message_id_tells_its_author(
    account_id: str, endpoint_id: str, timestamp_ms: int, nonce: int
) -> None:
    found = message_id(account_id, endpoint_id, Token(timestamp_ms, nonce))
    assert len(found) == 16
    assert is_author(found, account_id)
    assert not is_author(found, f"{account_id}.")


@given(first=st.lists(st.text(max_size=5), max_size=4), second=st.lists(st.text(max_size=5), max_size=4))
def test_parts_that_join_to_the_same_text_hash_apart(first: list[str], second: list[str]) -> None:
    assert (hash64(first) == hash64(second)) == (first == second)


def test_a_delivery_key_is_account_nul_endpoint() -> None:
    assert delivery_key("ann", "phone") == b"ann\x00phone"


def test_positions_go_on_by_one_inside_their_epoch() -> None:
    assert Position(3, 9).next() == Position(3, 10)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("ann", None),
        ("台" * 42, None),
        ("a" * 128, None),
        ("", "ID_EMPTY"),
        ("a" * 129, "ID_TOO_LONG"),
        ("台" * 43, "ID_TOO_LONG"),
        ("a\0b", "ID_CONTROL_CHARACTER"),
        ("a\nb", "ID_CONTROL_CHARACTER"),
        ("a\x85b", "ID_CONTROL_CHARACTER"),
    ],
)
def test_an_id_is_short_and_free_of_control_characters(name: str, problem: str | None) -> None:
    assert id_problem(name) == problem
