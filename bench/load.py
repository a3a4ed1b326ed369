"""What is fed: requests of one recipient each, a share of them exact repeats, the same for a seed.

Pure but for the codec: a load is a list of encoded records and what has to come of them. Tokens of a client never run
back, as a real client's do not; a repeat is an exact copy of a request that was yielded before, near or far.
Tested in tests/bench/test_load.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from streams.client.requests import Request, post
from streams.codec import Codec
from streams.ids import Token, shard_of

BODY = b"x" * 120
ENDPOINT = "phone"
ROUTE = "mobile"
ACCOUNTS = 20_000
TOKENS_PER_MS = 100
"""So that a load of a million spans ten seconds of its clients' clocks."""
REPEATABLE_MAX = 50_000
"""Requests that a repeat is drawn from: a reservoir over everything sent so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One stretch of traffic."""

    messages: int
    seed: int = 1
    duplicates: float = 0.05
    accounts: int = ACCOUNTS
    names_recipient: bool = True
    """Whether a request names its one recipient (two hops) or only its prepared thread of two (whole pipeline)."""
    hot_share: float = 0.0
    """Share of the requests that come from account 0: from one client, to one thread."""


class Fed(NamedTuple):
    """One record to write."""

    partition: int
    key: bytes
    value: bytes
    message: bytes
    """Its message id, which the outputs are checked by; empty for what must not come out."""


def account(number: int, accounts: int = ACCOUNTS) -> str:
    """Return the name of an account; numbers wrap around."""
    return f"account-{number % accounts:05d}"


def thread(number: int) -> str:
    """Return the name of the thread that account `number` has with the next one."""
    return f"thread-{number:05d}"


def requests(load: Load, begins_at_ms: int) -> Iterator[Request]:
    """Yield the requests of a load; `begins_at_ms` is the clock of the first token."""
    chance = random.Random(load.seed)
    kept: list[Request] = []
    seen = 0
    for number in range(load.messages):
        if kept and chance.random() < load.duplicates:
            yield kept[chance.randrange(len(kept))]
            continue
        is_hot = load.hot_share > 0 and chance.random() < load.hot_share
        sender = 0 if is_hot else chance.randrange(load.accounts)
        recipients = [account(chance.randrange(load.accounts))] if load.names_recipient else None
        token = Token(begins_at_ms + number // TOKENS_PER_MS, chance.getrandbits(63))
        request = Request(
            account(sender), ENDPOINT, thread(sender), post(BODY), recipients=recipients, token=token
        )
        seen += 1
        if len(kept) < REPEATABLE_MAX:
            kept.append(request)
        elif (at := chance.randrange(seen)) < REPEATABLE_MAX:
            kept[at] = request
        yield request


def encoded(
    some: Iterable[Request], codec: Codec, partitions: int, on_each: Callable[[], None] | None = None
) -> Iterator[Fed]:
    """Yield requests as records; partition = shard of the sender, Kafka's own default."""
    encode = codec["SendRequest"].encode
    for request in some:
        if on_each is not None:
            on_each()
        name = request.account_id
        yield Fed(shard_of(name, partitions), name.encode(), encode(request.fields()), request.message_id)


def set_up(accounts: int, codec: Codec, partitions: int, now_ms: int) -> tuple[list[Fed], list[Fed]]:
    """Return (commands, requests) that attach one endpoint an account and make a thread of two for each.

    Window 0: the sender of an endpoint is never held back by acknowledgements that a benchmark does not send.
    """
    commands: list[Fed] = []
    encode = codec["EndpointCommand"].encode
    for number in range(accounts):
        name = account(number)
        common = {"account_id": name, "endpoint_id": ENDPOINT}
        register = {"locale": "en", "route": ROUTE, "window": 0}
        for kind, fields in (("Register", register), ("Attach", {"position": None})):
            value = encode(
                {"command_id": f"{kind}-{number}", **common, "command": (f"lockstep.{kind}", fields)}
            )
            commands.append(Fed(shard_of(name, partitions), name.encode(), value, b""))
    first = (
        Request(
            account(number),
            ENDPOINT,
            thread(number),
            post(BODY),
            recipients=[account(number + 1, accounts)],
            token=Token(now_ms, number),
        )
        for number in range(accounts)
    )
    return commands, list(encoded(first, codec, partitions))
