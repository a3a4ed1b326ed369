"""One worker process of the real command, with a fault armed or not, and what it wrote into its log.

Nothing here restarts a process by itself: what dies stays dead until the test, or the schedule, starts it again. A
process ends with the one that started it (it holds the other end of a pipe).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from streams.faults import VARIABLE
from streams.observe import stacks
from tests.chaos.waiting import until
from tests.tidy.files import ROOT

SESSION_SECONDS = 3.0
"""Session time-out of every worker: how long a dead one keeps its shards. Broker's lower bound: 1 s."""
DEATH_SECONDS_MAX = 90.0
STACKS_SECONDS_MAX = 10.0
STOP_SECONDS_MAX = 30.0
"""A stop takes less than five seconds; a machine with other work on two cores gets more before it is called hung."""


class Worker:
    """A worker by name. Its static membership and its folder are the same over all its lives."""

    def __init__(self, app: str, name: str, *, bootstrap: str, data_dir: Path, shards: int) -> None:
        self.app = app
        self.name = name
        self.folder = data_dir / "workers" / f"{app}.{name}"
        self.log = data_dir / "logs" / f"{name}.log"
        self.web_port = _free_port()
        self.lives = 0
        self.stop_seconds: list[float] = []
        """How long each graceful stop took."""
        self._command = [
            *(sys.executable, "-m", "streams", "worker", "--app", app, "--name", name),
            *("--bootstrap", bootstrap, "--data-dir", str(data_dir), "--shards", str(shards)),
            *("--web-port", str(self.web_port), "--session-timeout", str(SESSION_SECONDS)),
            "--stop-with-stdin",
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._life_began_at_byte = 0

    # -- Life --------------------------------------------------------------------------------------------------------

    @property
    def is_alive(self) -> bool:
        """Whether the process runs, suspended ones included."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    def start(self, fault: str = "", options: Sequence[str] = ()) -> None:
        """Start it, armed with a fault (`point:count`) or not, with more options or not."""
        assert not self.is_alive, f"{self.name} runs already"
        self._forget()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._life_began_at_byte = self.log.stat().st_size if self.log.exists() else 0
        environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, *options],
                cwd=ROOT,
                env={**environment, VARIABLE: fault} if fault else environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.lives += 1

    def kill(self) -> None:
        """SIGKILL; returns when it is gone. Does nothing when it is dead."""
        if self._process is not None and self.is_alive:
            self._process.kill()
            self._process.wait()

    async def stop(self) -> None:
        """SIGTERM, and wait for the end that the worker makes by itself; raises when it hangs or fails."""
        process = self._process
        if process is None or not self.is_alive:
            return
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            await until(lambda: process.poll() is not None, f"{self.name} stops", STOP_SECONDS_MAX)
        except AssertionError:
            self.kill()
            raise
        self.stop_seconds.append(time.monotonic() - begun)
        is_in_order = process.returncode == 0 or not any(
            self.logged()
        )  # SIGTERM may come before Python is ready
        assert is_in_order, f"{self.name} stopped with exit code {process.returncode}: {self.tail()}"

    def suspend(self) -> None:
        """SIGSTOP: it hangs in the middle of whatever it does; its connections stay open."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `suspend`."""
        os.kill(self.pid, signal.SIGCONT)

    @property
    def is_suspended(self) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            return self.is_alive and psutil.Process(self.pid).status() == psutil.STATUS_STOPPED
        return False

    async def died_by_fault(self, seconds: float = DEATH_SECONDS_MAX) -> None:
        """Wait for the SIGKILL that it was armed with; anything else that ends it, or nothing, is a failure."""
        process = self._process
        assert process is not None, f"{self.name} was never started"
        await until(lambda: process.poll() is not None, f"the fault strikes {self.name}", seconds)
        assert process.returncode == -signal.SIGKILL, (
            f"{self.name} ended with {process.returncode}: {self.tail()}"
        )

    def close(self) -> None:
        """Kill it and let go of its pipe."""
        self.kill()
        self._forget()

    # -- What it left ------------------------------------------------------------------------------------------------

    def events(self, name: str) -> list[dict[str, Any]]:
        """What its present life logged under an event's name."""
        return [event for event in self.logged() if event.get("event") == name]

    def tail(self, lines: int = 15) -> str:
        """The last lines of its log, for a failure's message."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:])

    async def stacks(self) -> str:
        """What it waits for: the stacks of its tasks and threads that tell something; "" when it cannot."""
        if not self.is_alive or self.is_suspended or self._process is None:
            return ""
        begins_at_byte = self.log.stat().st_size
        self._process.send_signal(stacks.SIGNAL)

        def told() -> str:
            return self.log.read_bytes()[begins_at_byte:].decode("utf-8", "replace")

        try:
            await until(lambda: stacks.END in told(), f"{self.name} tells its stacks", STACKS_SECONDS_MAX)
        except AssertionError as error:
            return str(error)
        blocks = told().partition(stacks.BEGIN)[2].partition(stacks.END)[0].split("\n--- ")
        return "\n--- ".join(block for block in blocks if _tells_something(block))

    def shard_folders(self) -> list[Path]:
        """Its local stores, one a shard it ever had."""
        return sorted((self.folder / "shards").glob("shard-*"))

    def logged(self) -> Iterator[dict[str, Any]]:
        """Every event of its present life."""
        with self.log.open("rb") as log:
            log.seek(self._life_began_at_byte)
            for line in log:
                with contextlib.suppress(ValueError):  # not one of ours: a library's line, or half a line
                    event = json.loads(line[line.index(b"{") :])  # Faust's cursor codes may stand before it
                    if isinstance(event, dict):
                        yield event

    def _forget(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()


def _tells_something(block: str) -> bool:
    """Whether a stack goes through our code or the Kafka client's, and not only through their usual waiting."""
    return ("/streams/" in block or "/aiokafka/" in block) and not any(
        usual in block.partition("\n")[0] for usual in ("AIOKafkaConnection._read", "thread Thread-1")
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
