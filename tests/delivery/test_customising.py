"""What an endpoint gets of an update, by its parameters (streams/delivery/customising.py)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.delivery.customising import EndpointCustomiser
from streams.delivery.forms import FormCatalogue
from streams.ports import CanonicalUpdate
from streams.tables.endpoints import Parameters
from streams.tables.tails import Tails
from tests.fixtures.pipeline import (
    CODEC,
    CUSTOMISER,
    append_record,
    canonical,
    change,
    delete,
    edit,
    form,
    mark_read,
    optional_token,
    post,
)

TARGET = bytes(range(16))
TAILS = Tails(CODEC)
FORMS = FormCatalogue(
    "en", {"en": "?"}, {"reminder": {"en": "{subject} at {time}", "fr": "{subject} à {time}"}}
)
KINDS = {
    "Post": "post",
    "PostForm": "post_form",
    "Edit": "edit",
    "Delete": "delete",
    "MarkRead": "mark_read",
    "ChangeMembers": "change_members",
}
Operation = tuple[str, dict[str, Any]]


def update_of(operation: Operation) -> CanonicalUpdate:
    record = append_record("bob", kind=KINDS[operation[0].removeprefix("lockstep.")], content=operation)
    assert record.value is not None
    _, tail = CODEC["InboxAppend"].split("message_id").read(record.value)
    return canonical("bob", 1, 7, tail)


def custom(
    operation: Operation, customiser: EndpointCustomiser = CUSTOMISER, **parameters: Any
) -> dict[str, Any]:
    value, _ = customiser.customise("phone", Parameters(**parameters), update_of(operation))
    return CODEC.decode_as("EndpointUpdate", value)


def variants(*widths: int) -> list[dict[str, Any]]:
    return [
        {"label": f"w{width}", "width": width, "bytes": 9 * width, "address": f"https://m/{width}"}
        for width in widths
    ]


def test_two_languages_get_the_same_number_with_different_text() -> None:
    """Q2: one canonical entry, one seq, two texts."""
    joined = form("member_joined", name="Zoé")
    english, french = custom(joined, locale="en"), custom(joined, locale="fr")
    assert english["seq"] == french["seq"] == 7
    assert english["content"][1]["text"] == "Zoé joined the conversation."
    assert french["content"][1]["text"] == "Zoé a rejoint la conversation."
    assert {**english, "content": None} == {**french, "content": None}


def test_a_form_is_shown_in_french_to_a_french_endpoint_and_in_the_default_to_others() -> None:
    """Q3: the form's id stays readable beside the inserted text."""
    missed = form("call_missed", name="Ann")
    for locale, language, text in (
        ("fr-CA", "fr", "Appel manqué de Ann."),
        ("tlh", "en", "Missed call from Ann."),
        ("", "en", "Missed call from Ann."),
    ):
        content = custom(missed, locale=locale)["content"]
        assert content == ("lockstep.FormText", {"form_id": "call_missed", "locale": language, "text": text})


def test_text_that_a_person_wrote_is_never_touched() -> None:
    """Q3: not even when it is the id, or the text, of a form."""
    for body in (b"call_missed", b"Missed call from {name}.", b"", bytes(range(256))):
        assert custom(post(body), locale="fr")["content"] == post(body)


@pytest.mark.parametrize(
    ("width_max", "kept"), [(0, (100, 800, 4000)), (4000, (100, 800, 4000)), (800, (100, 800)), (99, ())]
)
def test_an_endpoint_gets_the_media_that_fit_it(width_max: int, kept: tuple[int, ...]) -> None:
    """Q4: a low-resolution endpoint never gets a large address, and none rather than one too large."""
    got = custom(post(b"look", variants(100, 800, 4000)), media_width_max=width_max)
    assert got["content"] == post(b"look", variants(*kept))


def test_a_read_receipt_is_a_noop_of_the_same_number_for_who_does_not_understand_it() -> None:
    """Q5: every endpoint of an account ends at the same seq."""
    understood = custom(mark_read(TARGET), capabilities=("read_receipts",))
    filtered = custom(mark_read(TARGET), capabilities=("something_else",))
    assert understood["content"] == mark_read(TARGET)
    assert (filtered["kind"], filtered["content"], filtered["seq"]) == ("noop", None, 7)
    assert filtered["thread_position"] == understood["thread_position"]


@pytest.mark.parametrize("operation", [post(), edit(TARGET), delete(TARGET), change(["x"], ["y"])])
def test_what_needs_no_customising_passes_through_untouched(operation: Operation) -> None:
    """The bytes after the head are those of the canonical update."""
    update = update_of(operation)
    value, is_fallback = CUSTOMISER.customise("phone", Parameters(locale="fr", media_width_max=10), update)
    assert value.endswith(update.tail)
    assert not is_fallback


def test_the_senders_own_endpoints_see_the_token() -> None:
    """The head carries owner, endpoint, number and token."""
    token = {"timestamp_ms": 5, "nonce": 6}
    value, _ = CUSTOMISER.customise(
        "phone", Parameters(), update_of(post())._replace(token=optional_token(token))
    )
    fields = CODEC.decode_as("EndpointUpdate", value)
    names = ("account_id", "endpoint_id", "epoch", "seq_first", "seq", "token")
    assert {name: fields[name] for name in names} == {
        "account_id": "bob",
        "endpoint_id": "phone",
        "epoch": 1,
        "seq_first": 7,
        "seq": 7,
        "token": token,
    }


@pytest.mark.parametrize("operation", [form("no_such_form"), form("welcome", name="only one argument")])
def test_a_form_that_cannot_be_shown_becomes_the_fallback_text(operation: Operation) -> None:
    """Q17: in the endpoint's language, under the same number, marked as a fallback."""
    value, is_fallback = CUSTOMISER.customise("phone", Parameters(locale="fr"), update_of(operation))
    content = CODEC.decode_as("EndpointUpdate", value)["content"]
    assert is_fallback
    assert content[1]["text"] == "Ce message ne peut pas être affiché ici."


@given(st.binary(max_size=80))
def test_bytes_that_cannot_be_read_become_a_tombstone(tail: bytes) -> None:
    """Q17: whatever stands in the queue, there is a result under the number: the queue never stalls."""
    value, is_fallback = CUSTOMISER.customise("phone", Parameters(), canonical("bob", 1, 7, tail))
    if is_fallback:
        fields = CODEC.decode_as("EndpointUpdate", value)
        assert (fields["seq"], fields["content"][1]["reason"]) == (7, "UNREADABLE")


def test_a_kind_that_contradicts_its_content_becomes_a_tombstone() -> None:
    """Q17: content of another kind than the update says is unreadable, not a crash."""
    record = append_record("bob", kind="post_form", content=edit(TARGET))
    assert record.value is not None
    _, tail = CODEC["InboxAppend"].split("message_id").read(record.value)
    value, is_fallback = CUSTOMISER.customise("phone", Parameters(), canonical("bob", 1, 7, tail))
    assert is_fallback
    assert CODEC.decode_as("EndpointUpdate", value)["kind"] == "tombstone"


PARAMETERS = st.fixed_dictionaries(
    {
        "locale": st.sampled_from(["", "fr", "en-GB", "xx"]),
        "media_width_max": st.sampled_from([0, 100, 900]),
        "capabilities": st.sampled_from([(), ("read_receipts",)]),
    }
)
OPERATIONS = st.sampled_from(
    [
        post(b"x" * 3_000, variants(50, 500)),
        post(b"x", variants(50, 500, 5_000)),
        form("reminder", subject="tea", time="5"),
        mark_read(TARGET),
        edit(TARGET),
    ]
)


@settings(max_examples=50)
@given(st.lists(st.tuples(OPERATIONS, PARAMETERS), min_size=1, max_size=6))
def test_customising_is_pure(asked: list[tuple[Operation, dict[str, Any]]]) -> None:
    """The same entry and parameters give the same bytes, whatever was made before (results are kept)."""
    kept = EndpointCustomiser(CODEC, TAILS, FORMS)
    for operation, parameters in asked:
        fresh = EndpointCustomiser(CODEC, TAILS, FORMS)
        assert custom(operation, kept, **parameters) == custom(operation, fresh, **parameters)
