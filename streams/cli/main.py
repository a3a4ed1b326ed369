"""The command `lockstep`: a list of command groups, each loaded only when it is asked for.

The short texts stand here, so that `lockstep --help` loads neither Faust nor Kafka clients; a test compares
them with the commands' own. Tested in tests/cli/test_outside.py.
"""

from __future__ import annotations

import logging
import sys
from importlib import import_module

import click
import structlog

COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("streams.cli.up:up", "Start Kafka and the workers, and keep them running."),
    "down": ("streams.cli.up:down", "Stop what `up --detach` started."),
    "status": ("streams.cli.status:status", "Show workers, shards, progress and lag."),
    "demo": ("streams.cli.demo:demo", "Watch the pipeline at work: start, feed, drain, verify."),
    "worker": ("streams.cli.worker:worker", "Run one worker in the foreground."),
    "tables": ("streams.cli.tables:tables", "List the state tables, or look up a key."),
    "agents": ("streams.cli.tables:agents", "List the agents: what each reads, and what waits for it."),
    "topics": ("streams.cli.topics:topics", "Create the topics, or check them."),
    "topology": ("streams.cli.topology:topology", "Check or draw the data flow."),
    "rebuild": ("streams.cli.rebuild:rebuild", "Restore local state from the topics and compare."),
    "accept-loss": ("streams.cli.accept_loss:accept_loss", "Go on although records were trimmed unread."),
    "send": ("streams.cli.send:send", "Send one message and show what became of it."),
    "register": ("streams.cli.endpoints:register", "Register an endpoint and attach it."),
    "attach": ("streams.cli.endpoints:attach", "Attach an endpoint: send from its position on."),
    "detach": ("streams.cli.endpoints:detach", "Detach an endpoint: it is gone for now."),
    "ack": ("streams.cli.endpoints:ack", "Acknowledge what an endpoint has kept."),
    "missing": ("streams.cli.endpoints:missing", "Ask for a range of updates again."),
    "tail": ("streams.cli.tail:tail", "Show records as they are written, decoded."),
    "thread": ("streams.cli.thread:thread", "Show what a thread holds, from the store."),
    "feed": ("streams.cli.feed:feed", "Write a chat trace, or JSON lines, as requests."),
    "drain": ("streams.cli.drain:drain", "Wait until everything is processed."),
    "verify": ("streams.cli.verify:verify", "Prove that nothing is lost, doubled or out of order."),
    "dead-letters": (
        "streams.cli.dead_letters:dead_letters",
        "List, show or resend what could not be processed.",
    ),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Names, in the order in which a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        """Load a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        _keep_examples(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's signature
        """List the commands from the texts above, without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _keep_examples(command: click.Command) -> None:
    """Give click the control character by which it leaves a paragraph alone; raw docstrings hold two others."""
    if command.help is not None:
        command.help = command.help.replace("\\b\n", "\b\n")
    if isinstance(command, click.Group):
        for one in command.commands.values():
            _keep_examples(one)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lockstep-streams", prog_name="lockstep")
def main() -> None:
    """A messaging engine on Apache Kafka: every device of every recipient ends with the same inbox.

    Begin with `lockstep demo`, or with `lockstep up`.
    """
    # What goes wrong is told once, by the command; the client library would repeat it many times a second.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    # Standard output is for answers: a warning of ours in it would break --json.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
