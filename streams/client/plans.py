"""What a feed consists of: a plan, in two parts, with everything chosen by a seed.

Set-up (threads, endpoints) is written first and must have been processed before the messages begin; a plan
knows nothing of Kafka or of time: its start is a number. Plans: trace.py, generator.py; JSON lines have no
set-up. Tested in tests/client/test_plans.py.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from streams.client.requests import Request, change_members, post
from streams.ids import Token
from streams.limits import RECIPIENTS_MAX

SETUP_NONCE = 1 << 62
"""Nonces of set-up requests start here: no trace has as many messages."""
_KEPT_FOR_REPEATS = 20_000  # how far back a repeat may reach: bounds the memory of an endless feed


class EndpointPlan(NamedTuple):
    """One endpoint that a feed registers."""

    account_id: str
    endpoint_id: str
    route: str
    locale: str
    is_attached: bool


class Plan(Protocol):
    """A feed, ready to be written. Iterating twice gives the same."""

    @property
    def messages_total(self) -> int:
        """How many requests `messages` gives."""
        ...

    def endpoints(self) -> Iterable[EndpointPlan]: ...

    def setup(self) -> Iterable[Request]:
        """The requests that create the threads."""
        ...

    def messages(self) -> Iterable[Request]: ...


def thread_creation(
    thread_id: str, members: Sequence[str], endpoint_id: str, timestamp_ms: int, nonce: int
) -> Iterator[Request]:
    """Requests of the first member that make a thread with all members, however many they are."""
    creator = members[0]
    token = Token(timestamp_ms, nonce)
    yield Request(
        creator, endpoint_id, thread_id, post(b"the thread is open"), list(members[:RECIPIENTS_MAX]), token
    )
    for start in range(RECIPIENTS_MAX, len(members), RECIPIENTS_MAX):
        token = Token(timestamp_ms, nonce + start)
        added = change_members(add=members[start : start + RECIPIENTS_MAX])
        yield Request(creator, endpoint_id, thread_id, added, None, token)


def endpoint_plans(
    accounts: Iterable[str],
    endpoints: int,
    routes: Sequence[str],
    *,
    offline: Mapping[int, float] | None = None,
    chance: random.Random | None = None,
) -> Iterator[EndpointPlan]:
    """Give each account its endpoints, over the routes in turn; `offline`: number -> part not attached."""
    for account in accounts:
        for number in range(1, endpoints + 1):
            part = (offline or {}).get(number, 0.0)
            is_offline = part > 0.0 and chance is not None and chance.random() < part
            locale = "fr" if number % 2 == 0 else "en"
            route = routes[(number - 1) % len(routes)]
            yield EndpointPlan(account, endpoint_name(number), route, locale, not is_offline)


def endpoint_name(number: int) -> str:
    """Name of an account's n-th endpoint, from 1; messages are sent from the first."""
    return f"device-{number}"


def commands_of(plan: EndpointPlan, run: str) -> Iterator[dict[str, Any]]:
    """The EndpointCommands that register (and attach) an endpoint; `run` keeps two feeds' ids apart."""
    base = {"account_id": plan.account_id, "endpoint_id": plan.endpoint_id}
    register = {
        "locale": plan.locale,
        "app_version": "feed",
        "capabilities": ["read_receipts", "forms", "media"],
        "media_width_max": 0,
        "encoding": "avro",
        "route": plan.route,
        "window": 0,
    }
    name = f"{run}-{plan.account_id}-{plan.endpoint_id}"
    yield {**base, "command_id": f"{name}-register", "command": ("lockstep.Register", register)}
    if plan.is_attached:
        yield {**base, "command_id": f"{name}-attach", "command": ("lockstep.Attach", {"position": None})}


def with_repeats(requests: Iterable[Request], fraction: float, seed: int) -> Iterator[tuple[Request, bool]]:
    """Give (request, is_repeat): after each, with this chance, an earlier one again, exactly as it was.

    Only requests that were the first to use their token are repeated, so that every repeat is a DUPLICATE.
    """
    chance = random.Random(f"repeats {seed}")  # noqa: S311  # a seed, not a secret
    seen: set[bytes] = set()
    kept: list[Request] = []
    for request in requests:
        yield request, False
        if not fraction:
            continue
        if (name := request.message_id) not in seen:
            seen.add(name)
            if len(kept) < _KEPT_FOR_REPEATS:
                kept.append(request)
            else:
                kept[chance.randrange(_KEPT_FOR_REPEATS)] = request
        if chance.random() < fraction:
            yield chance.choice(kept), True
