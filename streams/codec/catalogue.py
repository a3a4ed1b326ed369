"""All record types, and the reading of every version of them that was published. Tested in tests/codec/."""

from __future__ import annotations

import json
from functools import cached_property
from io import BytesIO
from typing import TYPE_CHECKING, Any

from fastavro import parse_schema

from streams.codec.formats import MAGIC, REGISTRY_MAGIC, Format, read_record, refuse_rest
from streams.codec.schema import NAMESPACE, RESOURCES, Schema, current_schemas, fingerprint_of, short_name
from streams.errors import Undecodable, UnknownSchema

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MAGIC_BYTES = len(MAGIC) + 8
_REGISTRY_BYTES = len(REGISTRY_MAGIC) + 4


class Codec:
    """All record types, loaded once from a folder of schemas; safe to share, holds no open files.

    With `registry_ids` (record name -> schema id) those records are written in registry framing; both
    framings are read then. A registry id stands for the newest version of its record only.
    """

    def __init__(self, folder: Path | None = None, registry_ids: Mapping[str, int] | None = None) -> None:
        self._folder = folder or RESOURCES / "schemas"
        self._registry_ids = dict(registry_ids or {})
        self.formats: dict[str, Format] = {}
        for schema in current_schemas(self._folder):
            name = short_name(schema)
            number = self._registry_ids.get(name)
            self.formats[name] = Format(name, schema, registry_id=number, renew=self._renewed)

    def __getitem__(self, name: str) -> Format:
        return self.formats[name]

    @cached_property
    def published(self) -> dict[bytes, tuple[str, Schema]]:
        """Fingerprint -> record name and schema, of every version that was ever published."""
        known = {one.fingerprint: (one.name, one.schema) for one in self.formats.values()}
        for path in sorted((self._folder / "history").glob(f"{NAMESPACE}.*.avsc")):
            schema = parse_schema(json.loads(path.read_text(encoding="utf-8")))
            assert isinstance(schema, dict), f"{path.name} is no record"
            if short_name(schema) in self.formats:
                known.setdefault(fingerprint_of(schema), (short_name(schema), schema))
        return known

    @cached_property
    def _by_registry_id(self) -> dict[int, str]:
        return {number: name for name, number in self._registry_ids.items()}

    def decode(self, value: bytes | None) -> tuple[str, dict[str, Any]]:
        """Return (record name, fields) of any published record.

        Raises Undecodable for bytes that are not what they say, UnknownSchema for a fingerprint or id that
        was never published. Fields that the writer's version lacks get their defaults; trailing bytes are
        an error.
        """
        if value is None:
            raise Undecodable("the record has no value")
        name, written, start = self._writer_of(value)
        newest = self.formats[name].schema
        source = BytesIO(value)
        source.seek(start)
        fields = read_record(source, written, None if written is newest else newest, name)
        refuse_rest(source, value, name)
        return name, fields

    def decode_as(self, name: str, value: bytes | None) -> dict[str, Any]:
        """Return the fields of a record that must be a `name`; raise Undecodable when it is another."""
        found, fields = self.decode(value)
        if found != name:
            raise Undecodable(f"expected a {name}, found a {found}")
        return fields

    def _writer_of(self, value: bytes) -> tuple[str, Schema, int]:
        """Return the record's name, the schema that it was written with, and where its body begins."""
        if value.startswith(MAGIC) and len(value) >= _MAGIC_BYTES:
            found = self.published.get(value[2:_MAGIC_BYTES])
            if found is None:
                raise UnknownSchema(f"no published schema has the fingerprint {value[2:_MAGIC_BYTES].hex()}")
            return *found, _MAGIC_BYTES
        if self._registry_ids and value.startswith(REGISTRY_MAGIC) and len(value) >= _REGISTRY_BYTES:
            number = int.from_bytes(value[1:_REGISTRY_BYTES], "big")
            name = self._by_registry_id.get(number)
            if name is None:
                raise UnknownSchema(f"topology.yaml names no record for the registry id {number}")
            return name, self.formats[name].schema, _REGISTRY_BYTES
        raise Undecodable("neither Avro single-object encoding (C3 01) nor a framing that is switched on")

    def _renewed(self, name: str, value: bytes) -> bytes:
        """Return a value of any published version of a record, written in the newest one."""
        return self.formats[name].encode(self.decode_as(name, value))
