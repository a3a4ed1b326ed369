"""What the documents tell a reader to type or to follow exists."""

from __future__ import annotations

import ast
import re
import shlex
from importlib import import_module
from pathlib import Path

import click
import pytest

from streams.cli.main import main
from tests.tidy.files import ROOT, project_files, shown, text_of

MAKE_TARGETS = set(re.findall(r"^([a-z][a-z-]*):.*## ", text_of(ROOT / "Makefile"), flags=re.MULTILINE))
FENCED = re.compile(r"^```(?:sh|shell|bash|console)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")


def shell_lines(path: Path) -> list[str]:
    """The commands in a document's shell blocks, continuation lines joined, without comments and prompts."""
    blocks = "\n".join(FENCED.findall(text_of(path))).replace("\\\n", " ")
    lines = (line.strip().removeprefix("$ ") for line in blocks.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def commands_named(program: str) -> list[tuple[str, list[str]]]:
    """Every call of a program in any document: where it stands, and its arguments."""
    calls = []
    for path in project_files(".md"):
        for line in shell_lines(path):
            for part in re.split(r"\s*(?:\||&&|;)\s*", line):
                words = shlex.split(part, comments=True)
                if words and Path(words[0]).name == program:
                    calls.append((shown(path), words[1:]))
    return calls


def anchors_of(path: Path) -> set[str]:
    """The anchors that a document's headings have on the usual hosts."""
    headings = re.findall(r"^#+\s+(.*)$", text_of(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def problem_with(call: list[str], command: click.Command = main) -> str | None:
    """What a command line would not know in these arguments: a command, or an option of it."""
    for word in call:
        if isinstance(command, click.Group) and not word.startswith("-"):
            named = command.get_command(click.Context(command), word)
            if named is None:
                return f"there is no command {word!r}"
            command = named
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    strange = [
        word for word in call if word.startswith("--") and word.split("=")[0] not in options | {"--help"}
    ]
    return f"there is no option {strange[0]}" if strange else None


def test_every_make_target_that_a_document_names_exists() -> None:
    """`make X` in a shell block, or in running text between backticks, is a target of the Makefile."""
    named = {(place, words[0]) for place, words in commands_named("make") if words}
    prose = {
        (shown(path), target)
        for path in project_files(".md")
        for target in re.findall(r"`make ([a-z][a-z-]*)[^`]*`", text_of(path))
    }
    assert {(place, target) for place, target in named | prose if target not in MAKE_TARGETS} == set()


def test_every_make_target_says_what_it_does() -> None:
    """Each phony target has the line that bare `make` prints."""
    phony = set(re.findall(r"^\.PHONY: (.*)$", text_of(ROOT / "Makefile"), flags=re.MULTILINE))
    assert phony == MAKE_TARGETS


def test_every_command_that_a_document_shows_exists() -> None:
    """`lockstep ...` in a shell block names commands and options that the command line has."""
    problems = [(place, " ".join(call), problem_with(call)) for place, call in commands_named("lockstep")]
    assert [entry for entry in problems if entry[2]] == []


def test_a_command_that_does_not_exist_would_be_noticed() -> None:
    """The check above knows a made-up command and a made-up option from real ones."""
    root = click.Group("root", commands=[click.Command("up", params=[click.Option(["--workers"])])])
    assert problem_with(["conjure"], root) == "there is no command 'conjure'"
    assert problem_with(["up", "--conjure"], root) == "there is no option --conjure"
    assert problem_with(["up", "--workers", "2", "--help"], root) is None


@pytest.mark.parametrize("path", project_files(".md"), ids=shown)
def test_every_python_example_imports_what_exists(path: Path) -> None:
    """A Python block of a document is valid, and has every name that it imports from somewhere."""
    for block in PYTHON.findall(text_of(path)):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                module = import_module(node.module or "")
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@pytest.mark.parametrize("path", project_files(".md"), ids=shown)
def test_every_link_of_a_document_leads_somewhere(path: Path) -> None:
    """A relative link names a file of the project, and its anchor a heading of that file."""
    broken = []
    for target in LINK.findall(text_of(path)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors_of(file)):
            broken.append(target)
    assert broken == []


def test_the_changelog_has_a_place_for_what_is_new() -> None:
    """The newest section of the changelog is the one of the next version."""
    headings = re.findall(r"^## (.*)$", text_of(ROOT / "CHANGELOG.md"), flags=re.MULTILINE)
    assert headings[:1] == ["Unreleased"]
