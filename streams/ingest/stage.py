"""The ingest stage: decode, ask the rules, record, emit.

Order of effects for a request, all in one unit of work:
1. expired buckets of the ledger are dropped, when the shard clock has passed the end of one;
2. the accepted operation is sent to its thread (thread.operations);
3. its token is recorded in the ledger;
4. the answer is sent (ingest.results), and a counter is raised;
5. instead of 2 to 4, for a request that is rejected: the answer where the sender is known, and a dead letter.
For a refusal that comes back from a thread: the token's entry is marked, then the sender is answered.

A crash between any two of them leaves nothing of the unit: outputs, ledger, progress and answer commit
together or not at all, and the record is read again. After the commit the token is known, so a sender who did
not hear the answer is answered DUPLICATE with the same message id. Step 2 comes before 3 only because an
operation that does not fit its topic turns into a rejection, which must not record its token.
Tested in tests/ingest and tests/properties/test_ingest_properties.py.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from streams.codec import Codec
from streams.codec.primitives import text_once, token_bytes
from streams.errors import MissingKey, Oversize, RecordError, Undecodable, WrongPartition
from streams.ids import Token, id_problem, message_id
from streams.ingest.admission import Admission, Timestamps
from streams.ingest.outputs import OutputWriter
from streams.ingest.payload import payload_digest
from streams.ingest.request import Request, RequestReader, Sender
from streams.ingest.validation import Problem, client_problem, payload_problem, token_problem
from streams.limits import ID_BYTES_MAX
from streams.ports import DONE, Record, Shard
from streams.records import Status
from streams.tables.ledger import Ledger, client_of, ledger_key

REQUESTS = "ingest.requests"
REFUSALS = "ingest.refusals"
RESULTS = "ingest.results"
OPERATIONS = "thread.operations"

COUNTERS: dict[Status, str] = {
    Status.ACCEPTED: "ingest.accepted",
    Status.DUPLICATE: "ingest.duplicates",
    Status.TOO_OLD: "ingest.too_old",
    Status.CLOCK_AHEAD: "ingest.clock_ahead",
    Status.TOKEN_REUSED: "ingest.tokens_reused",
    Status.REJECTED: "ingest.rejected",
    Status.REFUSED: "ingest.refused",
}
"""One counter an answer; beside them ingest.filter_lookups and ingest.exact_lookups."""

_NAMES_A_MESSAGE = frozenset((Status.ACCEPTED, Status.DUPLICATE, Status.TOKEN_REUSED, Status.REFUSED))


class Client(NamedTuple):
    """What every request of one client (account and endpoint) repeats; kept, for who sends once sends again."""

    key: bytes
    """Key of its records."""
    namespace: bytes
    """First part of its tokens' ledger keys."""
    problem: Problem | None
    """Why nothing can be taken from it here: its names, or a shard that is not its own."""


_CLIENTS = 16_384
"""Clients of one shard that are kept: about 8 MiB."""


class IngestStage:
    """Takes each request of one shard once, and answers every one."""

    name = "ingest"
    topics: tuple[str, ...] = (REQUESTS, REFUSALS)

    def __init__(self, shard: Shard, codec: Codec, timestamps: Timestamps) -> None:
        self._shard = shard
        self._codec = codec
        self._reader = RequestReader(codec)
        self._writer = OutputWriter(codec)
        self._client = lru_cache(maxsize=_CLIENTS)(self._client_of)
        self._ledger = Ledger(shard.state, timestamps.ledger_bucket_ms)
        self._admission = Admission(timestamps.threshold_ms, timestamps.clock_ahead_ms)
        # A token may bear a timestamp as far ahead as the clock limit; the same again is the slack of expiry.
        self._horizon_ms = timestamps.threshold_ms + timestamps.clock_ahead_ms

    def process(self, record: Record, cursor: bytes) -> bytes:  # noqa: ARG002  # one step finishes a record of this stage
        """Work on one request or refusal; see the module for the order of effects."""
        if record.topic == REQUESTS:
            self._take_request(record)
        else:
            self._take_refusal(record)
        return DONE

    def _take_request(self, record: Record) -> None:
        shard = self._shard
        try:
            request = self._reader.read(record.value)
        except RecordError as error:
            self._reject_unreadable(record, error)
            return
        account_id, endpoint_id = request.account_id, request.endpoint_id
        is_short = len(account_id) + len(endpoint_id) <= 2 * ID_BYTES_MAX  # others would fill the memory
        client = (self._client if is_short else self._client_of)(account_id, endpoint_id)
        if problem := self._problem(record, request, client):
            self._reject(record, request.sender, problem)
            return
        if shard.now_ms >= self._ledger.next_expiry_at_ms and not shard.is_expiry_held:
            self._ledger.expire(shard.now_ms, self._horizon_ms)
        try:
            self._admit(request, client.namespace)
        except Oversize as error:
            self._reject(record, request.sender, Problem(error.code, str(error)))

    def _problem(self, record: Record, request: Request, client: Client) -> Problem | None:
        if record.key != client.key:
            raise _another_key(record, request.account_id)
        return (
            client.problem
            or token_problem(request.token)
            or payload_problem(request.thread_id, request.recipients, request.operation)
        )

    def _client_of(self, account_id: str, endpoint_id: str) -> Client:
        home, number = self._shard.shard_of(account_id), self._shard.number
        problem = client_problem(account_id, endpoint_id)
        if home != number:
            problem = Problem(WrongPartition.code, f"{account_id!r} belongs to {home}, not to {number}")
        return Client(account_id.encode(), client_of(account_id, endpoint_id), problem)

    def _admit(self, request: Request, client: bytes) -> None:
        shard, now_ms = self._shard, self._shard.now_ms
        account_id, endpoint_id, token, thread_id, recipients, operation, _, sender = request
        digest = payload_digest(thread_id, recipients, operation)
        verdict = self._admission.decide(self._ledger, client, token, digest, now_ms)
        status, code, is_newest, filter_lookups, exact_lookups = verdict
        message: bytes | None = None
        if status in _NAMES_A_MESSAGE:
            message = message_id(account_id, endpoint_id, token)
        if status is Status.ACCEPTED and message is not None:
            value = self._writer.operation(request, message, now_ms)
            shard.emit(OPERATIONS, thread_id.encode(), value, shard.shard_of(thread_id))
            self._ledger.record(client, token, digest, is_newest=is_newest)
        self._answer(sender, status, message, code)
        if filter_lookups:
            shard.count("ingest.filter_lookups", filter_lookups)
        if exact_lookups:
            shard.count("ingest.exact_lookups", exact_lookups)

    def _take_refusal(self, record: Record) -> None:
        refusal = self._codec.decode_as("Refusal", record.value)
        account_id, endpoint_id, code = refusal["account_id"], refusal["endpoint_id"], refusal["code"]
        if record.key != account_id.encode():
            raise _another_key(record, account_id)
        home = self._shard.shard_of(account_id)
        if home != self._shard.number:
            raise WrongPartition(f"{account_id!r} belongs to {home}, not to {self._shard.number}")
        token = Token(**refusal["token"])
        if problem := client_problem(account_id, endpoint_id) or token_problem(token):
            raise Undecodable(f"not a token that was ever accepted: {problem.detail}")
        self._ledger.mark_refused(ledger_key(client_of(account_id, endpoint_id), token), code)
        sender = Sender(account_id, text_once(account_id) + text_once(endpoint_id), token_bytes(*token))
        self._answer(sender, Status.REFUSED, refusal["message_id"], code)

    def _reject_unreadable(self, record: Record, error: RecordError) -> None:
        """Reject what cannot be read; the sender is the one its readable part names, or else its key."""
        key = record.key or b""
        sender = self._reader.read_sender(record.value)
        if sender is None or sender.account_id.encode() != key:
            try:
                account_id = key.decode()
            except UnicodeDecodeError:
                raise error from None
            if id_problem(account_id):
                raise error
            sender = Sender(account_id, text_once(account_id) + text_once(""), None)
        self._reject(record, sender, Problem(error.code, str(error)))

    def _reject(self, record: Record, sender: Sender, problem: Problem) -> None:
        if sender.account_id:  # nobody can be told under an empty name
            self._answer(sender, Status.REJECTED, None, problem.code)
        self._shard.dead_letter(record, problem.code, problem.detail)

    def _answer(self, sender: Sender, status: Status, message: bytes | None, code: str | None) -> None:
        shard, account_id = self._shard, sender.account_id
        value = self._writer.result(sender, status, message, shard.now_ms, code)
        shard.emit(RESULTS, account_id.encode(), value, shard.shard_of(account_id))
        shard.count(COUNTERS[status])


def _another_key(record: Record, account_id: str) -> MissingKey:
    return MissingKey(f"the key is {record.key!r}, the account_id {account_id!r} was expected")
