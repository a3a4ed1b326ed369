"""The chat trace as a feed: real threads, members, sizes and repeated numbers; bodies from the seed.

A trace is a CSV file (or .csv.gz) with the columns at_10s, message, sender, channel, thread, body_bytes,
mentions. A message number that comes again is the same message archived twice: its token is the same, and
what the pipeline must answer follows from what else is equal (`Repeats`). Tested in
tests/client/test_plans.py.
"""

from __future__ import annotations

import csv
import gzip
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from streams.client.plans import SETUP_NONCE, EndpointPlan, endpoint_name, endpoint_plans, thread_creation
from streams.client.requests import Request, post
from streams.errors import ConfigurationError
from streams.ids import Token

_LETTERS = b"abcdefghijklmnopqrstuvwxyz      .,"
_NOISE_BYTES = 1 << 18
_STRIDE = 2_654_435_761  # a prime near 2^32 / golden ratio: neighbouring numbers get distant bodies
COLUMNS = ("at_10s", "message", "sender", "channel", "thread", "body_bytes", "mentions")


class TraceRow(NamedTuple):
    """One row; see the module's docstring."""

    at_10s: int
    message: int
    sender: int
    channel: int
    thread: int
    body_bytes: int
    mentions: int


class Repeats(NamedTuple):
    """Rows whose number stood before, by what the pipeline must answer."""

    duplicate: int
    """Same sender, thread and size as the first: DUPLICATE."""
    token_reused: int
    """Same sender, but another thread or size: TOKEN_REUSED."""
    other_client: int
    """Another sender, so a token of another client: ACCEPTED."""


def read_trace(path: Path, limit: int | None = None) -> list[TraceRow]:
    """Return the first `limit` rows; raises ConfigurationError for a file that is no trace."""
    try:
        with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as source:
            lines = csv.reader(source)
            header = next(lines, [])
            if tuple(header) != COLUMNS:
                raise ConfigurationError(
                    f"{path}: expected the columns {','.join(COLUMNS)}, got {','.join(header)}"
                )
            rows: list[TraceRow] = []
            for line in lines:
                if limit is not None and len(rows) >= limit:
                    break
                rows.append(TraceRow(*map(int, line)))
            return rows
    except (OSError, UnicodeDecodeError, ValueError, TypeError, EOFError) as error:
        raise ConfigurationError(f"{path} cannot be read as a trace: {error}") from error


class TracePlan:
    """A plan made of a trace's rows. start_at_ms: the feed's start, by the clock of who feeds."""

    def __init__(
        self,
        rows: Sequence[TraceRow],
        *,
        start_at_ms: int,
        seed: int = 0,
        endpoints: int = 1,
        routes: Sequence[str] = ("",),
        prefix: str = "",
    ) -> None:
        self._rows = rows
        self._start_at_ms = start_at_ms
        self._endpoints = endpoints
        self._routes = routes
        self._prefix = prefix
        self._last = max((row.message for row in rows), default=0)
        self._noise = bytes(random.Random(f"bodies {seed}").choices(_LETTERS, k=_NOISE_BYTES))  # noqa: S311  # a seed, not a secret
        self.members: dict[int, list[int]] = {}
        """Thread -> all who ever post in it, in order of appearance."""
        seen: set[tuple[int, int]] = set()
        for row in rows:
            if (row.thread, row.sender) not in seen:
                seen.add((row.thread, row.sender))
                self.members.setdefault(row.thread, []).append(row.sender)

    @property
    def messages_total(self) -> int:
        """Rows."""
        return len(self._rows)

    def endpoints(self) -> Iterator[EndpointPlan]:
        """Every account's endpoints, all attached."""
        accounts = map(self._account, sorted({row.sender for row in self._rows}))
        return endpoint_plans(accounts, self._endpoints, self._routes)

    def setup(self) -> Iterator[Request]:
        """One request a thread (more above 1,000 members), with tokens older than any message's."""
        oldest = self._start_at_ms - self._last - 1
        for number, (thread, members) in enumerate(self.members.items()):
            accounts = [self._account(one) for one in members]
            timestamp_ms = oldest - len(self.members) + number
            nonce = SETUP_NONCE + (thread << 24)
            yield from thread_creation(self._thread(thread), accounts, endpoint_name(1), timestamp_ms, nonce)

    def messages(self) -> Iterator[Request]:
        """One request a row, in the order of the file."""
        for row in self._rows:
            token = Token(self._start_at_ms - (self._last - row.message), row.message)
            body = post(self._body(row.message, row.body_bytes))
            yield Request(
                self._account(row.sender), endpoint_name(1), self._thread(row.thread), body, None, token
            )

    def repeats(self) -> Repeats:
        """Count the rows whose number stood before."""
        first: dict[tuple[int, int], TraceRow] = {}
        numbers: set[int] = set()
        duplicate = token_reused = other_client = 0
        for row in self._rows:
            earlier = first.setdefault((row.sender, row.message), row)
            if earlier is not row:
                is_equal = (earlier.thread, earlier.body_bytes) == (row.thread, row.body_bytes)
                duplicate += is_equal
                token_reused += not is_equal
            elif row.message in numbers:
                other_client += 1
            numbers.add(row.message)
        return Repeats(duplicate, token_reused, other_client)

    def _body(self, message: int, size_bytes: int) -> bytes:
        start = message * _STRIDE % _NOISE_BYTES
        piece = self._noise[start : start + size_bytes]
        while len(piece) < size_bytes:
            piece += self._noise[: size_bytes - len(piece)]
        return piece

    def _account(self, number: int) -> str:
        return f"{self._prefix}person-{number}"

    def _thread(self, number: int) -> str:
        return f"{self._prefix}thread-{number}"
