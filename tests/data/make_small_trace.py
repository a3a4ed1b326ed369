"""Writes small_trace.csv anew: `python -m tests.data.make_small_trace`. A test compares the two."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path

from streams.client.generator import small_trace
from streams.client.trace import COLUMNS

PATH = Path(__file__).parent / "small_trace.csv"
ROWS = 400
SEED = 1


def text() -> str:
    """Return the whole file."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(small_trace(ROWS, SEED))
    return out.getvalue()


if __name__ == "__main__":
    PATH.write_text(text(), "utf-8")
