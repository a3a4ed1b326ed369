"""The two-hop job on Faust as its documentation would write it: two agents, two tables, its own exactly_once.

Runs in a virtual environment of its own (requirements.txt).

    two_hop.py BOOTSTRAP NAME DATA_DIR WEB_PORT INPUT UPDATES DELIVERIES SCHEMA PARTITIONS
"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from typing import Any

_, BOOTSTRAP, NAME, DATA_DIR, WEB_PORT, INPUT, UPDATES, DELIVERIES, SCHEMA, PARTITIONS = sys.argv
sys.argv = sys.argv[:1]  # Faust reads options from it at import

import fastavro  # noqa: E402  # after sys.argv is safe
import faust  # noqa: E402  # after sys.argv is safe

FRAME_BYTES = 10

app = faust.App(
    NAME,
    broker=f"kafka://{BOOTSTRAP}",
    store="rocksdb://",
    datadir=DATA_DIR,
    processing_guarantee="exactly_once",
    topic_partitions=int(PARTITIONS),
    topic_replication_factor=1,
    broker_commit_interval=0.1,
    broker_session_timeout=10.0,
    broker_heartbeat_interval=2.0,
    broker_max_poll_records=4_000,
    consumer_auto_offset_reset="earliest",
    stream_wait_empty=False,
    web_port=int(WEB_PORT),
    web_host="127.0.0.1",
    web_bind="127.0.0.1",
)
raw: dict[str, Any] = {
    "key_type": bytes,
    "value_type": bytes,
    "key_serializer": "raw",
    "value_serializer": "raw",
}
requests = app.topic(INPUT, **raw)
appends = app.topic("bench.appends", partitions=int(PARTITIONS), **raw)
updates = app.topic(UPDATES, **raw)
deliveries = app.topic(DELIVERIES, **raw)
seen = app.Table("seen", partitions=int(PARTITIONS), key_type=bytes, value_type=bytes)
numbers = app.Table("numbers", partitions=int(PARTITIONS), key_type=bytes, value_type=int, default=int)
schema = fastavro.schema.load_schema(Path(SCHEMA))


@app.agent(requests)
async def dedup(stream: Any) -> None:
    """Let each token of a client through once, to its recipient."""
    async for event in stream.events():
        source = BytesIO(event.value)
        source.seek(FRAME_BYTES)
        request = fastavro.schemaless_reader(source, schema, None)
        token = event.key + f"/{request['endpoint_id']}/{request['token']['nonce']}".encode()
        if token in seen:
            continue
        seen[token] = b"1"
        (recipient,) = request["recipients"]
        await appends.send(key=recipient.encode(), value=event.value)


@app.agent(appends)
async def number(stream: Any) -> None:
    """Give each recipient's requests the numbers 1, 2, 3, ... and write them to two outputs."""
    async for recipient, value in stream.items():
        count = numbers[recipient] + 1
        numbers[recipient] = count
        numbered = count.to_bytes(8, "big") + value
        await updates.send(key=recipient, value=numbered)
        await deliveries.send(key=recipient, value=numbered)


if __name__ == "__main__":
    faust.Worker(app, loglevel="warning", quiet=True).execute_from_commandline()
