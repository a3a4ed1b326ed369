"""Sending to one endpoint: customise, find the route's topic, keep the number where the update does not fit.

Shared by what is sent as it comes (delivery) and what is sent later (replay, which gets this object
injected). Knows no windows: whoever calls has decided that the update is to be sent.
Tested in tests/delivery/test_delivery.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.errors import Oversize
from streams.ids import delivery_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.codec import Codec
    from streams.ports import CanonicalUpdate, Customiser, Shard
    from streams.tables.endpoints import Endpoint

REPLAY = "replay.updates"
FALLBACKS = "delivery.fallbacks"
REPLACED = "delivery.replaced"


class EndpointSender:
    """Makes and sends what the endpoints of a shard's accounts get."""

    def __init__(
        self,
        shard: Shard,
        codec: Codec,
        customiser: Customiser,
        routes: Mapping[str, str],
        default_route: str,
    ) -> None:
        """`routes`: route -> topic; a route that is unknown (by now) is served by the default one."""
        self._shard = shard
        self._customiser = customiser
        self._wake_up = codec["WakeUp"]
        self._routes = routes
        self._default_topic = routes[default_route]

    def customised(self, endpoint: Endpoint, update: CanonicalUpdate) -> bytes:
        """Return the framed EndpointUpdate for an endpoint."""
        value, is_fallback = self._customiser.customise(endpoint.endpoint_id, endpoint.parameters, update)
        if is_fallback:
            self._shard.count(FALLBACKS)
        return value

    def replaced(self, endpoint: Endpoint, update: CanonicalUpdate, reason: str) -> bytes:
        """Return the tombstone that takes an update's place for an endpoint, and count it."""
        self._shard.count(REPLACED)
        return self._customiser.tombstone(endpoint.endpoint_id, update, reason)

    def send(self, endpoint: Endpoint, update: CanonicalUpdate) -> None:
        """Send an update on the endpoint's route; a tombstone of its seq where it does not fit the topic."""
        try:
            self._emit(endpoint, update, self.customised(endpoint, update))
        except Oversize as error:
            self.send_tombstone(endpoint, update, error.code)

    def send_tombstone(self, endpoint: Endpoint, update: CanonicalUpdate, reason: str) -> None:
        """Send a tombstone in an update's place on the endpoint's route."""
        self._emit(endpoint, update, self.replaced(endpoint, update, reason))

    def wake(self, endpoint: Endpoint, account_id: str) -> None:
        """Tell an endpoint that its window is full (Q16)."""
        fields = {
            "account_id": account_id,
            "endpoint_id": endpoint.endpoint_id,
            "epoch": endpoint.epoch,
            "sent_seq": endpoint.sent,
        }
        key = delivery_key(account_id, endpoint.endpoint_id)
        self._shard.emit(REPLAY, key, self._wake_up.encode(fields), self._shard.number)
        self._shard.count("delivery.parked")

    def _emit(self, endpoint: Endpoint, update: CanonicalUpdate, value: bytes) -> None:
        topic = self._routes.get(endpoint.parameters.route, self._default_topic)
        key = delivery_key(update.account_id, endpoint.endpoint_id)
        self._shard.emit(topic, key, value, self._shard.number)
