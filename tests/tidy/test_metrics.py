"""The typed list of metrics, the counters that the code raises, and docs/metrics.md say the same."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from streams.observe.metric import Kind
from streams.observe.metrics import METRICS
from tests.tidy.files import ROOT, project_files, text_of
from tests.tidy.metrics_document import document

PACKAGES = ("engine", "ingest", "fanout", "sequencer", "delivery", "replay", "split_store")
PASSED_ON = {"metric"}
"""Names of variables that hold a counter which was named elsewhere."""


def constants_of(tree: ast.Module) -> dict[str, list[str]]:
    """Names of a module that stand for one text, or for a dictionary of them."""
    found: dict[str, list[str]] = {}
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if not isinstance(target, ast.Name):
            continue
        parts = value.values if isinstance(value, ast.Dict) else [value]
        texts = [one.value for one in parts if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        found[target.id] = texts
    return found


def names_in(node: ast.expr, constants: dict[str, list[str]]) -> list[str]:
    """Every counter that an expression may name; a text with a hole in it ends in `*`."""
    match node:
        case ast.Constant(value=str(name)):
            return [name]
        case ast.JoinedStr(values=[ast.Constant(value=str(name)), ast.FormattedValue()]):
            return [f"{name}*"]
        case ast.IfExp(body=body, orelse=orelse):
            return names_in(body, constants) + names_in(orelse, constants)
        case ast.Name(id=name) if name in PASSED_ON:
            return []
        case ast.Name(id=name) | ast.Subscript(value=ast.Name(id=name)) if constants.get(name):
            return constants[name]
    return [f"unreadable: {ast.unparse(node)}"]


def counters_of(path: Path) -> Iterator[str]:
    """Every counter that a module raises: `shard.count(NAME)` and `counters[NAME] += n`."""
    tree = ast.parse(text_of(path))
    constants = constants_of(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="count"), args=[name, *_]):
                yield from names_in(name, constants)
            case ast.AugAssign(
                target=ast.Subscript(value=ast.Attribute(attr="counters" | "_counters"), slice=name)
            ):
                yield from names_in(name, constants)


def all_counters() -> set[str]:
    """Every counter of the program, with its package before it where the code leaves that out."""
    found = set()
    for package in PACKAGES:
        for path in (ROOT / "streams" / package).rglob("*.py"):
            found |= {name if "." in name else f"{package}.{name}" for name in counters_of(path)}
    return found


def test_every_counter_that_the_code_raises_is_in_the_typed_list_and_every_listed_one_is_raised() -> None:
    """A counter without a metric would be seen by nobody, a metric without a counter would stay 0 for ever."""
    listed = {metric.counter for metric in METRICS if metric.counter}
    assert all_counters() == listed


def test_a_counter_that_is_new_would_be_noticed() -> None:
    """The check above reads every way in which a counter is named."""
    tree = ast.parse('NAME = "a.b"\nBY = {1: "a.c", 2: "a.d"}\n')
    constants = constants_of(tree)
    forms = ['"a.x"', "NAME", "BY[2]", '"a.y" if ok else "a.z"', 'f"a.{code}"', "something()"]
    found = [name for form in forms for name in names_in(ast.parse(form, mode="eval").body, constants)]
    assert found == ["a.x", "a.b", "a.c", "a.d", "a.y", "a.z", "a.*", "unreadable: something()"]


def test_the_document_of_the_metrics_is_the_typed_list() -> None:
    """docs/metrics.md is what `python -m tests.tidy.metrics_document` prints."""
    assert text_of(ROOT / "docs" / "metrics.md") == document()


def test_every_metric_that_a_document_names_exists() -> None:
    """An alarm on a metric that was renamed never rings."""
    histograms = {metric.name for metric in METRICS if metric.kind is Kind.HISTOGRAM}
    known = {metric.name for metric in METRICS}
    known |= {f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")}
    named = {name for path in project_files(".md") for name in re.findall(r"\blockstep_\w+", text_of(path))}
    assert named
    assert named - known - {"lockstep_streams"} == set()
