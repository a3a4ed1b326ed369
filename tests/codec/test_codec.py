"""Framing, versions and bad bytes (streams/codec/)."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from avro.io import BinaryDecoder, DatumReader
from avro.schema import parse
from hypothesis import given
from hypothesis import strategies as st

from streams.codec import RESOURCES, Codec, fingerprint_of
from streams.codec.history import publish
from streams.codec.schema import self_contained
from streams.errors import Undecodable, UnknownSchema
from tests.schemas.by_hand import fingerprint
from tests.schemas.values import values_of

CODEC = Codec()
NAMES = sorted(CODEC.formats)
RESULT = {
    "token": {"timestamp_ms": 1, "nonce": 2},
    "status": "ACCEPTED",
    "message_id": bytes(range(16)),
    "server_at_ms": 3,
    "code": None,
    "account_id": "ann",
    "endpoint_id": "phone",
}
FRAME_BYTES = 10

# By hand from the schema: C3 01, fingerprint, branch 1, zigzag 1 and 2, ACCEPTED, branch 1 and sixteen bytes,
# zigzag 3, branch 0, "ann", "phone".
RESULT_BYTES = bytes.fromhex(
    "c301 e8300ef3dccb1c16 02 02 04 00 02 000102030405060708090a0b0c0d0e0f 06 00 06616e6e 0a70686f6e65"
)


def test_a_value_is_the_magic_the_fingerprint_and_the_body() -> None:
    assert CODEC["SendResult"].encode(RESULT) == RESULT_BYTES
    assert CODEC.decode(RESULT_BYTES) == ("SendResult", RESULT)


@pytest.mark.parametrize("name", NAMES)
def test_fingerprints_are_those_of_the_specification(name: str) -> None:
    schema = CODEC[name].schema
    assert fingerprint_of(schema) == fingerprint(self_contained(schema))


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_what_is_encoded_is_decoded_and_reads_the_same_elsewhere(name: str, data: st.DataObject) -> None:
    fields = data.draw(values_of(CODEC[name].schema))
    value = CODEC[name].encode(fields)
    assert CODEC.decode(value) == (name, fields)
    reader = DatumReader(parse(json.dumps(self_contained(CODEC[name].schema))))
    assert reader.read(BinaryDecoder(BytesIO(value[FRAME_BYTES:]))) == without_names(fields)


def without_names(value: Any) -> Any:
    """The value as a decoder gives it that does not name the branches of unions."""
    if isinstance(value, tuple):
        return without_names(value[1])
    if isinstance(value, dict):
        return {key: without_names(one) for key, one in value.items()}
    if isinstance(value, list):
        return [without_names(one) for one in value]
    return value


@given(data=st.data(), name=st.sampled_from(NAMES))
def test_bytes_that_follow_a_record_are_refused(data: st.DataObject, name: str) -> None:
    value = CODEC[name].encode(data.draw(values_of(CODEC[name].schema)))
    with pytest.raises(Undecodable, match="follow the record"):
        CODEC.decode(value + data.draw(st.binary(min_size=1, max_size=4)))


@given(data=st.data(), name=st.sampled_from(NAMES))
def test_a_value_that_was_cut_is_refused(data: st.DataObject, name: str) -> None:
    value = CODEC[name].encode(data.draw(values_of(CODEC[name].schema)))
    length = data.draw(st.integers(0, len(value) - 1))
    with pytest.raises((Undecodable, UnknownSchema)):
        CODEC.decode(value[:length])


@given(body=st.binary(max_size=64), name=st.sampled_from(NAMES))
def test_any_bytes_give_a_record_or_a_named_error(body: bytes, name: str) -> None:
    """What cannot be decoded is UNDECODABLE, whatever it is."""
    with suppress(Undecodable):
        assert CODEC.decode(CODEC[name].frame + body)[0] == name


@pytest.mark.parametrize(
    "value", [None, b"", b"{}", b"\xc3\x01", b"\xc3\x01short", b"\x00\x00\x00\x00\x01body"]
)
def test_what_is_no_frame_is_undecodable(value: bytes | None) -> None:
    with pytest.raises(Undecodable):
        CODEC.decode(value)


def test_an_unknown_fingerprint_is_named() -> None:
    with pytest.raises(UnknownSchema, match="0102030405060708"):
        CODEC.decode(b"\xc3\x01" + bytes(range(1, 9)) + b"body")


def test_a_record_of_another_type_is_refused() -> None:
    with pytest.raises(Undecodable, match="expected a SendRequest, found a SendResult"):
        CODEC.decode_as("SendRequest", RESULT_BYTES)


@pytest.mark.parametrize(
    "change",
    [
        {"server_at_ms": 2**63},
        {"server_at_ms": "soon"},
        {"account_id": "\ud800"},
        {"account_id": None},
        {"status": "PERHAPS"},
        {"message_id": b"short"},
    ],
    ids=str,
)
def test_a_field_that_does_not_fit_is_refused_when_written(change: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        CODEC["SendResult"].encode({**RESULT, **change})


@pytest.fixture
def newer(tmp_path: Path) -> Codec:
    """A codec in which SendResult has one field more than it has today."""
    folder = Path(shutil.copytree(RESOURCES / "schemas", tmp_path / "schemas"))
    path = folder / "lockstep.SendResult.avsc"
    schema = json.loads(path.read_text())
    schema["fields"].append({"name": "region", "type": "string", "default": "here", "doc": "Where."})
    path.write_text(json.dumps(schema))
    publish(folder)
    return Codec(folder)


def test_an_older_version_is_read_with_the_defaults_of_the_newer(newer: Codec) -> None:
    assert newer.decode(RESULT_BYTES) == ("SendResult", {**RESULT, "region": "here"})


def test_an_older_version_is_split_like_the_newest(newer: Codec) -> None:
    split = newer["SendResult"].split("message_id")
    head, tail = split.read(RESULT_BYTES)
    assert head == {"token": RESULT["token"], "status": "ACCEPTED"}
    assert split.decode_tail(tail)["region"] == "here"
    assert newer.decode(split.write(head, tail)) == ("SendResult", {**RESULT, "region": "here"})


def test_a_newer_version_is_unknown_until_it_is_published_here(newer: Codec) -> None:
    with pytest.raises(UnknownSchema):
        CODEC.decode(newer["SendResult"].encode({**RESULT, "region": "there"}))


def test_registry_framing_is_a_zero_and_the_id_and_both_framings_are_read() -> None:
    registry = Codec(registry_ids={"SendResult": 258})
    value = registry["SendResult"].encode(RESULT)
    assert value == b"\x00\x00\x00\x01\x02" + RESULT_BYTES[FRAME_BYTES:]
    assert registry.decode(value) == registry.decode(RESULT_BYTES) == ("SendResult", RESULT)
    with pytest.raises(UnknownSchema, match="registry id 259"):
        registry.decode(b"\x00\x00\x00\x01\x03" + RESULT_BYTES[FRAME_BYTES:])
    head, tail = registry["SendResult"].split("server_at_ms").read(value)
    assert registry["SendResult"].split("server_at_ms").write(head, tail) == value
