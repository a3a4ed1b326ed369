"""The state tables of a shard: typed views on the port `State`, one file a table or family.

A key starts with its table's byte; a value starts with a version byte. Every table is listed in `TABLES`
with its byte and its changelog, which is what the engine, the table look-up and the documentation go by.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Changelog(Enum):
    """Where a table's rows are kept so that a lost store can be rebuilt."""

    STATE = "shard.state"
    LEDGER = "shard.ledger"
    INBOX_UPDATES = "inbox.updates"
    DERIVED = "derived from another table's changelog"


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A table's name, its key byte, where its changelog is, and how to read a key and a value."""

    name: str
    byte: bytes
    changelog: Changelog
    meaning: str
    is_cached: bool = True
    """Whether its rows are kept in memory; not worth it where a row is written once and hardly ever read."""


CLAIMS = TableSpec("claims", b"\x01", Changelog.STATE, "who owns the shard (engine)")
PROGRESS = TableSpec("progress", b"\x02", Changelog.STATE, "topic -> next offset, cursor (engine)")
CLOCK = TableSpec("clock", b"\x03", Changelog.STATE, "the shard clock (engine)")
INPUTS = TableSpec(
    "inputs", b"\x04", Changelog.STATE, "topic -> id of the topic its progress counts in (engine)"
)
THREADS = TableSpec("threads", b"\x10", Changelog.STATE, "thread -> position, member count")
MEMBERS = TableSpec(
    "members", b"\x11", Changelog.STATE, "thread + chunk number -> up to 128 members: account, since"
)
POSITIONS = TableSpec("position", b"\x20", Changelog.STATE, "account -> epoch, next seq, first kept seq")
ENDPOINTS = TableSpec(
    "endpoints", b"\x21", Changelog.STATE, "account -> its endpoints: parameters, acked, sent, attachment"
)
LEDGER = TableSpec(
    "ledger", b"\x30", Changelog.LEDGER, "token + client -> payload digest, refused code", is_cached=False
)
RECENT = TableSpec(
    "recent", b"\x31", Changelog.DERIVED, "day + client -> most recent timestamp (from ledger)"
)
QUEUE = TableSpec(
    "queue", b"\x40", Changelog.INBOX_UPDATES, "account + seq -> canonical update", is_cached=False
)

TABLES: tuple[TableSpec, ...] = (
    CLAIMS,
    PROGRESS,
    CLOCK,
    INPUTS,
    THREADS,
    MEMBERS,
    POSITIONS,
    ENDPOINTS,
    LEDGER,
    RECENT,
    QUEUE,
)
