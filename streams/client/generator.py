"""Generated traffic for people who have no trace: groups of all sizes, bursts, some endpoints offline.

Everything follows from the seed. Repeats are added by the feed (plans.with_repeats), not here; `small_trace`
makes the trace that the tests carry. Tested in tests/client/test_plans.py.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from streams.client.plans import SETUP_NONCE, EndpointPlan, endpoint_name, endpoint_plans, thread_creation
from streams.client.requests import Request, post, post_form
from streams.client.trace import TraceRow
from streams.ids import Token

_WORDS = (
    "see",
    "you",
    "at",
    "the",
    "station",
    "with",
    "bread",
    "tomorrow",
    "or",
    "later",
    "thanks",
    "yes",
    "no",
)
_ACCOUNTS_PER_MESSAGE = 0.05
_OFFLINE_PART = 0.2  # of second endpoints: registered, never attached
_FORM_PART = 0.02


class GeneratedPlan:
    """`messages` requests in groups of 2 to 24; two endpoints an account. start_at_ms: clock of who feeds."""

    def __init__(
        self,
        messages: int,
        *,
        start_at_ms: int,
        seed: int = 0,
        routes: Sequence[str] = ("",),
        prefix: str = "",
    ) -> None:
        self._messages = messages
        self._start_at_ms = start_at_ms
        self._seed = seed
        self._routes = routes
        chance = random.Random(f"groups {seed}")  # noqa: S311  # a seed, not a secret
        self._accounts = [f"{prefix}user-{n}" for n in range(max(8, int(messages * _ACCOUNTS_PER_MESSAGE)))]
        self._groups: list[list[str]] = []
        for _ in range(max(4, len(self._accounts) // 2)):
            size = min(len(self._accounts), 2 + int(chance.paretovariate(1.2)) % 23)
            self._groups.append(chance.sample(self._accounts, size))
        self._names = [f"{prefix}group-{number}" for number in range(len(self._groups))]

    @property
    def messages_total(self) -> int:
        """Requests in `messages`."""
        return self._messages

    def endpoints(self) -> Iterator[EndpointPlan]:
        """Two endpoints an account; a fifth of the second ones stays offline."""
        chance = random.Random(f"endpoints {self._seed}")  # noqa: S311  # a seed, not a secret
        return endpoint_plans(self._accounts, 2, self._routes, offline={2: _OFFLINE_PART}, chance=chance)

    def setup(self) -> Iterator[Request]:
        """One request a group."""
        oldest = self._start_at_ms - self._messages - len(self._groups) - 1
        for number, members in enumerate(self._groups):
            nonce = SETUP_NONCE + (number << 24)
            yield from thread_creation(self._names[number], members, endpoint_name(1), oldest + number, nonce)

    def messages(self) -> Iterator[Request]:
        """Posts and a few forms by members of their groups; busy groups are busier."""
        chance = random.Random(f"messages {self._seed}")  # noqa: S311  # a seed, not a secret
        for number in range(self._messages):
            group = min(int(chance.paretovariate(0.6)) - 1, len(self._groups) * 4) % len(self._groups)
            sender = chance.choice(self._groups[group])
            token = Token(self._start_at_ms - self._messages + number, number)
            operation = post(" ".join(chance.choices(_WORDS, k=chance.randint(1, 40))))
            if chance.random() < _FORM_PART:
                operation = post_form("member_joined", {"name": sender})
            yield Request(sender, endpoint_name(1), self._names[group], operation, None, token)


def small_trace(rows: int, seed: int) -> list[TraceRow]:
    """Make a trace of the shape of the real one, with repeated numbers of all three sorts."""
    chance = random.Random(f"trace {seed}")  # noqa: S311  # a seed, not a secret
    made: list[TraceRow] = []
    senders, threads, at_10s, message = 12, 10, 0, 0
    while len(made) < rows:
        at_10s += chance.choice((0, 0, 0, 1, 5, 90))
        thread = int(chance.paretovariate(0.9)) % threads
        size = 0 if chance.random() < 0.01 else min(2_000, int(chance.lognormvariate(4.7, 1.0)))
        made.append(
            TraceRow(
                at_10s, message, chance.randrange(senders), thread % 4, thread, size, chance.choice((0, 0, 1))
            )
        )
        message += 1
        if len(made) % 20 == 0:
            old = chance.choice(made)
            another = (old.thread + 1) % threads
            made.append(
                chance.choice(
                    (
                        old._replace(at_10s=at_10s),
                        old._replace(at_10s=at_10s, thread=another, channel=another % 4),
                        old._replace(at_10s=at_10s, body_bytes=old.body_bytes + 1),
                        old._replace(at_10s=at_10s, sender=(old.sender + 1) % senders),
                    )
                )
            )
    return made[:rows]
