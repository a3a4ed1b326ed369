"""A latency runs from the hand-over of a request to its sender's own update (streams/client/watch.py)."""

from __future__ import annotations

from typing import Any

import pytest

from streams.client.requests import Request, post
from streams.client.watch import Stopwatch
from streams.ids import Token


def _request(nonce: int) -> Request:
    return Request("ann", "phone", "t", post("hello"), None, Token(5, nonce))


def _update(nonce: int, account: str = "ann") -> dict[str, Any]:
    return {"account_id": account, "token": {"timestamp_ms": 5, "nonce": nonce}}


def test_the_first_arrival_of_a_marked_request_counts_and_a_repeat_does_not_start_it_anew() -> None:
    watch = Stopwatch()
    watch.mark(_request(1), 10.0)
    watch.mark(_request(1), 10.5)
    watch.arrived(_update(1), 11.0)
    watch.arrived(_update(1), 99.0)
    assert (watch.latencies_ms, watch.waiting) == ([1000.0], 0)


def test_updates_of_others_and_of_unmarked_requests_are_passed_over() -> None:
    watch = Stopwatch()
    watch.mark(_request(1), 10.0)
    for fields in (_update(2), _update(1, "bob"), {"account_id": "ann", "token": None}):
        watch.arrived(fields, 11.0)
    assert (watch.latencies_ms, watch.waiting) == ([], 1)


def test_percentiles_are_latencies_that_were_measured() -> None:
    watch = Stopwatch()
    assert watch.percentile_ms(0.5) is None
    for nonce in range(100):
        watch.mark(_request(nonce), 0.0)
        watch.arrived(_update(nonce), (nonce + 1) / 1000)
    assert watch.percentile_ms(0.5) == pytest.approx(51.0)
    assert watch.percentile_ms(0.99) == pytest.approx(100.0)
    assert watch.percentile_ms(1.0) == pytest.approx(100.0)
