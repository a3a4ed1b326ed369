"""`lockstep demo` brings up its own instance, proves what it sent, and leaves nothing behind (streams/cli/demo.py)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
MESSAGES = 300
_SECONDS_MAX = 240

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


def test_a_demonstration_verifies_everything_and_removes_what_it_made(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streams", "demo", "--messages", str(MESSAGES), "--shards", "3", "--json"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    verified = figures["verified"]
    assert figures["ok"] is True
    assert figures["messages"] == MESSAGES
    assert verified["requests"] > MESSAGES, "groups are made, and some requests come twice"
    assert verified["duplicates"] == figures["repeats"] > 0
    assert 0 < figures["endpoints_attached"] < figures["endpoints"], "some endpoints are offline"
    assert figures["latency"]["samples"] == int(MESSAGES * 0.05)
    assert 0 < figures["latency"]["p50_ms"] <= figures["latency"]["p99_ms"]
    assert figures["deliveries_per_second"] > figures["messages_per_second"] > 0
    assert not list(tmp_path.glob("lockstep-demo-*"))
    assert not [one for one in psutil.process_iter(["cmdline"]) if str(tmp_path) in str(one.info["cmdline"])]
