"""Every statement that the project claims to keep has a test that names it."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict

from tests.tidy.files import ROOT, project_files, shown, text_of

LIST = tomllib.loads(text_of(ROOT / "tests" / "tidy" / "statements.toml"))
CLAIMED: list[str] = LIST["claimed"]
OPEN: dict[str, str] = LIST["open"]

WANTED = {
    *(f"D{number}" for number in range(1, 21)),
    *(f"Q{number}" for number in (*range(1, 9), *range(13, 18), 21)),
    *(f"W{number}" for number in range(1, 13)),
}
# Statements of what is built later: a test may name them already, none has to.
LATER = {f"Q{number}" for number in (*range(9, 13), *range(18, 21))}


# These prove that a breach would be seen, not that the pipeline has none.
VERIFIER_TESTS = ROOT / "tests" / "verify"


def named_in_tests() -> dict[str, list[str]]:
    """Every id that stands in the docstring of a test function or class, with the places where it does."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in project_files(".py"):
        is_test_file = path.is_relative_to(ROOT / "tests") and path.name.startswith("test_")
        if not is_test_file or path.is_relative_to(VERIFIER_TESTS):
            continue
        for node in ast.walk(ast.parse(text_of(path))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                is_test = node.name.startswith("test_") or isinstance(node, ast.ClassDef)
                for name in re.findall(r"\b[DQW]\d+\b", (is_test and ast.get_docstring(node)) or ""):
                    places[name].append(shown(path, node.lineno))
    return places


def test_the_list_holds_every_statement_once() -> None:
    """The claimed and the open statements together are all statements, each in one place."""
    assert sorted([*CLAIMED, *OPEN]) == sorted(WANTED)


def test_every_claimed_statement_has_a_test() -> None:
    """Each claimed id stands in the docstring of a test."""
    named = named_in_tests()
    assert [name for name in CLAIMED if name not in named] == []


def test_no_open_statement_has_a_test_already() -> None:
    """An id that a test names is claimed: move it from [open] to `claimed` in statements.toml."""
    named = named_in_tests()
    assert {name: named[name] for name in OPEN if name in named} == {}


def test_no_test_names_a_statement_that_does_not_exist() -> None:
    """An id in a test's docstring is one of the specification's."""
    assert {name: places for name, places in named_in_tests().items() if name not in WANTED | LATER} == {}


def test_every_open_statement_says_what_it_waits_for() -> None:
    """No id is open without a reason."""
    assert [name for name, reason in OPEN.items() if len(reason.split()) < 2] == []
