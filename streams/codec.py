"""Avro on the wire: single-object encoding, registry framing, and records that are split in a head and a tail.

A value is `C3 01`, the schema's 8-byte CRC-64-AVRO fingerprint, then the Avro body; with registry framing it is
`00`, a 4-byte schema id, then the body. Every version in schemas/history can be read; the newest is written.

The cost of Avro grows with the number of fields, so the pipeline decodes a message once and from then on carries
what all recipients share as opaque bytes: a `Split` reads and writes only the first fields of a record (the head) and
leaves the rest (the tail) as it stands. Avro's body is the plain concatenation of its fields, which makes this exact.
Tested in tests/test_codec.py and tests/schemas/.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.schema import fingerprint, load_schema, to_parsing_canonical_form

from streams.errors import Undecodable, UnknownSchema

NAMESPACE = "lockstep"
MAGIC = b"\xc3\x01"
REGISTRY_MAGIC = b"\x00"
_MAGIC_BYTES = 10
_REGISTRY_BYTES = 5

Schema = dict[str, Any]


def _resources() -> Path:
    packaged = Path(__file__).parent / "_data"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent


RESOURCES = _resources()
"""Where schemas/ and topology.yaml lie: beside the package in a checkout, inside it in an installed wheel."""


def fingerprint_of(schema: Schema) -> bytes:
    """Return the 8 fingerprint bytes in the order in which they stand on the wire."""
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


class Format:
    """One record type: its newest schema, how it is framed, and the fields it can be split at."""

    def __init__(self, name: str, schema: Schema, registry_id: int | None) -> None:
        self.name = name
        self.schema = schema
        self.fingerprint = fingerprint_of(schema)
        self.frame = MAGIC + self.fingerprint
        if registry_id is not None:
            self.frame = REGISTRY_MAGIC + registry_id.to_bytes(4, "big")

    def encode(self, fields: Mapping[str, Any]) -> bytes:
        """Return the framed bytes of a record; raise ValueError or TypeError when a field does not fit."""
        out = BytesIO()
        out.write(self.frame)
        schemaless_writer(out, self.schema, fields)
        return out.getvalue()

    def split(self, first_of_tail: str) -> Split:
        """Return a reader and writer of the fields before `first_of_tail`."""
        return Split(self, first_of_tail)


class Split:
    """Reads and writes the head of a record and leaves its tail encoded."""

    def __init__(self, whole: Format, first_of_tail: str) -> None:
        names = [field["name"] for field in whole.schema["fields"]]
        at = names.index(first_of_tail)
        self.whole = whole
        self.frame = whole.frame
        self.head_schema = _part(whole.schema, 0, at, "Head")
        self.tail_schema = _part(whole.schema, at, len(names), "Tail")

    def read(self, value: bytes) -> tuple[dict[str, Any], bytes]:
        """Return (head, tail) of a value written with the newest schema; raise Undecodable otherwise."""
        frame = self.frame
        if not value.startswith(frame):
            raise Undecodable(f"expected a {self.whole.name} of the newest schema")
        source = BytesIO(value)
        source.seek(len(frame))
        try:
            head = schemaless_reader(source, self.head_schema, None, return_record_name=True)
        except Exception as error:  # the decoder raises whatever the bytes lead it into
            raise Undecodable(f"{self.whole.name}: {error}") from error
        return head, value[source.tell() :]  # type: ignore[return-value]  # a record schema decodes to a dictionary

    def write(self, head: Mapping[str, Any], tail: bytes) -> bytes:
        """Return the framed bytes of a record from its head and its encoded tail."""
        out = BytesIO()
        out.write(self.frame)
        schemaless_writer(out, self.head_schema, head)
        out.write(tail)
        return out.getvalue()

    def encode_tail(self, fields: Mapping[str, Any]) -> bytes:
        """Return the encoded tail."""
        out = BytesIO()
        schemaless_writer(out, self.tail_schema, fields)
        return out.getvalue()

    def decode_tail(self, tail: bytes) -> dict[str, Any]:
        """Return the fields of an encoded tail."""
        return _read(BytesIO(tail), self.tail_schema, None, self.whole.name)


class Codec:
    """All record types, loaded once from a folder of schemas; safe to share, holds no open files."""

    def __init__(self, folder: Path | None = None, registry_ids: Mapping[str, int] | None = None) -> None:
        self._folder = folder or RESOURCES / "schemas"
        self._registry_ids = dict(registry_ids or {})
        self.formats: dict[str, Format] = {}
        for path in sorted(self._folder.glob(f"{NAMESPACE}.*.avsc")):
            schema = load_schema(path)
            if isinstance(schema, dict) and schema["type"] == "record":
                name = schema["name"].removeprefix(f"{NAMESPACE}.")
                self.formats[name] = Format(name, schema, self._registry_ids.get(name))

    def __getitem__(self, name: str) -> Format:
        return self.formats[name]

    @cached_property
    def _published(self) -> dict[bytes, tuple[str, Schema]]:
        """Fingerprint -> record name and schema, of every version that was ever published."""
        known = {one.fingerprint: (one.name, one.schema) for one in self.formats.values()}
        for path in sorted((self._folder / "history").glob(f"{NAMESPACE}.*.avsc")):
            schema = parse_schema(load_schema(path, _injected_schemas=set(), named_schemas={}))
            if isinstance(schema, dict) and schema["type"] == "record":
                name = schema["name"].removeprefix(f"{NAMESPACE}.")
                known.setdefault(fingerprint_of(schema), (name, schema))
        return known

    @cached_property
    def _by_registry_id(self) -> dict[int, str]:
        return {number: name for name, number in self._registry_ids.items()}

    def decode(self, value: bytes | None) -> tuple[str, dict[str, Any]]:
        """Return (record name, fields) of any published record.

        Raises Undecodable for bytes that are not what they say, UnknownSchema for a fingerprint or id that was never
        published. Fields that the writer's version lacks get their defaults; trailing bytes are an error.
        """
        if value is None:
            raise Undecodable("the record has no value")
        if value.startswith(MAGIC) and len(value) >= _MAGIC_BYTES:
            found = self._published.get(value[2:_MAGIC_BYTES])
            if found is None:
                raise UnknownSchema(f"no published schema has the fingerprint {value[2:_MAGIC_BYTES].hex()}")
            start = _MAGIC_BYTES
        elif self._registry_ids and value.startswith(REGISTRY_MAGIC) and len(value) >= _REGISTRY_BYTES:
            number = int.from_bytes(value[1:_REGISTRY_BYTES], "big")
            name = self._by_registry_id.get(number)
            if name is None:
                raise UnknownSchema(f"topology.yaml names no record for the registry id {number}")
            found, start = (name, self.formats[name].schema), _REGISTRY_BYTES
        else:
            raise Undecodable("neither Avro single-object encoding (C3 01) nor a framing that is switched on")
        name, written = found
        newest = self.formats[name].schema
        source = BytesIO(value)
        source.seek(start)
        fields = _read(source, written, None if written is newest else newest, name)
        if source.tell() != len(value):
            raise Undecodable(f"{name}: {len(value) - source.tell()} bytes follow the record")
        return name, fields

    def decode_as(self, name: str, value: bytes | None) -> dict[str, Any]:
        """Return the fields of a record that must be a `name`; raise Undecodable when it is another."""
        found, fields = self.decode(value)
        if found != name:
            raise Undecodable(f"expected a {name}, found a {found}")
        return fields


def _read(source: BytesIO, writer: Schema, reader: Schema | None, name: str) -> dict[str, Any]:
    try:
        return schemaless_reader(source, writer, reader, return_record_name=True)  # type: ignore[return-value]  # a record schema decodes to a dictionary
    except Exception as error:  # the decoder raises whatever the bytes lead it into
        raise Undecodable(f"{name}: {type(error).__name__}: {error}") from error


def _part(schema: Schema, start: int, end: int, suffix: str) -> Schema:
    """Return the schema of a run of fields; names that stand earlier in the whole are expanded where first used."""
    part = {
        "type": "record",
        "name": f"{schema['name']}{suffix}",
        "fields": [{"name": field["name"], "type": field["type"]} for field in schema["fields"][start:end]],
    }
    named = schema.get("__named_schemas", {})
    return parse_schema(_expand(part, named, set()))  # type: ignore[return-value]  # a record in, a record out


def _expand(node: Any, named: Mapping[str, Any], seen: set[str]) -> Any:
    if isinstance(node, str):
        if node in named and node not in seen:
            return _expand(named[node], named, seen)
        return node
    if isinstance(node, list):
        return [_expand(one, named, seen) for one in node]
    plain = {key: value for key, value in node.items() if not key.startswith("__")}
    if plain.get("type") in ("record", "enum", "fixed"):
        if plain["name"] in seen:
            return plain["name"]
        seen.add(plain["name"])
    if "fields" in plain:
        plain["fields"] = [{**field, "type": _expand(field["type"], named, seen)} for field in plain["fields"]]
    for key in ("items", "values"):
        if key in plain:
            plain[key] = _expand(plain[key], named, seen)
    return plain
