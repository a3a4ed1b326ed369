"""Logs: one event a line, and libraries that do not chatter."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = (
    "import structlog\n"
    "from streams.observe import logs\n"
    "logs.configure()\n"
    "structlog.get_logger('engine').info('engine.shard_opened', shard=3)\n"
)


def test_an_event_is_one_line_of_json_where_nobody_looks() -> None:
    """A file or a pipe gets JSON with level and time."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    (line,) = done.stderr.splitlines()
    event = json.loads(line)
    assert event["event"] == "engine.shard_opened"
    assert event["shard"] == 3
    assert event["level"] == "info"
    assert event["at"].endswith("Z")


def test_a_library_builds_no_debug_records_even_when_the_root_logger_is_wide_open() -> None:
    """Faust's worker opens the root logger; aiokafka would then make a record for every request."""
    program = (
        "import logging\n"
        "from streams.observe import logs\n"
        "logs.configure()\n"
        "logging.getLogger().setLevel(logging.DEBUG)\n"
        "print(logging.getLogger('aiokafka.conn').isEnabledFor(logging.DEBUG))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
