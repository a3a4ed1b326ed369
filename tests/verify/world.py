"""A pipeline on paper: writes the records that a right one would leave behind, so that tests can spoil them.

Deliberately naive (plain dictionaries, one record at a time) and no code of the pipeline.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from streams.adapters.memory import MemoryRecord
from streams.client import Request, change_members, post
from streams.codec import Codec
from streams.ids import delivery_key, shard_of
from streams.topology import load_topology
from streams.verify.judge import StoreFindings, judged_topics, verify
from streams.verify.report import Report
from streams.verify.source import Span

SHARDS = 3
CODEC = Codec()
TOPOLOGY = load_topology(shards=SHARDS)
_KINDS = {
    "lockstep.Post": "post",
    "lockstep.PostForm": "post_form",
    "lockstep.Edit": "edit",
    "lockstep.Delete": "delete",
    "lockstep.MarkRead": "mark_read",
    "lockstep.ChangeMembers": "change_members",
}


class MemorySource:
    """The port `Source` over lists; runs of two records, so that runs of partitions interleave."""

    def __init__(
        self, logs: Mapping[tuple[str, int], Sequence[MemoryRecord]], starts: Mapping[str, int]
    ) -> None:
        self._logs = logs
        self._starts = starts

    def spans(self, topic: str) -> dict[int, Span]:
        start = self._starts.get(topic, 0)
        return {p: Span(start, start + len(self._logs.get((topic, p), ()))) for p in range(SHARDS)}

    async def batches(self, topic: str) -> AsyncIterator[Sequence[MemoryRecord]]:
        logs = [self._logs.get((topic, p), ()) for p in range(SHARDS)]
        for at in range(0, max(map(len, logs)), 2):
            for log in logs:
                if run := log[at : at + 2]:
                    yield run


@dataclass
class _Thread:
    members: list[str]
    position: int = 0


@dataclass
class _Endpoint:
    route: str
    acked: int = 0
    first: int | None = None
    """Where its attachment begins; None while it is detached."""


@dataclass
class World:
    """State and logs. Every method leaves consistent records."""

    logs: dict[tuple[str, int], list[MemoryRecord]] = field(default_factory=dict)
    starts: dict[str, int] = field(default_factory=dict)
    threads: dict[str, _Thread] = field(default_factory=dict)
    heads: dict[str, int] = field(default_factory=dict)
    endpoints: dict[tuple[str, str], _Endpoint] = field(default_factory=dict)
    statuses: dict[bytes, str] = field(default_factory=dict)
    commands: int = 0

    # -- What clients do ------------------------------------------------------------------------------

    def send(self, request: Request) -> None:
        """A request and all that follows from it."""
        self.put("ingest.requests", request.account_id, "SendRequest", request.fields())
        known = self.statuses.get(request.message_id)
        if known is not None:
            self.answer(request, "DUPLICATE" if known == "ACCEPTED" else known, "NOT_A_MEMBER")
            return
        self.answer(request, "ACCEPTED")
        operation = {**request.fields(), "message_id": request.message_id, "server_at_ms": 7}
        self.put("thread.operations", request.thread_id, "ThreadOperation", operation)
        created = request.thread_id not in self.threads
        if created:
            members = list(dict.fromkeys([request.account_id, *(request.recipients or ())]))
            self.threads[request.thread_id] = _Thread(members)
        thread = self.threads[request.thread_id]
        if request.account_id not in thread.members:
            self.statuses[request.message_id] = "REFUSED"
            self.answer(request, "REFUSED", "NOT_A_MEMBER")
            return
        self.statuses[request.message_id] = "ACCEPTED"
        self._admit(request, thread, created=created)

    def register(self, account: str, endpoint: str, route: str = "mobile", window: int = 0) -> None:
        self.endpoints.setdefault((account, endpoint), _Endpoint(route)).route = route
        parameters = {
            "locale": "en", "app_version": "1", "capabilities": [], "media_width_max": 0, "encoding": "avro",
            "route": route, "window": window,
        }  # fmt: skip
        self.command(account, endpoint, ("lockstep.Register", parameters))

    def attach(self, account: str, endpoint: str) -> None:
        """Everything after the last acknowledged comes by replay."""
        one = self.endpoints[account, endpoint]
        first, head = one.acked + 1, self.heads.get(account, 0)
        one.first = first
        command_id = self.command(account, endpoint, ("lockstep.Attach", {"position": None}))
        if first <= head:
            self.replay(account, endpoint, command_id, first, head)

    def detach(self, account: str, endpoint: str) -> None:
        self.endpoints[account, endpoint].first = None
        self.command(account, endpoint, ("lockstep.Detach", {}))

    def ack(self, account: str, endpoint: str, seq: int) -> None:
        self.endpoints[account, endpoint].acked = seq
        self.command(account, endpoint, ("lockstep.Ack", {"epoch": 1, "seq": seq}))

    def missing(self, account: str, endpoint: str, first: int, last: int) -> None:
        wish = ("lockstep.MissingUpdates", {"epoch": 1, "from_seq": first, "limit": last - first + 1})
        self.replay(account, endpoint, self.command(account, endpoint, wish), first, last)

    # -- Records --------------------------------------------------------------------------------------

    def answer(self, request: Request, status: str, code: str | None = None) -> None:
        names = status in ("ACCEPTED", "DUPLICATE", "REFUSED", "TOKEN_REUSED")
        fields = {
            "token": request.fields()["token"],
            "status": status,
            "message_id": request.message_id if names else None,
            "server_at_ms": 7,
            "code": code if status == "REFUSED" else None,
            "account_id": request.account_id,
            "endpoint_id": request.endpoint_id,
        }
        self.put("ingest.results", request.account_id, "SendResult", fields)

    def command(self, account: str, endpoint: str, command: tuple[str, dict[str, Any]]) -> str:
        self.commands += 1
        base = {"command_id": f"c{self.commands}", "account_id": account, "endpoint_id": endpoint}
        self.put("endpoint.commands", account, "EndpointCommand", {**base, "command": command})
        result = {
            **base,
            "code": "OK",
            "attached_from_seq": self.endpoints[account, endpoint].first,
            "head": self.heads.get(account, 0),
            "epoch": 1,
        }
        self.put_for(account, endpoint, "replay.updates", "CommandResult", result)
        return f"c{self.commands}"

    def replay(self, account: str, endpoint: str, command_id: str, first: int, last: int) -> None:
        fields = {
            "seq_first": first,
            "seq": last,
            "updates": [self.update(account, endpoint, seq) for seq in range(first, last + 1)],
            "has_more": False,
            "account_id": account,
            "endpoint_id": endpoint,
            "epoch": 1,
            "command_id": command_id,
        }
        self.put_for(account, endpoint, "replay.updates", "UpdateBatch", fields)

    def update(self, account: str, endpoint: str, seq: int) -> dict[str, Any]:
        return {
            "account_id": account, "endpoint_id": endpoint, "epoch": 1, "seq_first": seq, "seq": seq,
            "token": None, "message_id": bytes(16), "thread_id": "t", "thread_position": 1,
            "sender_id": account, "server_at_ms": 7, "kind": "noop", "content": None,
        }  # fmt: skip

    def put(self, topic: str, name: str, record: str, fields: Mapping[str, Any]) -> None:
        """Append a record keyed by an account or a thread."""
        self._append(topic, shard_of(name, SHARDS), name.encode(), CODEC[record].encode(fields))

    def put_for(
        self, account: str, endpoint: str, topic: str, record: str, fields: Mapping[str, Any]
    ) -> None:
        key = delivery_key(account, endpoint)
        self._append(topic, shard_of(account, SHARDS), key, CODEC[record].encode(fields))

    def _append(self, topic: str, partition: int, key: bytes | None, value: bytes | None) -> None:
        log = self.logs.setdefault((topic, partition), [])
        log.append(MemoryRecord(topic, key, value, partition, 2 * len(log)))

    def _admit(self, request: Request, thread: _Thread, *, created: bool) -> None:
        thread.position += 1
        name, fields = request.operation
        gone = [one for one in fields["remove"] if one in thread.members] if "remove" in fields else []
        thread.members += [one for one in fields.get("add", ()) if one not in thread.members]
        told = list(thread.members)
        thread.members = [one for one in thread.members if one not in gone]
        common = {
            "message_id": request.message_id, "thread_id": request.thread_id,
            "thread_position": thread.position, "sender_id": request.account_id, "server_at_ms": 7,
            "kind": _KINDS[name], "content": request.operation,
        }  # fmt: skip
        token = request.fields()["token"]
        message = {
            **common, "endpoint_id": request.endpoint_id, "token": token,
            "created_with": told if created else None,
        }  # fmt: skip
        self.put("thread.messages", request.thread_id, "ThreadMessage", message)
        for account in told:
            self._append_to_inbox(account, {**common, "token": None})

    def _append_to_inbox(self, account: str, common: dict[str, Any]) -> None:
        seq = self.heads[account] = self.heads.get(account, 0) + 1
        update = {**common, "account_id": account, "epoch": 1, "seq_first": seq, "seq": seq}
        self.put("inbox.updates", account, "InboxUpdate", update)
        for (owner, name), endpoint in self.endpoints.items():
            if owner == account and endpoint.first is not None:
                topic = TOPOLOGY.routes.get(endpoint.route, TOPOLOGY.routes[TOPOLOGY.default_route])
                self.put_for(account, name, topic, "EndpointUpdate", {**update, "endpoint_id": name})

    # -- Faults and the verdict -----------------------------------------------------------------------

    def find(self, topic: str, key: bytes | None = None) -> tuple[list[MemoryRecord], int]:
        """Return the log and index of the middle one of the records of a topic (and key)."""
        found = [
            (log, at)
            for (name, _), log in sorted(self.logs.items())
            if name == topic
            for at, record in enumerate(log)
            if key is None or record.key == key
        ]
        return found[len(found) // 2]

    def drop(self, topic: str, key: bytes | None = None) -> None:
        log, at = self.find(topic, key)
        del log[at]

    def repeat(self, topic: str, key: bytes | None = None) -> None:
        log, at = self.find(topic, key)
        log.append(replace(log[at], offset=log[-1].offset + 1))

    def rewrite(self, topic: str, record: str, key: bytes | None = None, **changes: Any) -> None:
        """Change fields of one record."""
        log, at = self.find(topic, key)
        fields = {**CODEC.decode_as(record, log[at].value), **changes}
        log[at] = replace(log[at], value=CODEC[record].encode(fields))

    async def verdict(self, store: StoreFindings | None = None) -> Report:
        source = MemorySource(self.logs, self.starts)
        assert set(judged_topics(TOPOLOGY)) >= {topic for topic, _ in self.logs}
        return await verify(source, TOPOLOGY, CODEC, store=store)


def busy_world() -> World:
    """Members who come and go, endpoints that attach late, detach and come back."""
    world = World()
    for account in ("ann", "bob", "cy", "dee"):
        world.register(account, "phone")
        world.attach(account, "phone")
    world.register("ann", "tablet", "web")
    world.register("eve", "phone", "unheard-of")
    for thread, people in (("t1", ["ann", "bob", "cy"]), ("t2", ["bob", "dee"]), ("t3", ["eve", "ann"])):
        world.send(Request(people[0], "phone", thread, post("first"), people))
        world.send(Request(people[0], "phone", thread, post("second")))
    world.attach("ann", "tablet")
    again = Request("bob", "phone", "t1", post("once"))
    refused = Request("eve", "phone", "t1", post("may I?"))
    for request in (again, again, refused, refused):
        world.send(request)
    world.send(Request("ann", "phone", "t1", change_members(add=["dee", "fay"], remove=["cy", "fay2"])))
    world.detach("ann", "tablet")
    world.send(Request("dee", "phone", "t1", post("hello all")))
    world.ack("ann", "tablet", 3)
    world.attach("ann", "tablet")
    world.attach("eve", "phone")
    world.missing("ann", "phone", 1, 3)
    world.send(Request("ann", "phone", "t1", change_members(add=["cy"])))
    world.send(Request("cy", "phone", "t1", post("back")))
    world.send(Request("eve", "phone", "t3", post("late")))
    return world


def requests_of(world: World) -> Iterable[MemoryRecord]:
    """All requests that were written."""
    return [record for (topic, _), log in world.logs.items() if topic == "ingest.requests" for record in log]
