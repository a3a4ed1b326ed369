"""The catalogue of form texts: form id and language in, text out (Q3, Q17).

Pure. Guarantees that arguments are inserted as they are (no markup of theirs is looked at) and
that there is always a text: an unknown language falls back to its base language, then to the default; an
unknown form or a missing argument to the fallback text. Text that a person wrote never passes here. Tested
in tests/delivery/test_forms.py.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, Self

import yaml

from streams.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIELD = re.compile(r"\{([a-z_]+)\}")


class FormText(NamedTuple):
    """What an endpoint shows for a form."""

    locale: str
    """The language of the text, which may not be the one that was asked for."""
    text: str
    is_fallback: bool


class FormCatalogue:
    """Form texts in their languages."""

    def __init__(
        self, default_locale: str, fallback: Mapping[str, str], forms: Mapping[str, Mapping[str, str]]
    ) -> None:
        for name, texts in {"fallback": fallback, **forms}.items():
            if _tag(default_locale) not in _by_tag(texts):
                raise ConfigurationError(f"forms: {name} has no text in {default_locale}; add one")
            if len({frozenset(_FIELD.findall(text)) for text in texts.values()}) != 1:
                raise ConfigurationError(
                    f"forms: the texts of {name} use different arguments; make them equal"
                )
        self._default_locale = _tag(default_locale)
        self._fallback = _by_tag(fallback)
        self._forms = {form_id: _by_tag(texts) for form_id, texts in forms.items()}

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the catalogue that a YAML text holds; raise ConfigurationError when it is none."""
        content = yaml.safe_load(text)
        return cls(content["default_locale"], content["fallback"], content["forms"])

    def text(self, form_id: str, arguments: Mapping[str, str], locale: str) -> FormText:
        """Return the text of a form in a language, or the nearest there is."""
        texts = self._forms.get(form_id)
        if texts is not None:
            found = self._locale(texts, locale)
            template = texts[found]
            if all(name in arguments for name in _FIELD.findall(template)):
                text = _FIELD.sub(lambda field: arguments[field.group(1)], template)
                return FormText(found, text, is_fallback=False)
        found = self._locale(self._fallback, locale)
        return FormText(found, self._fallback[found], is_fallback=True)

    def _locale(self, texts: Mapping[str, str], locale: str) -> str:
        tag = _tag(locale)
        while tag:
            if tag in texts:
                return tag
            tag = tag.rpartition("-")[0]
        return self._default_locale


def _tag(locale: str) -> str:
    return locale.replace("_", "-").lower()


def _by_tag(texts: Mapping[str, str]) -> dict[str, str]:
    return {_tag(locale): text for locale, text in texts.items()}
