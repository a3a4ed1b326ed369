"""The house rules about code hold in every file; ruff, mypy and import-linter hold the rest."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.tidy.files import ROOT, comments_of, project_files, shown, text_of

MODULE_LINES_MAX = 400

# A suppression, and behind it (with or without a second "#") why it is right: at least two words.
SUPPRESSION = re.compile(r"#\s*(?:noqa|type:\s*ignore|pragma:)")
WITH_REASON = re.compile(
    r"#\s*(?:noqa:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*|type:\s*ignore\[[\w, -]+\]|pragma:\s*no \w+)"
    r"[\s#:;,-]+\w\S*\s+\S+"
)
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b(?!\([^)\s][^)]*\))")

# The stages whose decisions are rules: every module of theirs but the shell is pure.
PURE_PACKAGES = ("ingest", "fanout", "sequencer", "delivery", "replay")
PURE_MODULES = (
    "engine/assignment.py",
    "engine/claims.py",
    "engine/opening.py",
    "records.py",
    "ids.py",
    "limits.py",
)
SHELLS = ("stage.py", "__init__.py")
IMPURE = {
    *("asyncio", "datetime", "multiprocessing", "os", "pathlib", "random", "secrets", "signal", "socket"),
    *("subprocess", "threading", "time", "uuid"),
    *("faust", "logging", "mode", "rocksdict", "structlog", "streams.adapters", "streams.bootstrap"),
}

TIDY = ROOT / "tests" / "tidy"


def pure_modules() -> list[Path]:
    """Every module that decides and does not act."""
    streams = ROOT / "streams"
    rules = (path for package in PURE_PACKAGES for path in (streams / package).rglob("*.py"))
    named = (streams / name for name in PURE_MODULES)
    return sorted(
        [*(path for path in rules if path.name not in SHELLS), *(path for path in named if path.exists())]
    )


def imports_of(source: str) -> set[str]:
    """Every dotted name that a module imports, with all its parents."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {".".join(name.split(".")[:depth]) for name in names for depth in range(1, name.count(".") + 2)}


def test_no_module_is_longer_than_a_person_can_hold_in_mind() -> None:
    """A Python file has at most 400 lines."""
    lengths = {shown(path): len(text_of(path).splitlines()) for path in project_files(".py")}
    assert {name: length for name, length in lengths.items() if length > MODULE_LINES_MAX} == {}


def test_every_suppression_says_why_on_its_line() -> None:
    """A noqa, a type-ignore or a pragma names its code and carries its reason."""
    bare = [
        f"{shown(path, line)}: {comment}"
        for path in project_files(".py")
        for line, comment in comments_of(path)
        if SUPPRESSION.search(comment) and not WITH_REASON.search(comment)
    ]
    assert bare == []


@pytest.mark.parametrize(
    ("comment", "is_reasoned"),
    [
        ("# noqa: S101 the caller checked it", True),
        ("# noqa: S101, B008  # click reads defaults once", True),
        ("# type: ignore[misc]  # Faust has no types", True),
        ("# noqa", False),
        ("# noqa: S101", False),
        ("# type: ignore", False),
        ("# type: ignore[misc]", False),
        ("# type: ignore  # Faust has no types", False),
    ],
)
def test_a_reason_is_told_from_a_bare_suppression(comment: str, is_reasoned: bool) -> None:
    """The check above would notice a suppression without code or reason."""
    assert SUPPRESSION.search(comment)
    assert bool(WITH_REASON.search(comment)) is is_reasoned


def test_nothing_unfinished_lands_without_its_reason() -> None:
    """A mark of unfinished work stands nowhere, unless its reason follows it in parentheses."""
    marks = [
        f"{shown(path, number)}: {line.strip()}"
        for path in project_files(".py", ".md", ".toml", ".yaml", ".yml", "")
        if not path.is_relative_to(TIDY)
        for number, line in enumerate(text_of(path).splitlines(), start=1)
        if UNFINISHED.search(line)
    ]
    assert marks == []


@pytest.mark.parametrize("path", pure_modules(), ids=shown)
def test_a_rule_knows_no_clock_chance_loop_or_disk(path: Path) -> None:
    """A module that decides imports nothing that acts, waits, draws lots or looks at the time."""
    assert imports_of(text_of(path)) & IMPURE == set()


def test_every_package_says_what_it_is() -> None:
    """Each module of `streams` begins with a docstring."""
    silent = [
        shown(path)
        for path in project_files(".py")
        if path.is_relative_to(ROOT / "streams") and not ast.get_docstring(ast.parse(text_of(path)))
    ]
    assert silent == []
