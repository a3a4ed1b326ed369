"""The catalogue of form texts (streams/delivery/forms.py)."""

from __future__ import annotations

import pytest

from streams.delivery.forms import FormCatalogue, FormText
from streams.errors import ConfigurationError

CATALOGUE = FormCatalogue(
    "en",
    {"en": "?", "fr": "? (fr)"},
    {"hello": {"en": "Hello {name}!", "fr": "Bonjour {name} !", "fr-CA": "Allô {name} !"}},
)


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        ("en", ("en", "Hello Zoé!")),
        ("fr", ("fr", "Bonjour Zoé !")),
        ("fr-CA", ("fr-ca", "Allô Zoé !")),
        ("FR_be", ("fr", "Bonjour Zoé !")),
        ("de-CH", ("en", "Hello Zoé!")),
        ("", ("en", "Hello Zoé!")),
    ],
)
def test_the_nearest_language_is_used(locale: str, expected: tuple[str, str]) -> None:
    """Q3: the asked language, else its base language, else the default."""
    assert CATALOGUE.text("hello", {"name": "Zoé", "spare": "x"}, locale) == FormText(
        *expected, is_fallback=False
    )


def test_an_unknown_form_or_a_missing_argument_gives_the_fallback_text() -> None:
    """Q17: there is always a text, and it says that it is a fallback."""
    assert CATALOGUE.text("nope", {}, "fr-CA") == FormText("fr", "? (fr)", is_fallback=True)
    assert CATALOGUE.text("hello", {}, "de") == FormText("en", "?", is_fallback=True)


def test_arguments_are_inserted_as_they_are() -> None:
    """Whatever an argument holds is text: no markup, no second insertion, no access to anything."""
    for nasty in ("{name}", "{0.__class__}", "%s", "\\1", "{", "\\g<0>"):
        assert CATALOGUE.text("hello", {"name": nasty}, "en").text == f"Hello {nasty}!"


def test_a_catalogue_that_does_not_hold_together_is_refused() -> None:
    """Every form has the default language, and the same arguments in each language."""
    with pytest.raises(ConfigurationError, match="no text in en"):
        FormCatalogue("en", {"en": "?"}, {"hello": {"fr": "Bonjour"}})
    with pytest.raises(ConfigurationError, match="different arguments"):
        FormCatalogue("en", {"en": "?"}, {"hello": {"en": "Hello {name}", "fr": "Bonjour {nom}"}})
