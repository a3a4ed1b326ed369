"""Endpoints: what each app install or browser session of an account asked for, and how far it has come.

One row an account holds all its endpoints (at most ENDPOINTS_MAX): a delivery needs them all, and an account
has few. A live endpoint (attached and not parked) has been sent everything up to the inbox's head, so its
`sent` is not even written, and a delivery to it changes no row. `sent` counts while it is parked and once it
is detached. Rows are parsed once as long as their bytes stay the same.
Tested in tests/tables/test_endpoints.py.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from streams.tables import ENDPOINTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.ports import State

_VERSION = 1
_ROW = struct.Struct(">BH")
_FIXED = struct.Struct(">BQQQQiiI")
"""Flags, epoch, acked, sent, attached from, media width, window, bytes of the texts that follow."""
_ATTACHED = 1
_PARKED = 2
_PARSED_ROWS = 16_384
"""Accounts whose endpoints are kept parsed: about 20 MiB with two endpoints each."""


class Parameters(NamedTuple):
    """Implements ports.EndpointParameters: what an endpoint said of itself when it registered."""

    locale: str = ""
    app_version: str = ""
    capabilities: tuple[str, ...] = ()
    media_width_max: int = 0
    """Pixels; 0 is no limit."""
    encoding: str = "avro"
    route: str = ""
    window: int = 0
    """Updates; 0 is no limit."""


class Endpoint(NamedTuple):
    """One endpoint of an account."""

    endpoint_id: str
    parameters: Parameters
    epoch: int
    """Epoch of the numbers below."""
    acked: int = 0
    """Every update up to here has arrived; moved by acknowledgements only."""
    sent: int = 0
    """Every update up to here was sent; see the module's text for when it counts."""
    attached_from: int = 0
    """First number of the attachment; 0 when detached."""
    is_attached: bool = False
    is_parked: bool = False
    """Attached, and behind the head: nothing is sent as it comes."""

    @property
    def is_live(self) -> bool:
        """Whether it gets updates as they come."""
        return self.is_attached and not self.is_parked

    def sendable_until(self, head: int) -> int:
        """Return the greatest number that the window lets through, at most `head` (Q16)."""
        window = self.parameters.window
        return min(head, self.acked + window) if window else head

    def sent_until(self, head: int) -> int:
        """Return the greatest number that was sent, given the inbox's head."""
        return head if self.is_live else self.sent


class EndpointsTable:
    """The table, read and written through a shard's state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def get(self, account_id: str) -> tuple[Endpoint, ...]:
        """Return the endpoints of an account in the order of their registration."""
        row = self._state.get(ENDPOINTS.byte + account_id.encode())
        return () if row is None else parse_row(row)

    def put(self, account_id: str, endpoints: Sequence[Endpoint]) -> None:
        """Write all endpoints of an account; none forgets the account."""
        key = ENDPOINTS.byte + account_id.encode()
        if endpoints:
            self._state.put(key, pack_row(endpoints))
        else:
            self._state.delete(key)

    def replace(self, account_id: str, endpoint: Endpoint) -> None:
        """Write one endpoint in the place of the one of the same id, or behind the others."""
        before = self.get(account_id)
        at = next((i for i, one in enumerate(before) if one.endpoint_id == endpoint.endpoint_id), len(before))
        self.put(account_id, (*before[:at], endpoint, *before[at + 1 :]))


def pack_row(endpoints: Sequence[Endpoint]) -> bytes:
    """Return a row: version, count, then each endpoint's numbers and texts, NUL between (ids hold none)."""
    parts = [_ROW.pack(_VERSION, len(endpoints))]
    for one in endpoints:
        given = one.parameters
        names = (
            one.endpoint_id,
            given.locale,
            given.app_version,
            given.encoding,
            given.route,
            *given.capabilities,
        )
        texts = "\0".join(names).encode()
        flags = _ATTACHED * one.is_attached | _PARKED * one.is_parked
        numbers = (one.epoch, one.acked, one.sent, one.attached_from, given.media_width_max, given.window)
        parts += (_FIXED.pack(flags, *numbers, len(texts)), texts)
    return b"".join(parts)


@lru_cache(maxsize=_PARSED_ROWS)
def parse_row(row: bytes) -> tuple[Endpoint, ...]:
    """Return the endpoints of a row."""
    _, count = _ROW.unpack_from(row)
    at = _ROW.size
    endpoints = []
    for _ in range(count):
        flags, epoch, acked, sent, attached_from, width, window, length = _FIXED.unpack_from(row, at)
        at += _FIXED.size
        names = row[at : at + length].decode().split("\0")
        at += length
        endpoint_id, locale, app_version, encoding, route, *capabilities = names
        given = Parameters(locale, app_version, tuple(capabilities), width, encoding, route, window)
        state = (epoch, acked, sent, attached_from, bool(flags & _ATTACHED), bool(flags & _PARKED))
        endpoints.append(Endpoint(endpoint_id, given, *state))
    return tuple(endpoints)
