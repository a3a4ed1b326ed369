"""Structured logs: one line an event, named `stage.event`, key=value or JSON, whoever wrote it.

People at a terminal get colour and columns, files and pipes get JSON. What libraries say through the standard
library's logging takes the same shape (event `aiokafka.said`, with `logger` and `message`), from WARNING on; what they
say again and again is passed once in ten seconds with the number of what was left out (streams/observe/floods.py).
Tested in tests/observe/test_logs.py; on every line of an instance in tests/e2e/test_instance.py.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import stamina.instrumentation
import structlog

from streams.observe.floods import CalmHandler

LIBRARIES = ("aiokafka", "faust", "mode", "kafka", "asyncio")
EventDict = MutableMapping[str, Any]


def configure(*, verbose: bool = False) -> None:
    """Set up structlog and the standard library's logging for a worker process."""
    is_terminal = sys.stderr.isatty()
    shape: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]
    render: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer()]
        if is_terminal
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shape, *render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if verbose else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    level = logging.INFO if verbose else logging.WARNING
    # A wide open root logger, and a log record costs more than handling a batch: the libraries' own loggers decide.
    for library in LIBRARIES:
        logging.getLogger(library).setLevel(level)
    handler = CalmHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shape, _named],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    logging.root.handlers = [handler]
    logging.root.setLevel(level)
    logging.captureWarnings(True)
    stamina.instrumentation.set_on_retry_hooks([_tell_retry])


def _tell_retry(details: stamina.instrumentation.RetryDetails) -> None:
    """Say it through the standard library's logging, where what repeats is left out."""
    logging.getLogger("stamina").warning(
        "tried again (%d) in %.1f s: %r", details.retry_num, details.wait_for, details.caused_by
    )


def _named(_: Any, __: str, event: EventDict) -> EventDict:  # noqa: ANN401  # structlog's signature
    """Give what a library said the shape of an event of ours."""
    record: logging.LogRecord = event["_record"]
    message = event.pop("event")
    named: dict[str, Any] = {
        "event": f"{record.name.partition('.')[0]}.said",
        "logger": record.name,
        "message": str(message).strip(),
    }
    if suppressed := getattr(record, "suppressed", 0):
        named["suppressed"] = suppressed
    return named | dict(event)
