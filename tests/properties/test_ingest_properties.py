"""The ingest stage beside a naive model that remembers every token for ever."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streams.adapters.memory import MemoryRecord, MemoryShard
from streams.ids import Token, message_id
from streams.tables import LEDGER
from streams.tables.ledger import LedgerRestorer
from tests.ingest.scenes import HOUR_MS, NOW_MS, TIMES, CountingState, Scene, post

SECOND_MS = 1_000
ages_ms = st.sampled_from(
    [0, 0, 1, 2, SECOND_MS, HOUR_MS, 12 * HOUR_MS, 24 * HOUR_MS, -5 * 60 * SECOND_MS]
) | st.integers(-6 * 60 * SECOND_MS, 25 * HOUR_MS)
clients = st.tuples(st.sampled_from(["ann", "bob"]), st.sampled_from(["phone", "laptop"]))
bodies = st.sampled_from([b"one", b"two"])
Client = tuple[str, str]


def _perhaps(_key: bytes) -> bool:
    return True


class Ingest(RuleBasedStateMachine):
    """D1, D3 to D10, D15, D17, D20 over any order of sends, retries, refusals, restores and clock steps."""

    def __init__(self) -> None:
        super().__init__()
        self.scene = Scene(MemoryShard(now_ms=NOW_MS, state=CountingState()))
        self.accepted: dict[tuple[Client, Token], tuple[bytes, dict[str, Any]]] = {}
        self.refused: dict[tuple[Client, Token], str] = {}
        self.newest_ms: dict[Client, int] = {}
        self.changelog: list[MemoryRecord] = []

    def send(self, client: Client, token: Token, body: bytes) -> None:
        expected = self.expected(client, token, body)
        self.scene.lookups()
        answer = self.scene.send(
            token.timestamp_ms, token.nonce, account_id=client[0], endpoint_id=client[1], operation=post(body)
        )
        assert answer["status"] == expected
        names_a_message = expected not in ("TOO_OLD", "CLOCK_AHEAD")
        assert answer["message_id"] == (message_id(*client, token) if names_a_message else None)
        assert answer["code"] == (self.refused[client, token] if expected == "REFUSED" else None)
        if token.timestamp_ms > self.newest_ms.get(client, -1) or not names_a_message:
            assert self.scene.lookups() == (0, 0)
        if expected == "ACCEPTED":
            self.accepted[client, token] = (body, answer)
            self.newest_ms[client] = max(token.timestamp_ms, self.newest_ms.get(client, -1))
            self.log()

    def expected(self, client: Client, token: Token, body: bytes) -> str:
        if token.timestamp_ms < self.scene.shard.now_ms - TIMES.threshold_ms:
            return "TOO_OLD"
        if token.timestamp_ms > self.scene.shard.now_ms + TIMES.clock_ahead_ms:
            return "CLOCK_AHEAD"
        if (client, token) not in self.accepted:
            return "ACCEPTED"
        if self.accepted[client, token][0] != body:
            return "TOKEN_REUSED"
        return "REFUSED" if (client, token) in self.refused else "DUPLICATE"

    def log(self) -> None:
        """Keep what the engine would have written to shard.ledger: every row that is new or has changed."""
        known = {record.key: record.value for record in self.changelog}
        self.changelog += [
            MemoryRecord("shard.ledger", key, value)
            for key, value in self.scene.shard.state.rows.items()
            if key.startswith(LEDGER.byte) and known.get(key) != value
        ]

    @rule(client=clients, age_ms=ages_ms, nonce=st.integers(0, 2), body=bodies)
    def sends(self, client: Client, age_ms: int, nonce: int, body: bytes) -> None:
        self.send(client, Token(self.scene.shard.now_ms - age_ms, nonce), body)

    @precondition(lambda self: self.accepted)
    @rule(data=st.data(), body=bodies, other=st.none() | clients)
    def sends_again(self, data: st.DataObject, body: bytes, other: Client | None) -> None:
        client, token = data.draw(st.sampled_from(sorted(self.accepted)))
        self.send(other or client, token, body)

    @precondition(lambda self: self.accepted)
    @rule(data=st.data())
    def thread_refuses(self, data: st.DataObject) -> None:
        client, token = data.draw(st.sampled_from(sorted(self.accepted)))
        answers = self.scene.refuse(self.accepted[client, token][1], "NOT_A_MEMBER")
        assert [(answer["status"], answer["code"]) for answer in answers] == [("REFUSED", "NOT_A_MEMBER")]
        self.refused[client, token] = "NOT_A_MEMBER"
        self.log()

    @rule(step_ms=st.sampled_from([1, SECOND_MS, HOUR_MS, 6 * HOUR_MS, 23 * HOUR_MS, 48 * HOUR_MS]))
    def time_passes(self, step_ms: int) -> None:
        self.scene.shard.now_ms += step_ms

    @rule()
    def expiry_is_held_or_not(self) -> None:
        self.scene.shard.is_expiry_held = not self.scene.shard.is_expiry_held

    @rule()
    def filter_is_wrong(self) -> None:
        """A full filter says "perhaps" of everything."""
        self.scene.shard.state.may_contain = _perhaps  # type: ignore[method-assign, assignment]  # a planted filter

    @rule()
    def worker_restarts(self) -> None:
        self.scene.restart()

    @rule()
    def store_is_lost(self) -> None:
        """The topic still holds what the store has dropped already: more rows come back than were lost."""
        self.scene.shard.state.rows.clear()
        LedgerRestorer().restore(self.changelog, self.scene.shard.state)
        self.scene.restart()

    @invariant()
    def each_accepted_token_is_one_operation(self) -> None:
        sent = [
            (one["account_id"], one["endpoint_id"], Token(**one["token"])) for one in self.scene.operations
        ]
        assert sorted(sent) == sorted((*client, token) for client, token in self.accepted)

    @invariant()
    def nothing_is_kept_beyond_the_window(self) -> None:
        """D11: unless expiry is held, a request leaves no row that is older than the window by a bucket."""
        horizon_ms = TIMES.threshold_ms + TIMES.clock_ahead_ms + 2 * TIMES.ledger_bucket_ms
        table = self.scene.stage._ledger
        if self.scene.shard.now_ms < table.next_expiry_at_ms:
            before_ms = self.scene.shard.now_ms - horizon_ms
            rows = [key for key in self.scene.shard.state.rows if key.startswith(LEDGER.byte)]
            assert all(int.from_bytes(key[1:9], "big") >= before_ms for key in rows)


class TestIngest(Ingest.TestCase):  # type: ignore[misc, valid-type]  # Hypothesis makes it at run time
    """D1, D3 to D10, D11, D15, D17, D20: the machine above."""

    settings = settings(max_examples=60, stateful_step_count=40)
