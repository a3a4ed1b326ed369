"""Logs: one event a line, and libraries that do not chatter."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

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


def lines_of(program: str) -> list[dict[str, Any]]:
    """What a program with our logs writes, each line read as JSON."""
    head = "import logging, warnings\nfrom streams.observe import logs\nlogs.configure()\n"
    done = subprocess.run([sys.executable, "-c", head + program], check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_what_a_library_says_has_the_shape_of_an_event_of_ours() -> None:
    """One line of JSON with level and time, named for the library, whatever stands in the message."""
    (event,) = lines_of("logging.getLogger('aiokafka.client').error('no node %s\\nat all', 7)\n")
    assert (event["event"], event["logger"]) == ("aiokafka.said", "aiokafka.client")
    assert (event["message"], event["level"]) == ("no node 7\nat all", "error")
    assert event["at"].endswith("Z")


def test_a_traceback_and_a_warning_are_one_line_each() -> None:
    """A line is an event, also where Python would write many."""
    failed, warned = lines_of(
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    logging.getLogger('faust.app').exception('crashed')\n"
        "warnings.warn('old', UserWarning)\n"
    )
    assert (failed["event"], failed["message"]) == ("faust.said", "crashed")
    assert "ZeroDivisionError" in failed["exception"]
    assert (warned["event"], warned["level"]) == ("py.said", "warning")
    assert "UserWarning: old" in warned["message"]


def test_a_flood_is_one_line_now_and_one_with_a_number() -> None:
    """A broker that is away makes aiokafka say so several times a second."""
    first, last = lines_of(
        "for node in range(300):\n    logging.getLogger('aiokafka').error('no node %s', node)\n"
    )
    assert first["message"] == "no node 0"
    assert "suppressed" not in first
    assert (last["message"], last["suppressed"]) == ("no node 299", 298)


def test_what_is_tried_again_is_told_by_the_same_rule() -> None:
    """Not a line for each attempt."""
    events = lines_of(
        "import stamina\n"
        "for attempt in stamina.retry_context(on=OSError, attempts=6, wait_initial=0, wait_jitter=0, wait_max=0):\n"
        "    with attempt:\n"
        "        if attempt.num < 6:\n"
        "            raise OSError('away')\n"
    )
    assert [(event["event"], event.get("suppressed", 0)) for event in events] == [
        ("stamina.said", 0),
        ("stamina.said", 3),
    ]
    assert "OSError('away')" in events[0]["message"]
