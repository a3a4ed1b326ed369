"""A worker that cannot get out of what it hangs in ends by itself, so that its supervisor can start it again."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fixtures.instance import ROOT, SHARDS, RunningInstance

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SESSION_SECONDS = 1.0
ENDED_SECONDS_MAX = 150.0
"""Three rebalances of six seconds, the bound of the end, and a busy machine."""

HANGING = """
import asyncio, sys
from aiokafka import AIOKafkaConsumer
from streams.cli.main import main
from streams.engine.transport import GroupMembership

async def never_settled(self):
    await self._members(self._app.conf.id)
    return False

async def hang(self):
    await asyncio.Event().wait()

GroupMembership.is_settled = never_settled
AIOKafkaConsumer.stop = hang
main()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_worker_that_its_group_has_lost_ends_even_when_its_end_hangs(
    instance: RunningInstance, tmp_path: Path
) -> None:
    """It says why, ends with an error, and others have its shards."""
    begun = time.monotonic()
    done = subprocess.run(
        [
            *(sys.executable, "-c", HANGING, "worker", "--name", "stuck", "--shards", str(SHARDS)),
            *("--bootstrap", instance.connection.bootstrap, "--data-dir", str(tmp_path)),
            *("--session-timeout", str(SESSION_SECONDS), "--web-port", str(free_port())),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=ENDED_SECONDS_MAX,
        check=False,
    )
    print(f"ended after {time.monotonic() - begun:.1f} s")
    assert done.returncode == 1, done.stderr
    assert "engine.group_lost" in done.stderr
    assert "not a settled member of its group" in done.stderr
