"""Bad input on the real topics: told to its sender, kept whole as a dead letter, and harmless to its neighbours.

Every case is written by a plain producer between two good requests on the same partition. All are written at once;
then each test looks at one. What breaks topics themselves stands in test_broken_topics.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from streams.codec import MAGIC, Codec
from streams.ids import Token, message_id, shard_of
from streams.limits import RECORD_BYTES_MAX
from streams.verify.report import Report
from tests.fixtures.instance import SHARDS, RunningInstance
from tests.fixtures.tap import Fields, Tap

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

CODEC = Codec()
NOW_MS = time.time_ns() // 1_000_000
HOUR_MS = 3_600_000
HEADERS = (("trace-id", b"\x00\xff"), ("trace-id", b"again"), ("empty", b""))
REQUESTS, COMMANDS = "ingest.requests", "endpoint.commands"
NOBODYS_MESSAGE = bytes(16)


def post(body: bytes = b"hello") -> tuple[str, Fields]:
    return ("lockstep.Post", {"content_type": "text/plain", "body": body, "media": []})


def request(account: str, nonce: int = 1, **changes: Any) -> Fields:
    """A well-formed request, with changes."""
    return {
        "account_id": account,
        "endpoint_id": "phone",
        "token": {"timestamp_ms": NOW_MS, "nonce": nonce},
        "thread_id": f"bad-thread-{account}"[:128],
        "recipients": [account] if account else ["somebody"],
        "operation": post(),
        **changes,
    }


@dataclass(frozen=True)
class Case:
    """One bad record and what has to become of it."""

    name: str
    value: bytes | None
    account: str
    """Who is answered, where somebody is."""
    key: bytes | None
    answers: list[tuple[str, str | None]]
    """Statuses and codes of all answers, in order."""
    dead: str | None
    """Code of the dead letter."""
    topic: str = REQUESTS
    has_token: bool = True
    moved: int = 0
    """Partitions away from the one where it belongs."""

    @property
    def partition(self) -> int:
        return (shard_of(self.account, SHARDS) + self.moved) % SHARDS


_account_number = iter(range(1_000_000))


def somebody() -> str:
    return f"bad-{next(_account_number)}"


def rejected(name: str, code: str, account: str | None = None, **changes: Any) -> Case:
    """A request that can be read but never be taken."""
    account = somebody() if account is None else account
    value = CODEC["SendRequest"].encode(request(account, **changes))
    answers: list[tuple[str, str | None]] = [("REJECTED", code)] if account else []
    return Case(name, value, account, account.encode(), answers, code)


def unreadable(name: str, code: str, value: bytes | None, account: str, *, has_token: bool) -> Case:
    return Case(name, value, account, account.encode(), [("REJECTED", code)], code, has_token=has_token)


def kept_only(name: str, code: str, value: bytes | None, account: str, key: bytes | None) -> Case:
    return Case(name, value, account, key, [], code)


def mistimed(name: str, status: str, timestamp_ms: int) -> Case:
    """A request that is answered, and is no dead letter: its sender can mend it."""
    account = somebody()
    value = CODEC["SendRequest"].encode(
        request(account, token={"timestamp_ms": timestamp_ms, "nonce": 1}, recipients=[account])
    )
    return Case(name, value, account, account.encode(), [(status, None)], None)


def encoded(account: str, **changes: Any) -> bytes:
    return CODEC["SendRequest"].encode(request(account, **changes))


def with_operation_number(account: str, number: int) -> bytes:
    """A request whose operation is a branch that the union does not have."""
    value = encoded(account, recipients=None, operation=("lockstep.Delete", {"message_id": NOBODYS_MESSAGE}))
    assert value[-17:] == b"\x06" + NOBODYS_MESSAGE
    return value[:-17] + bytes([2 * number]) + NOBODYS_MESSAGE


def _requests() -> Iterator[Case]:
    one = somebody
    yield unreadable("bytes that are no Avro", "UNDECODABLE", b"\x00\x01\x02garbage", one(), has_token=False)
    yield unreadable("JSON", "UNDECODABLE", b'{"account_id": "ann"}', one(), has_token=False)
    yield unreadable("no value", "UNDECODABLE", None, one(), has_token=False)
    yield unreadable("an empty value", "UNDECODABLE", b"", one(), has_token=False)
    account = one()
    yield unreadable(
        "unknown fingerprint",
        "UNKNOWN_SCHEMA",
        MAGIC + b"\xab" * 8 + encoded(account)[10:],
        account,
        has_token=False,
    )
    account = one()
    yield unreadable(
        "cut off in the operation", "UNDECODABLE", encoded(account)[:-3], account, has_token=True
    )
    account = one()
    yield unreadable("cut off in the account", "UNDECODABLE", encoded(account)[:13], account, has_token=False)
    account = one()
    yield unreadable(
        "bytes behind the record", "UNDECODABLE", encoded(account) + b"\0", account, has_token=True
    )
    for number in (6, 60):
        account = one()
        value = with_operation_number(account, number)
        yield unreadable(f"unknown operation {number}", "UNDECODABLE", value, account, has_token=True)
    account = one()
    ill_written = encoded(account).replace(b"text/plain", b"text/\xc3lain")
    yield unreadable("bad UTF-8", "UNDECODABLE", ill_written, account, has_token=True)
    account = one()
    refusal = {**request(account), "message_id": NOBODYS_MESSAGE, "server_at_ms": 0, "code": "X"}
    yield unreadable(
        "another record", "UNDECODABLE", CODEC["Refusal"].encode(refusal), account, has_token=False
    )
    account = one()
    yield kept_only("missing key", "MISSING_KEY", encoded(account), account, None)
    account = one()
    yield kept_only("empty key", "MISSING_KEY", encoded(account), account, b"")
    account = one()
    yield kept_only("key of somebody else", "MISSING_KEY", encoded(account), account, b"somebody else")
    account = one()
    yield kept_only("key that is no text", "UNDECODABLE", b"garbage", account, b"\xff\xfe")
    account = one()
    yield kept_only("neither key nor value", "UNDECODABLE", None, account, None)
    account = one()
    wrong: list[tuple[str, str | None]] = [("REJECTED", "WRONG_PARTITION")]
    yield Case(
        "wrong partition", encoded(account), account, account.encode(), wrong, "WRONG_PARTITION", moved=1
    )

    yield rejected("empty account", "ID_EMPTY", account="")
    yield rejected("account of 129 bytes", "ID_TOO_LONG", account="a" * 129)
    yield rejected("account of 65 letters and 130 bytes", "ID_TOO_LONG", account="é" * 65)
    yield rejected("control character in the account", "ID_CONTROL_CHARACTER", account="bad\0account")
    yield rejected("empty endpoint", "ID_EMPTY", endpoint_id="")
    yield rejected("endpoint of 129 bytes", "ID_TOO_LONG", endpoint_id="e" * 129)
    yield rejected("control character in the endpoint", "ID_CONTROL_CHARACTER", endpoint_id="a\x1bb")
    yield rejected("empty thread", "ID_EMPTY", thread_id="")
    yield rejected("thread of 129 bytes", "ID_TOO_LONG", thread_id="t" * 129)
    yield rejected("control character in the thread", "ID_CONTROL_CHARACTER", thread_id="line\nbreak")
    yield rejected("no recipients", "RECIPIENTS_EMPTY", recipients=[])
    yield rejected("1,001 recipients", "RECIPIENTS_TOO_MANY", recipients=[f"r{n}" for n in range(1_001)])
    yield rejected("an empty recipient", "ID_EMPTY", recipients=["bob", ""])
    yield rejected("body of 65,537 bytes", "BODY_TOO_LARGE", operation=post(bytes(65_537)))
    yield rejected(
        "body that fills a record", "BODY_TOO_LARGE", operation=post(b"x" * (RECORD_BYTES_MAX - 1_000))
    )
    yield rejected("negative timestamp", "TIMESTAMP_NEGATIVE", token={"timestamp_ms": -1, "nonce": 1})
    yield rejected("negative nonce", "NONCE_NEGATIVE", token={"timestamp_ms": NOW_MS, "nonce": -1})
    yield rejected(
        "change of no member",
        "MEMBERS_EMPTY",
        operation=("lockstep.ChangeMembers", {"add": [], "remove": []}),
    )
    yield mistimed("an hour ahead", "CLOCK_AHEAD", NOW_MS + HOUR_MS)
    yield mistimed("the end of time", "CLOCK_AHEAD", 2**63 - 1)
    yield mistimed("25 hours old", "TOO_OLD", NOW_MS - 25 * HOUR_MS)
    yield mistimed("1970", "TOO_OLD", 0)


def _commands() -> Iterator[Case]:
    """Endpoint commands that can never be answered."""

    def command(account: str, endpoint: str = "phone", command_id: str = "bad") -> bytes:
        fields = {"command_id": command_id, "account_id": account, "endpoint_id": endpoint}
        return CODEC["EndpointCommand"].encode({**fields, "command": ("lockstep.Detach", {})})

    def kept(
        name: str, code: str, value: bytes | None, account: str, key: bytes | None, *, moved: int = 0
    ) -> Case:
        return Case(name, value, account, key, [], code, topic=COMMANDS, moved=moved)

    account = somebody()
    yield kept("command that is no Avro", "UNDECODABLE", b"garbage", account, account.encode())
    account = somebody()
    yield kept("command without a value", "UNDECODABLE", None, account, account.encode())
    account = somebody()
    unknown = MAGIC + b"\xab" * 8 + command(account)[10:]
    yield kept("command of an unknown fingerprint", "UNKNOWN_SCHEMA", unknown, account, account.encode())
    account = somebody()
    unheard_of = command(account)[:-1] + b"\x7e"
    yield kept("unknown command", "UNDECODABLE", unheard_of, account, account.encode())
    account = somebody()
    yield kept("command without a key", "MISSING_KEY", command(account), account, None)
    account = somebody()
    yield kept(
        "command on a wrong partition",
        "WRONG_PARTITION",
        command(account),
        account,
        account.encode(),
        moved=1,
    )
    yield kept("command of an empty account", "ID_EMPTY", command(""), "", b"")
    account = somebody()
    yield kept("command of an empty endpoint", "ID_EMPTY", command(account, ""), account, account.encode())
    account = somebody()
    yield kept(
        "command of an endpoint of 129 bytes",
        "ID_TOO_LONG",
        command(account, "e" * 129),
        account,
        account.encode(),
    )


CASES = [*_requests(), *_commands()]


@dataclass
class Outcome:
    """Everything that became of everything."""

    offsets: dict[str, int] = field(default_factory=dict)
    neighbours: dict[str, list[str]] = field(default_factory=dict)
    """Case -> accounts of the good requests around it."""
    answers: list[Fields] = field(default_factory=list)
    dead: list[Fields] = field(default_factory=list)
    command_answers: list[Fields] = field(default_factory=list)
    operations: list[Fields] = field(default_factory=list)
    report: Report = field(default_factory=Report)

    def answers_to(self, account: str) -> list[Fields]:
        return [one for one in self.answers if one["account_id"] == account]

    def dead_letters_of(self, case: Case) -> list[Fields]:
        place = (case.topic, case.partition, self.offsets[case.name])
        return [one for one in self.dead if (one["topic"], one["partition"], one["offset"]) == place]


@pytest.fixture(scope="module")
def outcome(instance: RunningInstance) -> Outcome:
    """Write every case, wait until all is done, and collect."""
    return asyncio.run(_collected(instance))


async def _collected(instance: RunningInstance) -> Outcome:
    found = Outcome()
    async with Tap(instance) as tap:
        for number, case in enumerate(CASES):
            good = [
                instance.on_shard(case.partition, f"good-{number}-{side}") for side in ("before", "after")
            ]
            found.neighbours[case.name] = good
            await tap.request(request(good[0]))
            key, value, partition = case.key, case.value, case.partition
            found.offsets[case.name] = await tap.put(case.topic, key, value, partition, HEADERS)
            await tap.request(request(good[1]))
        await instance.drained()
        found.answers = await tap.decoded("ingest.results")
        found.dead = await tap.decoded("dead.letters")
        found.command_answers = await tap.decoded("replay.updates")
        found.operations = await tap.decoded("thread.operations")
        found.report = await instance.verified()
    return found


named = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@named
def test_its_sender_is_answered_where_there_is_one(outcome: Outcome, case: Case) -> None:
    """D18, D19: REJECTED with a stable code and the token as far as it can be read; nobody is told else."""
    answers = outcome.answers_to(case.account)
    assert [(one["status"], one["code"]) for one in answers] == case.answers
    assert all((one["token"] is not None) is case.has_token for one in answers)
    assert all(one["message_id"] is None for one in answers)
    assert case.account not in {one["account_id"] for one in outcome.operations}
    assert case.account not in {one["account_id"] for one in outcome.command_answers}


@named
def test_it_is_kept_whole_as_one_dead_letter(outcome: Outcome, case: Case) -> None:
    """D18: topic, partition, offset, key, value and headers as they were, with the code and words for people."""
    letters = outcome.dead_letters_of(case)
    if case.dead is None:
        assert letters == []
        return
    (letter,) = letters
    assert letter["code"] == case.dead
    assert (letter["key"], letter["value"]) == (case.key, case.value)
    assert [(one["key"], one["value"]) for one in letter["headers"]] == list(HEADERS)
    assert letter["detail"]
    assert letter["at_ms"] >= NOW_MS
    assert letter["at"][0] == case.partition


@named
def test_good_requests_before_and_after_it_on_its_partition_are_taken(outcome: Outcome, case: Case) -> None:
    """D18: the partition goes on; nothing else is lost."""
    for account in outcome.neighbours[case.name]:
        assert shard_of(account, SHARDS) == case.partition
        assert [one["status"] for one in outcome.answers_to(account)] == ["ACCEPTED"]


def test_the_verifier_finds_nothing_wrong_beside_all_that(outcome: Outcome) -> None:
    """Dead letters are counted, and excuse nothing but themselves."""
    assert outcome.report.ok
    dead = sum(case.dead is not None for case in CASES)
    assert (outcome.report.counters["dead_letters"] or 0) >= dead
    assert len(outcome.dead) == dead


async def test_a_record_larger_than_the_topic_takes_is_refused_by_the_broker(
    tap: Tap, instance: RunningInstance
) -> None:
    """The producer hears it at once; the topic holds nothing of it, and what follows is taken."""
    account = instance.on_shard(2, "oversize")
    value = encoded(account, operation=post(bytes(RECORD_BYTES_MAX)))
    with pytest.raises(MessageSizeTooLargeError):
        await tap.put(REQUESTS, account.encode(), value, 2)
    await tap.request(request(account))
    (answer,) = await tap.until(
        "ingest.results", lambda found: any(one["account_id"] == account for one in found), "the answer"
    )
    assert answer["status"] == "ACCEPTED"


# -- What the thread says ------------------------------------------------------------------------------------------


class Thread:
    """A thread of ann and bob, and what anyone asks of it; answers come by sender and nonce."""

    def __init__(self, tap: Tap, name: str) -> None:
        self.tap, self.name = tap, name
        self.ann, self.bob = f"{name}-ann", f"{name}-bob"
        self.nonce = 0

    async def ask(
        self, account: str, operation: tuple[str, Fields], answers: int = 1, **changes: Any
    ) -> tuple[bytes, list[tuple[str, str | None]]]:
        """Send; return the message id and the answers once there are so many."""
        self.nonce += 1
        fields = (
            request(account, self.nonce, thread_id=self.name, recipients=None, operation=operation) | changes
        )
        await self.tap.request(fields)
        return await self.answered(fields, answers)

    async def answered(self, fields: Fields, answers: int) -> tuple[bytes, list[tuple[str, str | None]]]:
        def mine(found: list[Fields]) -> list[Fields]:
            return [
                one
                for one in found
                if (one["account_id"], one["token"]) == (fields["account_id"], fields["token"])
            ]

        what = f"{answers} answers to {fields['account_id']}"
        found = await self.tap.until("ingest.results", lambda all_: len(mine(all_)) >= answers, what)
        wanted = message_id(fields["account_id"], "phone", Token(**fields["token"]))
        assert {one["message_id"] for one in mine(found)} == {wanted}
        return wanted, [(one["status"], one["code"]) for one in mine(found)]

    async def create(self) -> bytes:
        message, answers = await self.ask(self.ann, post(b"first"), recipients=[self.bob])
        assert answers == [("ACCEPTED", None)]
        return message

    async def updates_of(self, account: str, instance: RunningInstance) -> list[tuple[int, str, bytes]]:
        """Seq, kind and message of everything in an inbox, once all is done."""
        await instance.drained()
        inbox = [one for one in await self.tap.decoded("inbox.updates") if one["account_id"] == account]
        return [(one["seq"], one["kind"], one["message_id"]) for one in inbox]


async def test_an_edit_or_delete_of_a_message_that_nobody_has_harms_no_reader(
    tap: Tap, instance: RunningInstance
) -> None:
    """It is the author's own by its id, so it is taken; every inbox gets the same dense numbers."""
    thread = Thread(tap, "phantom")
    first = await thread.create()
    phantom = message_id(thread.ann, "phone", Token(NOW_MS, 999_999))
    edit, answers = await thread.ask(thread.ann, ("lockstep.Edit", {"message_id": phantom, "body": b"?"}))
    assert answers == [("ACCEPTED", None)]
    delete, answers = await thread.ask(thread.ann, ("lockstep.Delete", {"message_id": phantom}))
    assert answers == [("ACCEPTED", None)]
    last, _ = await thread.ask(thread.ann, post(b"last"))
    expected = [(1, "post", first), (2, "edit", edit), (3, "delete", delete), (4, "post", last)]
    assert await thread.updates_of(thread.ann, instance) == expected
    assert await thread.updates_of(thread.bob, instance) == expected
    await instance.verified()


@pytest.mark.parametrize("operation", ["Edit", "Delete"])
async def test_an_edit_or_delete_of_anothers_message_is_refused(
    tap: Tap, instance: RunningInstance, operation: str
) -> None:
    """Q21: REFUSED after ACCEPTED, REFUSED again at a retry, and no update for anybody."""
    thread = Thread(tap, f"another-{operation}")
    first = await thread.create()
    fields = {"message_id": first} | ({"body": b"mine now"} if operation == "Edit" else {})
    refused = [("ACCEPTED", None), ("REFUSED", "NOT_THE_AUTHOR")]
    _, answers = await thread.ask(thread.bob, (f"lockstep.{operation}", fields), answers=2)
    assert answers == refused
    again = request(
        thread.bob,
        thread.nonce,
        thread_id=thread.name,
        recipients=None,
        operation=(f"lockstep.{operation}", fields),
    )
    await tap.request(again)
    _, answers = await thread.answered(again, 3)
    assert answers == [*refused, ("REFUSED", "NOT_THE_AUTHOR")]
    assert await thread.updates_of(thread.bob, instance) == [(1, "post", first)]
    await instance.verified()


async def test_what_somebody_who_is_no_member_asks_is_refused(tap: Tap, instance: RunningInstance) -> None:
    """Q21: so is an operation on a thread that does not exist; members see nothing of it."""
    thread = Thread(tap, "members-only")
    first = await thread.create()
    _, answers = await thread.ask("members-only-eve", post(b"hi"), answers=2)
    assert answers == [("ACCEPTED", None), ("REFUSED", "NOT_A_MEMBER")]
    _, answers = await thread.ask(thread.ann, post(b"hi"), answers=2, thread_id="members-only-nowhere")
    assert answers == [("ACCEPTED", None), ("REFUSED", "THREAD_UNKNOWN")]
    assert await thread.updates_of(thread.ann, instance) == [(1, "post", first)]
    report = await instance.verified()
    assert (report.counters["refused"] or 0) >= 2


# -- What endpoints ask ----------------------------------------------------------------------------------------------

REGISTER = {
    "locale": "en",
    "app_version": "1",
    "capabilities": [],
    "media_width_max": 0,
    "encoding": "avro",
    "route": "",
    "window": 0,
}


async def test_commands_that_ask_for_what_is_not_there_are_answered_with_a_code(
    tap: Tap, instance: RunningInstance
) -> None:
    """Each refused command changes nothing; the endpoint is served on, and nothing becomes a dead letter."""
    thread = Thread(tap, "commands")
    await thread.create()
    await thread.ask(thread.ann, post(b"second"))
    bob = thread.bob
    steps: list[tuple[str, str, str, Fields]] = [
        ("UNKNOWN_ENDPOINT", "ghost", "Attach", {"position": None}),
        ("UNKNOWN_ENDPOINT", "ghost", "Ack", {"epoch": 1, "seq": 1}),
        ("UNKNOWN_ENDPOINT", "ghost", "MissingUpdates", {"epoch": 1, "from_seq": 1, "limit": 10}),
        ("UNKNOWN_ENDPOINT", "ghost", "Unregister", {}),
        ("UNKNOWN_ROUTE", "tablet", "Register", {**REGISTER, "route": "pigeon"}),
        ("REJECTED", "tablet", "Register", {**REGISTER, "window": -1}),
        ("REJECTED", "tablet", "Register", {**REGISTER, "locale": "l" * 129}),
        ("OK", "tablet", "Register", REGISTER),
        ("NOT_ATTACHED", "tablet", "Detach", {}),
        ("BEYOND_HEAD", "tablet", "MissingUpdates", {"epoch": 1, "from_seq": 4, "limit": 10}),
        ("BEYOND_HEAD", "tablet", "MissingUpdates", {"epoch": 1, "from_seq": 2**62, "limit": 10}),
        ("REJECTED", "tablet", "MissingUpdates", {"epoch": 1, "from_seq": 0, "limit": 10}),
        ("REJECTED", "tablet", "MissingUpdates", {"epoch": 1, "from_seq": -1, "limit": 10}),
        ("REJECTED", "tablet", "MissingUpdates", {"epoch": 1, "from_seq": 1, "limit": 0}),
        ("EPOCH_CHANGED", "tablet", "MissingUpdates", {"epoch": 7, "from_seq": 1, "limit": 10}),
        ("BEYOND_HEAD", "tablet", "Ack", {"epoch": 1, "seq": 3}),
        ("REJECTED", "tablet", "Ack", {"epoch": 1, "seq": -1}),
        ("BEYOND_HEAD", "tablet", "Attach", {"position": {"epoch": 1, "seq": 3}}),
        ("EPOCH_CHANGED", "tablet", "Attach", {"position": {"epoch": 2, "seq": 1}}),
        ("UNSUPPORTED", "tablet", "Snapshot", {}),
        ("OK", "tablet", "MissingUpdates", {"epoch": 1, "from_seq": 3, "limit": 10}),
        ("OK", "tablet", "MissingUpdates", {"epoch": 1, "from_seq": 1, "limit": 2**62}),
    ]
    await instance.drained()
    for number, (_, endpoint, name, fields) in enumerate(steps):
        await tap.command(bob, endpoint, name, f"step-{number}", **fields)
    await tap.command(bob, "tablet", "Detach", "")
    await tap.command(bob, "tablet", "Detach", "c" * 129)
    await instance.drained()
    found = [one for one in await tap.decoded("replay.updates") if one["account_id"] == bob]
    answers = {one["command_id"]: one["code"] for one in found if one["record"].endswith("CommandResult")}
    assert answers == {
        **{f"step-{number}": code for number, (code, *_) in enumerate(steps)},
        "": "REJECTED",
        "c" * 128: "REJECTED",
    }
    batches = [one for one in found if one["record"].endswith("UpdateBatch")]
    assert [(one["command_id"], one["seq_first"], one["seq"]) for one in batches] == [("step-21", 1, 2)]
    assert await tap.decoded("dead.letters") == []
    await instance.verified()
