"""A request is read the same by hand and by the codec, and leaves as every Avro library reads it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streams.codec import Codec
from streams.codec.schema import RESOURCES, fingerprint_of, self_contained
from streams.errors import ConfigurationError, RecordError
from streams.ids import Token
from streams.ingest.request import RequestReader, read_by_hand
from tests.ingest.scenes import CODEC, NOW_MS, Scene, post, record_of, request, request_record, variant
from tests.schemas.values import values_of

FORMAT = CODEC["SendRequest"]
TAIL = FORMAT.split("thread_id")
READER = RequestReader(CODEC)
FRAME_BYTES = 10


def long(number: int) -> bytes:
    """A non-negative Avro long, minimal."""
    out, rest = b"", number << 1
    while rest > 127:
        out, rest = out + bytes([rest & 127 | 128]), rest >> 7
    return out + bytes([rest])


@given(values_of(FORMAT.schema))
def test_every_request_is_read_as_the_codec_reads_it(fields: dict[str, Any]) -> None:
    """Fields are the codec's, and the encoded pieces put together are the request's own bytes."""
    value = FORMAT.encode(fields)
    found = READER.read(value)
    assert found[:6] == (
        fields["account_id"],
        fields["endpoint_id"],
        Token(**fields["token"]),
        fields["thread_id"],
        fields["recipients"],
        fields["operation"],
    )
    assert found.sender.names_bytes + (found.sender.token_bytes or b"") + found.payload_bytes == value[10:]


@given(values_of(FORMAT.schema), st.integers(FRAME_BYTES, 200), st.binary(max_size=3), st.integers(0, 3))
@example(request(operation=("lockstep.Edit", {"message_id": bytes(16), "body": b"abc"})), 62, b"\x01", 1)
def test_bytes_are_read_by_hand_only_as_the_codec_reads_them(
    fields: dict[str, Any], at: int, inserted: bytes, removed: int
) -> None:
    """Bytes changed anywhere are either read as the codec reads them, or left to it."""
    value = FORMAT.encode(fields)
    value = value[:at] + inserted + value[at + removed :]
    try:
        found = read_by_hand(value)
    except (ValueError, IndexError):
        return
    assert found == READER._read_by_codec(value)
    assert FORMAT.encode(CODEC.decode_as("SendRequest", value)) == value


@given(values_of(FORMAT.schema), st.integers(0, 200), st.binary(max_size=12), st.integers(0, 12))
def test_no_bytes_stop_the_stage(fields: dict[str, Any], at: int, inserted: bytes, removed: int) -> None:
    """D18: whatever the bytes, a request ends as an answer, as a dead letter, or as both."""
    value = FORMAT.encode({**fields, "account_id": "ann"})
    scene = Scene()
    scene.take(record_of(value[:at] + inserted + value[at + removed :]))
    assert scene.shard.outputs or scene.shard.dead


@given(values_of(FORMAT.schema))
def test_what_is_sent_on_is_what_was_asked(fields: dict[str, Any]) -> None:
    """From thread_id on, a ThreadOperation holds the bytes of its request."""
    scene = Scene()
    record = request_record(
        {**request(), "operation": fields["operation"], "recipients": fields["recipients"]}
    )
    scene.take(record)
    _, tail = TAIL.read(record.value or b"")
    for sent in scene.shard.outputs:
        if sent.topic == "thread.operations":
            assert CODEC["ThreadOperation"].split("thread_id").read(sent.value)[1] == tail


LATE = long(NOW_MS)
PLAIN = FORMAT.encode(request(recipients=["bob"], operation=post(b"hello")))
LOOSE = {
    "a size of two bytes where one would do": PLAIN.replace(b"\x0cthread", b"\x8c\0thread"),
    "a timestamp of more bytes than it needs": PLAIN.replace(LATE, LATE[:-1] + bytes([LATE[-1] | 128, 0])),
    "a timestamp of twelve bytes": PLAIN.replace(
        LATE, LATE[:-1] + bytes([LATE[-1] | 128]) + b"\x80" * 5 + b"\0"
    ),
    "a negative size": PLAIN.replace(b"\x0cthread", b"\x0dthread"),
    "an array block that says its size": PLAIN.replace(b"\x02\x02\x06bob\0", b"\x02\x01\x08\x06bob\0"),
    "a negative branch": PLAIN.replace(b"bob\0\0\x14", b"bob\0\x0b\x14"),
    "a branch of two bytes": PLAIN.replace(b"bob\0\0\x14", b"bob\0\x80\0\x14"),
}


@pytest.mark.parametrize("name", LOOSE)
def test_a_loose_encoding_leaves_as_the_strict_one(name: str) -> None:
    """What Avro or our decoder allows beyond the minimal form is accepted or rejected, but never sent on."""
    assert LOOSE[name] != PLAIN
    strict, loose = Scene(), Scene()
    strict.take(record_of(PLAIN))
    (answer,) = loose.take(record_of(LOOSE[name]))
    if answer["status"] == "ACCEPTED":
        assert loose.shard.outputs == strict.shard.outputs
        assert [one["status"] for one in loose.take(record_of(PLAIN))] == ["DUPLICATE"]
    else:
        assert (answer["status"], len(loose.shard.dead)) == ("REJECTED", 1)


def older_codec(folder: Path) -> tuple[Codec, bytes]:
    """A codec that knows an older version of SendRequest, and the frame of that version."""
    shutil.copytree(RESOURCES / "schemas", folder / "schemas")
    older = json.loads(json.dumps(self_contained(FORMAT.schema)))
    operation = next(field for field in older["fields"] if field["name"] == "operation")
    assert operation["type"].pop()["name"].endswith("ChangeMembers")
    mark = fingerprint_of(older)
    (folder / "schemas" / "history" / "lockstep.SendRequest.older.avsc").write_text(json.dumps(older))
    return Codec(folder / "schemas"), b"\xc3\x01" + mark


def test_a_request_of_an_older_version_leaves_as_the_newest(tmp_path: Path) -> None:
    """A writer that is behind is understood, and what it sent goes on in the newest schema."""
    codec, frame = older_codec(tmp_path)
    older, newest = Scene(codec=codec), Scene()
    newest.take(record_of(PLAIN))
    (answer,) = older.take(record_of(frame + PLAIN[FRAME_BYTES:]))
    assert answer["status"] == "ACCEPTED"
    assert older.shard.outputs == newest.shard.outputs


def test_both_framings_are_understood() -> None:
    """With the registry's framing switched on, requests in either framing are one and the same."""
    codec = Codec(registry_ids={"SendRequest": 7, "ThreadOperation": 8, "SendResult": 9})
    for first, second in ((PLAIN, b"\0\0\0\0\x07" + PLAIN[10:]), (b"\0\0\0\0\x07" + PLAIN[10:], PLAIN)):
        scene = Scene(codec=codec)
        for value in (first, second):
            scene.shard.run(scene.stage, record_of(value))
        answers = [one.value for one in scene.shard.outputs if one.topic == "ingest.results"]
        assert [codec.decode(value)[1]["status"] for value in answers] == ["ACCEPTED", "DUPLICATE"]


@pytest.mark.parametrize("record", ["SendRequest", "SendResult", "ThreadOperation"])
def test_a_layout_that_the_stage_does_not_know_is_refused(tmp_path: Path, record: str) -> None:
    """A schema that has grown a field stops the stage where it is made, and is never written without it."""
    shutil.copytree(RESOURCES / "schemas", tmp_path / "schemas")
    path = tmp_path / "schemas" / f"lockstep.{record}.avsc"
    text = path.read_text().rstrip().removesuffix("]\n}")
    path.write_text(text.rstrip() + ', {"name": "added", "type": "string", "default": ""}]}')
    with pytest.raises(ConfigurationError, match=record):
        Scene(codec=Codec(tmp_path / "schemas"))


def test_a_number_that_other_libraries_refuse_is_rejected() -> None:
    """A width beyond Avro's int is no width, though our decoder would take it."""
    value = FORMAT.encode(request(operation=post(media=[variant(width=1)])))
    wide = value.replace(b"small\x02", b"small" + long(2**31))
    scene = Scene()
    assert [answer["code"] for answer in scene.take(record_of(wide))] == ["MEDIA_INVALID"]


def test_a_reader_names_what_it_could_not_read() -> None:
    """Everything that cannot be read is a RecordError, so that the partition goes on."""
    for value in (None, b"", PLAIN[:11], PLAIN[:-1], PLAIN + b"\0"):
        with pytest.raises(RecordError):
            READER.read(value)
