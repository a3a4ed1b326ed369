"""What every contender is to a job: topics, processes, settings that are said aloud, and how its output is read."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import psutil

from bench.check import Sighting
from streams.codec import Codec
from streams.ids import Token, message_id

if TYPE_CHECKING:
    from bench.load import Fed, Load
    from bench.sitting import Sitting

STOP_SECONDS_MAX = 15.0
SEQ_BYTES = 8
"""Two-hop outputs: key = recipient, value = number (8 bytes, big-endian) + the request as it came."""


class LeftOut(Exception):
    """A contender can't run here; the message says why and what would help."""


class Contender(ABC):
    """One program, or one setting of it, that does a job."""

    name: ClassVar[str]
    """In tables and JSON; a variant of a peer begins with the peer's name."""
    peer: ClassVar[str]
    """lockstep, kafka_streams, quix, faust."""
    title: ClassVar[str]
    names_recipient: ClassVar[bool] = True
    copies: ClassVar[int] = 1
    """Updates a request has to give."""
    warm_up_messages: ClassVar[int] = 20_000
    """Requests that are processed before anything is measured (a JVM compiles for longer)."""
    share_of_load: ClassVar[float] = 1.0
    """Part of a throughput job's messages that this contender gets, where all would take too long."""
    still_s: ClassVar[float] = 1.5
    """Seconds without output after which it is taken to be done; then the output is checked."""
    input_topic: str = "ingest.requests"
    output_topics: tuple[str, ...] = ("bench.updates", "bench.deliveries")

    def __init__(self) -> None:
        self.codec = Codec()
        self.folder: Path | None = None
        self.children: list[subprocess.Popen[Any]] = []
        self._head = self.codec["SendRequest"].split("thread_id")

    @property
    @abstractmethod
    def settings(self) -> Mapping[str, str]:
        """What was set, and why it is the best honest setting."""

    async def require(self) -> None:  # noqa: B027  # most need nothing
        """Make ready what the contender needs once a sitting (venv, classes); raises LeftOut."""

    @abstractmethod
    async def start(self, sitting: Sitting, folder: Path) -> None:
        """Make topics and start processes; they may still be joining their group."""

    async def prepare(self, sitting: Sitting, load: Load) -> list[Fed]:  # noqa: ARG002  # most need nothing
        """Write and await what has to be there before traffic; return the requests among it."""
        return []

    def processes(self) -> list[psutil.Process]:
        """The worker processes."""
        return [psutil.Process(one.pid) for one in self.children if one.poll() is None]

    def start_worker(self) -> None:
        """Start the process again after a kill, on what it left."""
        raise NotImplementedError

    def state_folders(self) -> Sequence[Path]:
        """Where the local state lies; without it everything has to be restored."""
        raise NotImplementedError

    records_before: int = 0
    """Records that lay on the outputs before anything was fed."""

    def due_on(self, topic: str, due: dict[bytes, int]) -> tuple[dict[bytes, int], Mapping[str, int]]:  # noqa: ARG002  # as a rule all outputs are alike
        """Return what an output has to hold, and the numbers that were given before it began."""
        return due, {}

    async def crash(self) -> None:
        """SIGKILL every worker; returns when they are gone."""
        self.kill()

    async def stop(self) -> None:
        """End every process."""
        for one in self.children:
            if one.poll() is None:
                one.send_signal(signal.SIGTERM)
        deadline_s = time.monotonic() + STOP_SECONDS_MAX
        for one in self.children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.wait(max(0.05, deadline_s - time.monotonic()))
        self.kill()

    def kill(self) -> None:
        """SIGKILL what is left."""
        for one in self.children:
            if one.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(one.pid, signal.SIGKILL)
                one.wait()
        self.children.clear()

    def sight(self, topic: str, record: Any) -> Sighting:  # noqa: ARG002  # both outputs look alike
        """Return what the check wants to know of an output record."""
        value: bytes = record.value
        fields, _ = self._head.read(value[SEQ_BYTES:])
        token = Token(**fields["token"])
        return Sighting(
            record.key.decode(),
            int.from_bytes(value[:SEQ_BYTES], "big"),
            message_id(fields["account_id"], fields["endpoint_id"], token),
        )

    def spawn(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a process of its own session, so that Ctrl-C reaches the benchmark alone, which stops it."""
        with log.open("ab") as out:
            child = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=dict(os.environ if environment is None else environment),
                start_new_session=True,
            )
        self.children.append(child)
        return child
