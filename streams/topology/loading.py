"""Reads topology.yaml and refuses it with every problem at once.

Shape first (pydantic), then relations (checks.py): a file of a wrong shape has no relations yet, so its
errors are those of its shape alone. Tested in tests/topology/test_loading.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import TypeAdapter, ValidationError

from streams.codec import NAMESPACE, RESOURCES
from streams.errors import TopologyError
from streams.topology.checks import Problem, problems
from streams.topology.model import Topology

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic_core import ErrorDetails

_ADAPTER = TypeAdapter(Topology)
_EXPECTED = {
    "missing": "a value",
    "missing_argument": "a value",
    "extra_forbidden": "no such key",
    "unexpected_keyword_argument": "no such key",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "mapping_type": "a mapping",
    "dict_type": "a mapping",
    "dataclass_type": "a mapping",
    "dataclass_exact_type": "a mapping",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "literal_error": "{expected}",
    "too_short": "at least {min_length}",
    "string_pattern_mismatch": "a name like {pattern}",
}
_NAMED = ("stages", "topics")


def load_topology(path: Path | None = None, **overrides: Any) -> Topology:  # noqa: ANN401  # any part of the file
    """Return the topology of a file (default: the one that comes with Lockstep).

    `overrides` replace top-level values before anything is checked; mappings are merged key by key, so that
    `timestamps={"threshold_ms": 1}` leaves the rest of them alone. Raises TopologyError naming every problem.
    """
    source = path or RESOURCES / "topology.yaml"
    document = _merged(_read(source), overrides)
    try:
        topology = _ADAPTER.validate_python(_with_names(document))
    except ValidationError as error:
        found = [
            _problem(one) for one in error.errors() if one["loc"][-1:] != ("name",)
        ]  # a key is told as a key
        raise _refused(source, found) from error
    if found := problems(topology, schema_names()):
        raise _refused(source, found)
    return topology


def schema_names() -> frozenset[str]:
    """Return the names of all schemas that Lockstep comes with, without the namespace."""
    prefix = f"{NAMESPACE}."
    return frozenset(
        path.stem.removeprefix(prefix) for path in (RESOURCES / "schemas").glob(f"{prefix}*.avsc")
    )


def _refused(source: Path, found: Sequence[Problem]) -> TopologyError:
    lines = [
        f"{source.name} does not hold together; mend it and start again:",
        *(f"  {one}" for one in found),
    ]
    return TopologyError("\n".join(lines))


class _Loader(yaml.SafeLoader):
    """The safe subset of YAML in which a key that stands twice is an error, not the last one's victory."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002  # the base class's signature
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        for number, name in enumerate(names):
            if name in names[:number]:
                raise yaml.constructor.ConstructorError(
                    "while reading a mapping",
                    node.start_mark,
                    f"{name!r} stands twice",
                    node.value[number][0].start_mark,
                )
        return super().construct_mapping(node, deep)


def _read(source: Path) -> dict[str, Any]:
    try:
        document = yaml.load(source.read_text(encoding="utf-8"), _Loader)  # noqa: S506  # a SafeLoader that refuses more
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TopologyError(f"{source} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise TopologyError(f"{source.name}: expected a mapping, got {document!r}")
    return document


def _merged(document: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(document)
    for key, value in overrides.items():
        old = merged.get(key)
        merged[key] = (
            _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
        )
    return merged


def _with_names(document: Mapping[str, Any]) -> dict[str, Any]:
    """Give each stage and topic its own name, which in the file is its key."""
    named = dict(document)
    for section in _NAMED:
        if isinstance(bodies := named.get(section), dict):
            named[section] = {
                key: {**body, "name": key} if isinstance(body, dict) and "name" not in body else body
                for key, body in bodies.items()
            }
    return named


def _problem(error: ErrorDetails) -> Problem:
    path = ".".join(str(part) for part in error["loc"] if part != "[key]")
    expected = _EXPECTED.get(error["type"])
    wanted = expected.format(**error.get("ctx", {})) if expected else error["msg"]
    is_missing = error["type"] in ("missing", "missing_argument")
    return Problem(path or "topology", wanted, "nothing" if is_missing else _short(error["input"]))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
