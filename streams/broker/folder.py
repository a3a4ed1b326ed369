"""The data folder of one embedded broker: who holds it, and what is kept in it over restarts.

    broker.json   ports, cluster id, Kafka version; it exists once the log folder is formatted
    lock          flock, held by the broker's own process for as long as it lives
    kafka/        Kafka's logs (the data)
    logs/         server.log (rolling), console.log (what the JVM prints)
    tmp/          the JVM's temporary files, emptied at each start
    server.properties, controller.properties, log4j2.properties   written anew at each start
Nothing outside the folder is written. Tested in tests/broker/test_folder.py.
"""

from __future__ import annotations

import base64
import errno
import fcntl
import json
import os
import random
import shutil
import socket
import time
import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from streams.broker.errors import DataFolderInUse, PortTaken
from streams.broker.settings import HOST

if TYPE_CHECKING:
    from pathlib import Path

_POLL_SECONDS = 0.02
_ENDED_IN_ORDER = ".kafka_cleanshutdown"  # Kafka's own
# Below what Linux and macOS hand out to outgoing connections, so that no client's socket sits on a kept port.
_PORTS = range(20_000, 32_000)


@dataclass(frozen=True, slots=True)
class BrokerState:
    """What broker.json keeps."""

    port: int
    controller_port: int
    cluster_id: str
    kafka_version: str


class DataFolder:
    """Paths and state of one data folder. Creating one touches nothing; `prepare` makes the folders."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.kafka = self.path / "kafka"
        self.logs = self.path / "logs"
        self.temporary = self.path / "tmp"
        self.server_properties = self.path / "server.properties"
        self.controller_properties = self.path / "controller.properties"
        self.log_properties = self.path / "log4j2.properties"
        self.console_log = self.logs / "console.log"
        self.server_log = self.logs / "server.log"
        self._state = self.path / "broker.json"
        self._lock = self.path / "lock"

    def prepare(self) -> None:
        """Make the folder and what lies in it. Needs no lock."""
        self.logs.mkdir(parents=True, exist_ok=True)

    def take_lock(self, wait_seconds: float) -> int:
        """A descriptor that holds the folder's flock; whoever inherits it shares the hold.

        Waits for a broker that is just stopping. Raises DataFolderInUse when it is still held after that.
        """
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(_POLL_SECONDS)
                    continue
                os.close(descriptor)
                state = self.load()
                where = f" at {HOST}:{state.port}" if state else ""
                raise DataFolderInUse(
                    f"A broker is already running on {self.path}{where}. Use that one, stop it, "
                    "or choose another data folder."
                ) from None

    def load(self) -> BrokerState | None:
        """What is kept, or None for a folder that was never formatted."""
        try:
            return BrokerState(**json.loads(self._state.read_text("utf-8")))
        except FileNotFoundError:
            return None

    def save(self, state: BrokerState) -> None:
        """Keep the state, whole or not at all."""
        draft = self._state.with_suffix(".new")
        draft.write_text(json.dumps(asdict(state), indent=2) + "\n", "utf-8")
        draft.replace(self._state)

    def server_log_bytes(self) -> int:
        """How long server.log is now."""
        return self.server_log.stat().st_size if self.server_log.exists() else 0

    def logged_since(self, start_bytes: int) -> list[str]:
        """The lines of server.log from that byte on (all, if it rolled over), then those of console.log."""
        lines: list[str] = []
        for path, skipped in ((self.server_log, start_bytes), (self.console_log, 0)):
            if path.exists():
                content = path.read_bytes()
                text = content[skipped if skipped <= len(content) else 0 :].decode("utf-8", "replace")
                lines += text.splitlines()
        return lines

    @property
    def was_killed(self) -> bool:
        """Whether the last broker on a formatted folder did not end in order: then it left no note of that."""
        return not (self.kafka / _ENDED_IN_ORDER).exists()

    def clear_unformatted(self) -> None:
        """Remove what a torn format left behind. Only for a folder without state, under the lock."""
        shutil.rmtree(self.kafka, ignore_errors=True)

    def clear_temporary(self) -> None:
        """Empty the JVM's folder for temporary files: a killed one does not. Under the lock."""
        shutil.rmtree(self.temporary, ignore_errors=True)
        self.temporary.mkdir()


def new_cluster_id() -> str:
    """A random cluster id as Kafka writes them: 16 bytes, URL-safe base64, not starting with "-"."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def free_port(*, except_for: int | None = None) -> int:
    """A port on the loopback address that nobody listens on now (someone may take it before it is used)."""
    chance = random.SystemRandom()
    while True:
        port = chance.choice(_PORTS)
        if port != except_for and _is_free(port):
            return port


def claim_port(port: int, wait_seconds: float) -> int:
    """The same port, once nobody listens on it. Raises PortTaken when somebody still does after the wait."""
    deadline = time.monotonic() + wait_seconds
    while not _is_free(port):
        if time.monotonic() >= deadline:
            raise PortTaken(
                f"Another process listens on {HOST}:{port}, the port that this data folder's clients know. "
                "Stop that process, or start the broker with another port."
            )
        time.sleep(_POLL_SECONDS)
    return port


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as the JVM does: old connections do not count
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True
