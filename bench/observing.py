"""What it costs to watch: the observer's time for a unit of work, by message, and what a scrape costs.

    python -m bench.observing

A unit of M messages is made as the pipeline would write it (job J1b: two updates and two deliveries a
message) over four shards, and given to the observer. The share is of the worker's CPU per message in
docs/performance.md: the observer's own calls are all that watching adds to a unit, beside one small tuple an input.
The same question asked of whole runs, with and without: `python -m bench observing`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from streams.adapters.memory import MemoryRecord
from streams.codec import Codec
from streams.engine.shard import Output
from streams.observe.exposition import exposition
from streams.observe.metric import PIPELINE
from streams.observe.units import Phases, Served, Units
from streams.observe.worker import View, samples_of
from streams.sequencer.age import AppendAge

WORKER_US_A_MESSAGE = 303.0
"""docs/performance.md, the whole pipeline; lower is a harder test."""
SHARDS = 4
INPUTS = ("ingest.requests", "ingest.refusals", "thread.operations", "inbox.appends", "endpoint.commands")
WRITTEN = (
    *(
        "thread.operations",
        "ingest.results",
        "shard.ledger",
        "thread.messages",
        "inbox.appends",
        "inbox.appends",
    ),
    *("inbox.updates", "inbox.updates", "delivery.mobile", "delivery.mobile", "shard.state", "shard.state"),
)


def append_of(codec: Codec) -> MemoryRecord:
    """Return an append as fanout writes it."""
    content = ("lockstep.Post", {"content_type": "text/plain", "body": b"x" * 120, "media": []})
    fields: dict[str, Any] = {
        "account_id": "account-00001",
        "token": None,
        "message_id": bytes(16),
        "thread_id": "thread-00001",
    }
    fields |= {"thread_position": 7, "sender_id": "account-00002", "server_at_ms": 1, "kind": "post"}
    value = codec["InboxAppend"].encode({**fields, "content": content})
    return MemoryRecord(topic="inbox.appends", key=b"account-00001", value=value, offset=1, timestamp=1)


def us_of_unit(units: Units, messages: int, record: MemoryRecord, rounds: int) -> float:
    """Return the microseconds that one unit of so many messages costs the observer; the best of some rounds."""
    outputs: list[Output] = [(topic, 0, b"key", b"value") for _ in range(messages) for topic in WRITTEN]
    served = [Served(topic, messages // SHARDS, record, record) for _ in range(SHARDS) for topic in INPUTS]
    best = float("inf")
    for _ in range(rounds):
        began_at = time.perf_counter()
        units.done(served, outputs, Phases(0.03, 0.03, 0.001))
        best = min(best, time.perf_counter() - began_at)
    return best * 1e6


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.observing")
    parser.add_argument("--rounds", type=int, default=200)
    arguments = parser.parse_args()
    codec = Codec()
    units = Units(INPUTS, {"inbox.appends": AppendAge(codec)}, "dead.letters", lambda _: {})
    record = append_of(codec)
    sizes = []
    for messages in (20, 100, 500, 2_000):
        us = us_of_unit(units, messages, record, arguments.rounds)
        share = us / messages / WORKER_US_A_MESSAGE
        sizes.append(
            {"messages": messages, "us_a_unit": round(us, 1), "percent_of_worker": round(100 * share, 2)}
        )
    view = View(
        worker="worker-0",
        app=PIPELINE,
        broker=lambda: "up",
        has_joined=lambda: True,
        shards=list,
        counters=dict,
        more=lambda _samples, _rows: None,
        units=units,
    )
    began_at = time.perf_counter()
    for _ in range(20):
        exposition(PIPELINE, samples_of(view))
    scrape_ms = round((time.perf_counter() - began_at) * 50, 2)
    sys.stdout.write(json.dumps({"units": sizes, "scrape_ms": scrape_ms}, indent=2) + "\n")


if __name__ == "__main__":
    main()
