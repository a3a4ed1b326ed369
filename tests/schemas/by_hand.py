"""Avro's fingerprint written from the specification, to check the one in use against.

(The avro package spells a fixed type out at each use in its canonical form, where the specification and Java
name it after the first; so its fingerprints of such schemas are its own.)
"""

from __future__ import annotations

import json
from typing import Any

_PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
_EMPTY = 0xC15D213AA4D7A795
_ORDER = ("name", "type", "fields", "symbols", "items", "values", "size")


def _rabin(data: bytes) -> int:
    result = _EMPTY
    for byte in data:
        result ^= byte
        for _ in range(8):
            result = (result >> 1) ^ (_EMPTY if result & 1 else 0)
    return result


def canonical_form(node: Any, defined: set[str] | None = None) -> Any:
    """The parsing canonical form of a schema whose names are all full, as JSON values."""
    defined = set() if defined is None else defined
    if isinstance(node, str):
        assert node in _PRIMITIVES or node in defined, f"{node} is not defined before its use"
        return node
    if isinstance(node, list):
        return [canonical_form(one, defined) for one in node]
    if node["type"] in ("record", "enum", "fixed"):
        assert node["name"] not in defined, f"{node['name']} is defined twice"
        defined.add(node["name"])
    kept = {key: node[key] for key in _ORDER if key in node}
    if "fields" in kept:
        kept["fields"] = [
            {"name": field["name"], "type": canonical_form(field["type"], defined)}
            for field in kept["fields"]
        ]
    for key in ("items", "values"):
        if key in kept:
            kept[key] = canonical_form(kept[key], defined)
    return kept


def fingerprint(schema: Any) -> bytes:
    """CRC-64-AVRO of a schema, little-endian as on the wire."""
    text = json.dumps(canonical_form(schema), separators=(",", ":"))
    return _rabin(text.encode()).to_bytes(8, "little")
