"""What an endpoint gets of an update, by its parameters (Q2 to Q5, Q17).

Pure: same update, same parameters, same bytes; that is why results may be kept. A form becomes text in the
endpoint's language; renditions of media that are too wide are left out; read receipts become a noop of the
same number for an endpoint that does not understand them. Everything else passes through without being
decoded. Guarantees that there is always a result: what cannot be customised becomes a fallback, and says
so. Tested in tests/delivery/test_customising.py.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from streams.codec.primitives import text
from streams.errors import RecordError
from streams.ports import Customised
from streams.records import Kind, OperationName

if TYPE_CHECKING:
    from streams.codec import Codec
    from streams.delivery.forms import FormCatalogue
    from streams.ports import CanonicalUpdate, EndpointParameters
    from streams.tables.tails import Tails

READ_RECEIPTS: Final = "read_receipts"
"""The capability without which an endpoint is not told what others have read."""

UNREADABLE: Final = "UNREADABLE"
"""Reason of the tombstone that stands for an update whose bytes cannot be read."""

_CUSTOMISED = frozenset((Kind.POST, Kind.POST_FORM, Kind.MARK_READ))

_KEPT_TAILS = 4_096
_KEPT_TAIL_BYTES_MAX = 2_048
"""Results are kept for tails up to this size: at most 16 MiB. Longer ones are made anew each time."""


class Profile(NamedTuple):
    """The parameters that decide about content; endpoints with equal ones share results."""

    locale: str
    media_width_max: int
    has_read_receipts: bool


class CustomTail(NamedTuple):
    """An EndpointUpdate from its message_id on."""

    tail: bytes
    is_fallback: bool


class EndpointCustomiser:
    """Implements ports.Customiser."""

    def __init__(self, codec: Codec, tails: Tails, forms: FormCatalogue) -> None:
        self._tails = tails
        self._forms = forms
        self._update = codec["EndpointUpdate"].split("message_id")
        self._kept = lru_cache(maxsize=_KEPT_TAILS)(self._tail)

    def customise(
        self, endpoint_id: str, parameters: EndpointParameters, update: CanonicalUpdate
    ) -> Customised:
        """Return what the endpoint gets; never raises for an update's content."""
        tail = update.tail
        if self._passes(tail, parameters):
            return Customised(self._framed(endpoint_id, update, tail), is_fallback=False)
        has_read_receipts = READ_RECEIPTS in parameters.capabilities
        profile = Profile(parameters.locale, parameters.media_width_max, has_read_receipts)
        make = self._kept if len(tail) <= _KEPT_TAIL_BYTES_MAX else self._tail
        tail, is_fallback = make(tail, profile)
        return Customised(self._framed(endpoint_id, update, tail), is_fallback)

    def tombstone(self, endpoint_id: str, update: CanonicalUpdate, reason: str) -> bytes:
        """Return the framed EndpointUpdate that takes an update's place."""
        tail = self._tails.tombstone(update.tail, reason) if update.tail else self._tails.lost(reason)
        return self._framed(endpoint_id, update, tail)

    def _framed(self, endpoint_id: str, update: CanonicalUpdate, tail: bytes) -> bytes:
        return b"".join((self._update.frame, update.place, text(endpoint_id), update.token, tail))

    def _passes(self, tail: bytes, parameters: EndpointParameters) -> bool:
        """Whether an update is the same for every endpoint, as nearly all are."""
        try:
            kind = self._tails.kind(tail)
        except RecordError:
            return False
        if kind is Kind.POST:
            return not parameters.media_width_max
        return kind not in _CUSTOMISED

    def _tail(self, tail: bytes, profile: Profile) -> CustomTail:
        try:
            return self._customised(tail, profile)
        except (RecordError, ValueError):
            return CustomTail(self._tails.lost(UNREADABLE), is_fallback=True)

    def _customised(self, tail: bytes, profile: Profile) -> CustomTail:
        fields, _ = self._tails.facts(tail)
        kind = fields["kind"]
        if kind == Kind.MARK_READ and not profile.has_read_receipts:
            return CustomTail(self._tails.noop(tail), is_fallback=False)
        if kind == Kind.POST and profile.media_width_max:
            post = self._content(tail, OperationName.POST)
            fitting = [one for one in post["media"] if one["width"] <= profile.media_width_max]
            if len(fitting) < len(post["media"]):
                content = (OperationName.POST.value, {**post, "media": fitting})
                return CustomTail(self._update.encode_tail({**fields, "content": content}), is_fallback=False)
        if kind == Kind.POST_FORM:
            form = self._content(tail, OperationName.POST_FORM)
            found = self._forms.text(form["form_id"], form["arguments"], profile.locale)
            shown = {"form_id": form["form_id"], "locale": found.locale, "text": found.text}
            content = ("lockstep.FormText", shown)
            return CustomTail(self._update.encode_tail({**fields, "content": content}), found.is_fallback)
        return CustomTail(tail, is_fallback=False)

    def _content(self, tail: bytes, name: OperationName) -> dict[str, Any]:
        content = self._tails.content(tail)
        if content is None or content[0] != name:
            raise ValueError(f"expected {name}, found {content and content[0]}")
        return content[1]
