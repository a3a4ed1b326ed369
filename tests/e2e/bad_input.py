"""Bad requests and commands, and what has to become of each; written by test_bad_input.py, looked at by its tests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from streams.codec import MAGIC, Codec
from streams.ids import shard_of
from streams.limits import RECORD_BYTES_MAX
from tests.fixtures.instance import SHARDS
from tests.fixtures.tap import Fields

CODEC = Codec()
NOW_MS = time.time_ns() // 1_000_000
HOUR_MS = 3_600_000
HEADERS = (("trace-id", b"\x00\xff"), ("trace-id", b"again"), ("empty", b""))
REQUESTS, COMMANDS = "ingest.requests", "endpoint.commands"
NOBODYS_MESSAGE = bytes(16)

REGISTER = {
    "locale": "en",
    "app_version": "1",
    "capabilities": [],
    "media_width_max": 0,
    "encoding": "avro",
    "route": "",
    "window": 0,
}


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
