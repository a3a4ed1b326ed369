"""How a tail is put together, looked into and replaced (streams/tables/tails.py)."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codec.primitives import long, text
from streams.errors import Undecodable
from streams.records import KINDS, OPERATION_NAMES, Kind
from streams.tables.tails import Tails, kind_of_operation, tail_of_operation
from tests.fixtures.pipeline import CODEC, change, delete, edit, form, mark_read, optional_token, post

TAILS = Tails(CODEC)
TARGET = bytes(range(16))
OPERATIONS = [
    post(),
    form("welcome", name="Ann"),
    edit(TARGET),
    delete(TARGET),
    mark_read(TARGET),
    change(["x"]),
]
TOKEN = {"timestamp_ms": 5, "nonce": 2**62}


class Pieces(NamedTuple):
    """Implements tails.Pieces."""

    message_id: bytes = TARGET
    thread_bytes: bytes = text("t")
    account_bytes: bytes = text("ann")
    server_at_bytes: bytes = long(77)


PIECES = Pieces()


def encoded(operation: tuple[str, object]) -> bytes:
    return CODEC["ThreadOperation"].split("operation").encode_tail({"operation": operation})


def tail_of(operation: tuple[str, object]) -> bytes:
    return tail_of_operation(PIECES, 3, encoded(operation))


@pytest.mark.parametrize("operation", OPERATIONS, ids=[name for name, _ in OPERATIONS])
def test_an_operation_is_carried_over_as_content_without_being_decoded(operation: tuple[str, object]) -> None:
    """The tail made of an encoded operation reads, in all records that have a tail, as that operation."""
    tail = tail_of(operation)
    whole = CODEC["InboxAppend"].split("message_id").decode_tail(tail)
    assert whole["content"] == operation
    assert whole["kind"] == KINDS[OPERATION_NAMES.index(operation[0])]
    assert (whole["thread_position"], whole["sender_id"], whole["server_at_ms"]) == (3, "ann", 77)
    for name in ("ThreadMessage", "InboxUpdate"):
        assert CODEC[name].split("message_id").decode_tail(tail) == whole
    if operation[0] != "lockstep.PostForm":
        assert CODEC["EndpointUpdate"].split("message_id").decode_tail(tail) == whole


@pytest.mark.parametrize("operation", OPERATIONS, ids=[name for name, _ in OPERATIONS])
def test_the_kind_of_an_operation_is_known_by_its_first_byte(operation: tuple[str, object]) -> None:
    """The branch number of the union names the kind."""
    assert kind_of_operation(encoded(operation)).value == TAILS.facts(tail_of(operation)).fields["kind"]


def test_the_facts_of_a_tail_leave_its_content_encoded() -> None:
    """Looking into a tail gives what stands before the content, and the content's bytes."""
    fields, content = TAILS.facts(tail_of(post(b"x")))
    assert content == encoded(post(b"x"))
    assert fields["message_id"] == TARGET
    assert "content" not in fields


def test_a_queue_row_parts_in_token_and_tail() -> None:
    """A row holds the token, or none, and the tail; its time is readable without either."""
    tail = tail_of(post())
    whole = CODEC["InboxAppend"].split("token")
    with_token = CODEC["InboxAppend"].split("message_id").write({"account_id": "a", "token": TOKEN}, tail)
    _, row = whole.read(with_token)
    assert TAILS.part(row) == (optional_token(TOKEN), tail)
    assert TAILS.part(b"\0" + tail) == (b"\0", tail)
    assert TAILS.server_at_ms(row) == TAILS.server_at_ms(b"\0" + tail) == 77


def test_a_tombstone_and_a_noop_keep_identity_and_order() -> None:
    """What replaces an update differs from it in kind and content only."""
    before = TAILS.facts(tail_of(edit(TARGET))).fields
    tombstone = TAILS.tombstone(tail_of(edit(TARGET)), "OVERSIZE")
    assert TAILS.content(tombstone) == ("lockstep.Tombstone", {"reason": "OVERSIZE"})
    assert TAILS.facts(tombstone).fields == {**before, "kind": Kind.TOMBSTONE}
    noop = TAILS.noop(tail_of(edit(TARGET)))
    assert TAILS.content(noop) is None
    assert TAILS.facts(noop).fields == {**before, "kind": Kind.NOOP}


def test_a_lost_update_is_a_tombstone_that_says_why() -> None:
    """A tombstone can be made of nothing but a reason."""
    assert TAILS.content(TAILS.lost("BELOW_KEPT")) == ("lockstep.Tombstone", {"reason": "BELOW_KEPT"})


def test_bytes_that_are_no_tail_are_undecodable() -> None:
    """Looking into rubbish raises Undecodable, not whatever the decoder meets."""
    with pytest.raises(Undecodable):
        TAILS.facts(b"\x01\x02")


@pytest.mark.parametrize("operation", OPERATIONS, ids=[name for name, _ in OPERATIONS])
@pytest.mark.parametrize("name", ["t", "x" * 63, "x" * 64, "é" * 64])
def test_the_kind_of_an_update_is_found_without_decoding_it(operation: tuple[str, object], name: str) -> None:
    """Whatever the length of the names before it, the kind read by hand is the one that the codec reads."""
    tail = tail_of_operation(
        Pieces(thread_bytes=text(name), account_bytes=text(name)), 2**40, encoded(operation)
    )
    assert TAILS.kind(tail).value == TAILS.facts(tail).fields["kind"]


@given(st.binary(max_size=60) | st.binary(min_size=16).map(lambda rest: tail_of(post())[:-9] + rest))
def test_bytes_of_which_no_kind_is_found_are_refused(tail: bytes) -> None:
    """What the codec refuses for its kind or its branch is refused by hand too, and never ends in another error."""
    try:
        found = TAILS.kind(tail)
    except Undecodable:
        return
    with suppress(Undecodable):  # names that are no UTF-8, which the hand does not look at
        assert TAILS.facts(tail).fields["kind"] == found


@pytest.mark.parametrize(
    "row", [b"", b"\x04", b"\x02", b"\x02\x80", b"\x02" + b"\xff" * 10 + b"\x01\x00", b"\x02\x02"]
)
def test_a_row_without_a_readable_token_is_refused(row: bytes) -> None:
    """A broken token is an Undecodable record, as everything that cannot be read."""
    with pytest.raises(Undecodable):
        TAILS.part(row)
