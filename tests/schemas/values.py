"""Hypothesis strategies for the values of a schema, as the codec decodes them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from streams.codec import Schema

_PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "string": st.text(max_size=8),
    "bytes": st.binary(max_size=8),
}


def values_of(schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
    """Every value of a parsed record schema."""
    return _values(schema, dict(schema["__named_schemas"]))


def _values(node: Any, named: dict[str, Any]) -> st.SearchStrategy[Any]:
    if isinstance(node, list):
        return _union(node, named)
    if isinstance(node, str):
        return _PRIMITIVES[node] if node in _PRIMITIVES else _values(named[node], named)
    kind = node["type"]
    if kind == "record":
        return st.fixed_dictionaries(
            {field["name"]: _values(field["type"], named) for field in node["fields"]}
        )
    if kind == "enum":
        return st.sampled_from(node["symbols"])
    if kind == "fixed":
        return st.binary(min_size=node["size"], max_size=node["size"])
    if kind == "array":
        return st.lists(_values(node["items"], named), max_size=3)
    if kind == "map":
        return st.dictionaries(st.text(max_size=4), _values(node["values"], named), max_size=3)
    return _values(kind, named)


def _union(branches: list[Any], named: dict[str, Any]) -> st.SearchStrategy[Any]:
    records = [one for one in branches if _record_name(one, named)]
    options = []
    for branch in branches:
        name = _record_name(branch, named)
        values = _values(branch, named)
        options.append(st.tuples(st.just(name), values) if name and len(records) > 1 else values)
    return st.one_of(options)


def _record_name(node: Any, named: dict[str, Any]) -> str | None:
    whole = named.get(node, node) if isinstance(node, str) else node
    return str(whole["name"]) if isinstance(whole, dict) and whole["type"] == "record" else None
