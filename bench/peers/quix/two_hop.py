"""The two-hop job on Quix Streams: one application, its own repartition by `group_by`, exactly-once.

Runs in a virtual environment of its own (requirements.txt). Written to be as fast as it honestly can be: a request is
decoded once, its bytes are carried on, tokens expire by the store's own TTL.

    two_hop.py BOOTSTRAP GROUP STATE_DIR COMMIT_SECONDS INPUT UPDATES DELIVERIES SCHEMA
"""

from __future__ import annotations

import sys
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import fastavro
from quixstreams import Application, State
from quixstreams.models.serializers import Serializer

FRAME_BYTES = 10
AGE_MAX = timedelta(hours=24)

Parsed = tuple[str, bytes, bytes]
"""Endpoint and nonce, recipient, the request as it came."""


class RequestBytes(Serializer):
    """Sends the request of a parsed one."""

    def __call__(self, value: Parsed, ctx: object) -> bytes:  # noqa: ARG002  # the library's signature
        return value[2]


def main(
    bootstrap: str,
    group: str,
    state_dir: str,
    commit: str,
    source: str,
    updates: str,
    deliveries: str,
    schema: str,
) -> None:
    """Serve until SIGTERM."""
    request_schema = fastavro.schema.load_schema(Path(schema))
    read = fastavro.schemaless_reader

    def parse(value: bytes) -> Parsed:
        stream = BytesIO(value)
        stream.seek(FRAME_BYTES)
        request = read(stream, request_schema, None)
        (recipient,) = request["recipients"]
        return f"{request['endpoint_id']}/{request['token']['nonce']}", recipient.encode(), value

    def is_new(
        value: Parsed, state: State
    ) -> bool:  # the state is that of the record's key, the client's account
        if state.exists(value[0]):
            return False
        state.set_bytes(value[0], b"1", ttl=AGE_MAX)
        return True

    def numbered(value: bytes, state: State) -> bytes:
        number = state.get("number", 0) + 1
        state.set("number", number)
        return number.to_bytes(8, "big") + value

    app = Application(
        broker_address=bootstrap,
        consumer_group=group,
        auto_offset_reset="earliest",
        commit_interval=float(commit),
        state_dir=state_dir,
        processing_guarantee="exactly-once",
        consumer_poll_timeout=0.05,
        consumer_extra_config={"session.timeout.ms": 10_000, "fetch.wait.max.ms": 50},
        producer_extra_config={"linger.ms": 5, "queue.buffering.max.messages": 1_000_000},
        loglevel="WARNING",
    )
    raw = {
        "key_deserializer": "bytes",
        "value_deserializer": "bytes",
        "key_serializer": "bytes",
        "value_serializer": "bytes",
    }
    stream = app.dataframe(app.topic(source, **raw)).apply(parse).filter(is_new, stateful=True)
    stream = stream.group_by(
        lambda value: value[1], name="recipient", **{**raw, "value_serializer": RequestBytes()}
    ).apply(numbered, stateful=True)
    stream.to_topic(app.topic(updates, **raw))
    stream.to_topic(app.topic(deliveries, **raw))
    app.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
