"""Structured logs: one line an event, named `stage.event`, key=value or JSON.

People at a terminal get colour and columns, files and pipes get JSON. Libraries speak up from WARNING on.
Tested in tests/observe/test_logs.py.
"""

from __future__ import annotations

import logging
import sys

import structlog


def configure(*, verbose: bool = False) -> None:
    """Set up structlog and the standard library's logging for a worker process."""
    is_terminal = sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if is_terminal else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if verbose else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    # Faust's worker opens the root logger wide, and a log record costs more than handling a batch: the libraries'
    # own loggers decide.
    for library in ("aiokafka", "faust", "mode", "kafka", "asyncio"):
        logging.getLogger(library).setLevel(logging.INFO if verbose else logging.WARNING)
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        stream=sys.stderr,
        format="%(asctime)s %(name)s %(message)s",
    )
