"""The command line as a whole: every command loads, says what it does, and shows an example."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from streams.cli.main import COMMANDS, main


def commands() -> Iterator[tuple[str, ...]]:
    """Yield the words of every command, those of groups among them."""
    context = click.Context(main)
    for name in COMMANDS:
        command = main.get_command(context, name)
        if isinstance(command, click.Group):
            yield from ((name, inner) for inner in command.commands)
        else:
            yield (name,)


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_has_help_with_an_example_on_a_line_of_its_own(words: tuple[str, ...]) -> None:
    """--help ends with 0 and shows how the command is called, not folded into a paragraph."""
    result = CliRunner().invoke(main, [*words, "--help"], terminal_width=200)
    assert result.exit_code == 0, result.output
    lines = [line.strip() for line in result.output.splitlines()]
    assert any(line.startswith(("Example", "\b")) for line in lines), result.output
    calls = [line for line in lines if line.startswith("lockstep ")]
    assert any(f"lockstep {' '.join(words)}" in line for line in calls), result.output
    assert "\\b" not in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_of_each_what_it_says_itself(name: str) -> None:
    """The texts that spare `lockstep --help` from loading everything are the commands' own."""
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.get_short_help_str(200).rstrip(".") == COMMANDS[name][1].rstrip(".")


def test_an_unknown_command_is_a_usage_error() -> None:
    """Exit code 2, and a word about what was wrong."""
    result = CliRunner().invoke(main, ["fly"])
    assert result.exit_code == 2
    assert "fly" in result.output
