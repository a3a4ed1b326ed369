"""Avro schemas as plain values: where they lie, their fingerprint, whole or cut to a run of their fields.

Tested in tests/codec/ and tests/schemas/.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastavro import parse_schema
from fastavro.schema import fingerprint, load_schema, to_parsing_canonical_form

if TYPE_CHECKING:
    from collections.abc import Mapping

Schema = dict[str, Any]

NAMESPACE = "lockstep"


def _resources() -> Path:
    package = Path(__file__).parent.parent
    packaged = package / "_data"
    return packaged if packaged.is_dir() else package.parent


RESOURCES = _resources()
"""Where schemas/ and topology.yaml lie: beside the package in a checkout, inside it in an installed wheel."""


def short_name(schema: Schema) -> str:
    """Return the name of a named schema without the namespace."""
    return str(schema["name"]).removeprefix(f"{NAMESPACE}.")


def fingerprint_of(schema: Schema) -> bytes:
    """Return the 8 bytes of CRC-64-AVRO in the order in which they stand on the wire.

    It covers what decides about bytes (names, order, types) and nothing else: docs and defaults may change.
    """
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


def current_schemas(folder: Path) -> list[Schema]:
    """Return the parsed newest version of every record, each with all the names that it uses."""
    found = []
    for path in sorted(folder.glob(f"{NAMESPACE}.*.avsc")):
        schema = load_schema(str(path))
        if isinstance(schema, dict) and schema["type"] == "record":
            found.append(schema)
    return found


def self_contained(schema: Schema) -> Schema:
    """Return a parsed schema as plain JSON values; every name is spelled out where it is first used."""
    whole: Schema = _expand(schema, schema.get("__named_schemas", {}), set())
    return whole


def part_of(schema: Schema, start: int, end: int, suffix: str) -> Schema:
    """Return the schema of a run of a record's fields, under the record's name and a suffix."""
    part = {
        "type": "record",
        "name": f"{schema['name']}{suffix}",
        "fields": [{"name": field["name"], "type": field["type"]} for field in schema["fields"][start:end]],
    }
    return parse_schema(_expand(part, schema.get("__named_schemas", {}), set()))  # type: ignore[return-value]  # a record in, a record out


def _expand(node: Any, named: Mapping[str, Any], seen: set[str]) -> Any:  # noqa: ANN401  # any JSON value
    if isinstance(node, str):
        return _expand(named[node], named, seen) if node in named and node not in seen else node
    if isinstance(node, list):
        return [_expand(one, named, seen) for one in node]
    plain = {key: value for key, value in node.items() if not key.startswith("__")}
    if plain.get("type") in ("record", "enum", "fixed"):
        if plain["name"] in seen:
            return plain["name"]
        seen.add(plain["name"])
    if "fields" in plain:
        plain["fields"] = [
            {**field, "type": _expand(field["type"], named, seen)} for field in plain["fields"]
        ]
    for key in ("items", "values"):
        if key in plain:
            plain[key] = _expand(plain[key], named, seen)
    return plain
