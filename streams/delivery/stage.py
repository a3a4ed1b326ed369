"""The delivery stage: behind the sequencer, in its unit of work; sends each update to each live endpoint.

Order of effects for each endpoint that is attached and not parked:
1. while its window has room, the customised update on delivery.<route>;
2. when it has none, one WakeUp on replay.updates, and the endpoint's row: it is parked, and sent so far.

A parked or detached endpoint gets nothing; the queue keeps what it misses (Q6). A crash between any two
leaves neither, nor the number that the sequencer gave (Q13): the unit is run again and gives the same bytes.
A seq is on a route at most once an attachment, because a number is given once. A kill after the send loses
nothing: what is not acknowledged is sent again at the next attach (Q8).
Tested in tests/delivery/ and tests/properties/test_attachments.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from streams.delivery.customising import EndpointCustomiser
from streams.delivery.forms import FormCatalogue
from streams.delivery.sending import EndpointSender
from streams.tables.endpoints import EndpointsTable
from streams.tables.tails import Tails

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.codec import Codec
    from streams.ports import CanonicalUpdate, Customiser, Shard
    from streams.tables.endpoints import Endpoint

_FORMS = Path(__file__).parent / "forms.yaml"


def load_customiser(codec: Codec, forms: Path = _FORMS) -> EndpointCustomiser:
    """Return a customiser with the texts of a file; one serves all shards of a worker.

    Raises ConfigurationError when the file does not hold together.
    """
    catalogue = FormCatalogue.parse(forms.read_text(encoding="utf-8"))
    return EndpointCustomiser(codec, Tails(codec), catalogue)


class Delivery:
    """Implements ports.UpdateSink; `sender` is what the replay stage of the same shard sends with."""

    name = "delivery"
    topics: tuple[str, ...] = ()

    def __init__(
        self,
        shard: Shard,
        codec: Codec,
        customiser: Customiser,
        routes: Mapping[str, str],
        default_route: str,
    ) -> None:
        """`routes`: route -> topic."""
        self._endpoints = EndpointsTable(shard.state)
        self.sender = EndpointSender(shard, codec, customiser, routes, default_route)

    def deliver(self, update: CanonicalUpdate) -> None:
        """Send one update to the endpoints that get it now."""
        endpoints = self._endpoints.get(update.account_id)
        changed = None
        for at, endpoint in enumerate(endpoints):
            if endpoint.is_parked or not endpoint.is_attached:
                continue
            after = self._delivered(endpoint, update)
            if after is not endpoint:
                changed = changed or list(endpoints)
                changed[at] = after
        if changed:
            self._endpoints.put(update.account_id, changed)

    def _delivered(self, endpoint: Endpoint, update: CanonicalUpdate) -> Endpoint:
        seq = update.seq
        if endpoint.parameters.window and endpoint.sendable_until(seq) < seq:
            parked = endpoint._replace(is_parked=True, sent=seq - 1)
            self.sender.wake(parked, update.account_id)
            return parked
        self.sender.send(endpoint, update)
        return endpoint
