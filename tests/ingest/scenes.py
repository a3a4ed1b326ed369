"""The ingest stage over a shard in memory: a client sends, it and the thread hear."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from streams.adapters.memory import MemoryRecord, MemoryShard, MemoryState
from streams.codec import Codec
from streams.ids import shard_of
from streams.ingest.stage import IngestStage

CODEC = Codec()
SECOND_MS = 1_000
HOUR_MS = 3_600_000
NOW_MS = 1_700_000_000_000
LOOKUPS = ("ingest.filter_lookups", "ingest.exact_lookups")
Fields = dict[str, Any]


@dataclass(frozen=True)
class Times:
    """The settings of topology.yaml, as shipped."""

    threshold_ms: int = 24 * HOUR_MS
    clock_ahead_ms: int = 300 * SECOND_MS
    ledger_bucket_ms: int = HOUR_MS


TIMES = Times()


def post(body: bytes = b"hello", content_type: str = "text/plain", media: list[Fields] | None = None) -> Any:
    return ("lockstep.Post", {"content_type": content_type, "body": body, "media": media or []})


def variant(**changes: Any) -> Fields:
    return {"label": "small", "width": 100, "bytes": 5_000, "address": "media/1", **changes}


def request(timestamp_ms: int = NOW_MS, nonce: int = 1, **changes: Any) -> Fields:
    """The fields of a well-formed request, with changes."""
    return {
        "account_id": "ann",
        "endpoint_id": "phone",
        "token": {"timestamp_ms": timestamp_ms, "nonce": nonce},
        "thread_id": "thread",
        "recipients": None,
        "operation": post(),
        **changes,
    }


def request_record(fields: Fields, *, shards: int = 1) -> MemoryRecord:
    account = fields["account_id"]
    return record_of(CODEC["SendRequest"].encode(fields), account.encode(), shards=shards)


def record_of(value: bytes | None, key: bytes | None = b"ann", *, shards: int = 1) -> MemoryRecord:
    partition = shard_of(key.decode(errors="replace"), shards) if key else 0
    return MemoryRecord("ingest.requests", key, value, partition, headers=[("trace", b"1")])


class CountingState(MemoryState):
    """Counts every access."""

    def __init__(self) -> None:
        super().__init__()
        self.accesses = 0

    def get(self, key: bytes) -> bytes | None:
        self.accesses += 1
        return super().get(key)

    def may_contain(self, key: bytes) -> bool:
        self.accesses += 1
        return super().may_contain(key)

    def put(self, key: bytes, value: bytes) -> None:
        self.accesses += 1
        super().put(key, value)

    def delete_range(self, start: bytes, end: bytes) -> None:
        self.accesses += 1
        super().delete_range(start, end)


@dataclass
class Scene:
    """One shard with its ingest stage."""

    shard: MemoryShard = field(default_factory=lambda: MemoryShard(now_ms=NOW_MS, state=CountingState()))
    codec: Codec = CODEC
    times: Times = TIMES

    def __post_init__(self) -> None:
        self.stage = IngestStage(self.shard, self.codec, self.times)

    @property
    def accesses(self) -> int:
        state = self.shard.state
        assert isinstance(state, CountingState)
        return state.accesses

    def restart(self) -> None:
        """A new stage on the same state, as after a restart of the worker."""
        self.stage = IngestStage(self.shard, self.codec, self.times)

    def send(self, timestamp_ms: int = NOW_MS, nonce: int = 1, **changes: Any) -> Fields:
        """Send a request and return the one answer to it."""
        answers = self.take(request_record(request(timestamp_ms, nonce, **changes)))
        assert len(answers) == 1
        return answers[0]

    def take(self, record: MemoryRecord) -> list[Fields]:
        """Process one record and return the answers it brought."""
        before = len(self.shard.outputs)
        self.shard.run(self.stage, record)
        new = self.shard.outputs[before:]
        return [CODEC.decode_as("SendResult", one.value) for one in new if one.topic == "ingest.results"]

    def refuse(self, answer: Fields, code: str = "NOT_A_MEMBER") -> list[Fields]:
        """Send back the refusal of what `answer` accepted."""
        fields = {**answer, "code": code}
        key = answer["account_id"].encode()
        value = CODEC["Refusal"].encode(fields)
        return self.take(MemoryRecord("ingest.refusals", key, value))

    @property
    def operations(self) -> list[Fields]:
        sent = [one for one in self.shard.outputs if one.topic == "thread.operations"]
        return [CODEC.decode_as("ThreadOperation", one.value) for one in sent]

    def lookups(self) -> tuple[int, int]:
        """Filter and exact look-ups since the last call."""
        counted = tuple(self.shard.counters.pop(name, 0) for name in LOOKUPS)
        return counted[0], counted[1]
