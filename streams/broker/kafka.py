"""One Apache Kafka node as a child process: start, stop, kill, suspend.

`start` returns when the broker answers a Metadata request and lists itself. The broker is stopped by `stop`,
by the end of the `with` block, and by its guardian when this process ends in any way. A second start on the
same folder keeps data, cluster id and port, so that clients reconnect.
It is synchronous and for one thread at a time; it does not restart a broker that dies by itself
(`is_running` tells). Tested in tests/broker/test_kafka.py and test_guardian.py.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Self

from streams.broker import guardian
from streams.broker.errors import NotRunning, StartFailed
from streams.broker.folder import BrokerState, DataFolder, claim_port, free_port, new_cluster_id
from streams.broker.jars import ensure_jars, pinned_kafka_version
from streams.broker.java import java_command, java_environment
from streams.broker.probe import is_serving
from streams.broker.quick_start import ensure_picture, flags_to_train, flags_to_use
from streams.broker.settings import HOST, controller_properties, log_properties, server_properties

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

_POLL_SECONDS = 0.02
_STOP_MARGIN_SECONDS = 5.0  # for the guardian, beyond the grace it gives the broker
_LOG_TAIL_LINES = 15
_SERIOUS = re.compile(r" (?:ERROR|FATAL) |Exception|^Error")
_TRAINING_SECONDS = 120.0  # its JVM writes the picture when it ends
_FORMAT_HEAP_MIB = 128
_DECLARED_DEAD = "Fencing broker 1 "  # what the controller logs when the broker's session is over
_STARTED = "Kafka Server started"  # what it logs before, when it has begun to count
_DECLARE_DEAD_SECONDS = 8.0
"""From then on; a broker that was dead already is not declared dead again."""


class EmbeddedKafka:
    """A KRaft node on the loopback address, with its data in one folder."""

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        heap_mib: int = 512,
        settings: Mapping[str, str] | None = None,
        ready_timeout_seconds: float = 60.0,
        lock_wait_seconds: float = 5.0,
        stop_grace_seconds: float = 10.0,
    ) -> None:
        """Nothing is touched before `start`.

        port: what clients connect to; None keeps the folder's own, or picks a free one for a new folder.
        settings: Kafka's names and values, over the defaults in `streams.broker.settings`.
        lock_wait_seconds: how long a broker that is just stopping on the same folder is waited for.
        stop_grace_seconds: how long the broker may take to end by itself before it is killed.
        """
        self._folder = DataFolder(data_dir)
        self._port = port
        self._heap_mib = heap_mib
        self._settings = dict(settings or {})
        self._ready_timeout_seconds = ready_timeout_seconds
        self._lock_wait_seconds = lock_wait_seconds
        self._stop_grace_seconds = stop_grace_seconds
        self._guardian: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._state: BrokerState | None = None
        self._log_start_bytes = 0
        self._quick_start: tuple[str, ...] = ()
        self._training: tuple[str, ...] = ()

    @property
    def data_dir(self) -> Path:
        """The data folder, absolute."""
        return self._folder.path

    @property
    def log_dir(self) -> Path:
        """Where server.log and console.log are."""
        return self._folder.logs

    @property
    def bootstrap(self) -> str:
        """host:port for clients; known from the first start on. Raises NotRunning before."""
        if self._state is None:
            raise NotRunning("The broker was not started yet; call start() first.")
        return f"{HOST}:{self._state.port}"

    @property
    def pid(self) -> int:
        """The process id of Kafka's JVM. Raises NotRunning when there is none."""
        if self._pid is None or not self.is_running:
            raise NotRunning("The broker is not running; call start() first.")
        return self._pid

    @property
    def is_running(self) -> bool:
        """Whether the broker's process lives (it may be suspended)."""
        return self._guardian is not None and self._guardian.poll() is None

    def start(self) -> Self:
        """Start and wait until the broker serves; does nothing when it is running.

        Raises the errors of `streams.broker.errors`; then nothing is left running.
        """
        if self.is_running:
            return self
        self._forget_process()
        jars = ensure_jars()
        if not self._training:
            self._quick_start = flags_to_use(ensure_picture(jars, self._train))
        class_path = os.pathsep.join(map(str, jars))
        self._folder.prepare()
        lock = self._folder.take_lock(self._lock_wait_seconds)
        try:
            try:
                self._folder.clear_temporary()
                self._log_start_bytes = self._folder.server_log_bytes()
                was_killed = self._folder.load() is not None and self._folder.was_killed
                self._state = self._settle(class_path, lock)
                if was_killed:
                    self._declare_dead(class_path, lock, self._state)
                self._spawn(class_path, lock, self._folder.server_properties)
            finally:
                os.close(lock)  # the broker has inherited it
            self._wait_until_serving(self._state.port)
        except BaseException:  # also Ctrl-C: nothing is left running
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the broker in order, killing it after the grace; does nothing when it is not running."""
        if self._guardian is not None:
            assert self._guardian.stdin is not None
            self._guardian.stdin.close()  # the guardian's signal
            try:
                self._guardian.wait(self._stop_grace_seconds + _STOP_MARGIN_SECONDS)
            except subprocess.TimeoutExpired:
                self._guardian.kill()  # Linux kills the broker with it
                self._guardian.wait()
        self._forget_process()

    def kill(self) -> None:
        """SIGKILL, as a crash would: no flush, no goodbye. Returns when the process is gone."""
        guardian_process = self._running_guardian()
        os.kill(self.pid, signal.SIGKILL)
        guardian_process.wait()
        self._forget_process()

    def suspend(self) -> None:
        """SIGSTOP: the broker hangs, its connections stay open."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `suspend`."""
        os.kill(self.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @staticmethod
    def _train(scratch: Path, output: Path) -> None:
        """One start and stop in a scratch folder, whose JVM writes the picture for quick starts."""
        broker = EmbeddedKafka(scratch, stop_grace_seconds=_TRAINING_SECONDS)
        broker._training = flags_to_train(output)
        with broker:
            pass

    def _settle(self, class_path: str, lock: int) -> BrokerState:
        """Choose the ports, write the configuration, format the folder if it is new."""
        known = self._folder.load()
        if known is None:
            self._folder.clear_unformatted()
        if self._port is not None or known is not None:
            port = claim_port(self._port or (known.port if known else 0), self._lock_wait_seconds)
        else:
            port = free_port()
        controller_port = free_port(except_for=port)
        cluster_id = known.cluster_id if known else new_cluster_id()
        state = BrokerState(port, controller_port, cluster_id, pinned_kafka_version())
        self._folder.server_properties.write_text(
            server_properties(
                port=port,
                controller_port=controller_port,
                log_folder=self._folder.kafka,
                overrides=self._settings,
            ),
            "utf-8",
        )
        self._folder.log_properties.write_text(log_properties(self._folder.logs), "utf-8")
        if known is None:
            self._format(class_path, cluster_id, lock)
        self._folder.save(state)
        return state

    def _format(self, class_path: str, cluster_id: str, lock: int) -> None:
        tool = [
            "kafka.tools.StorageTool",
            "format",
            "-c",
            str(self._folder.server_properties),
            "-t",
            cluster_id,
        ]
        flags = ["-XX:TieredStopAtLevel=1", *self._quick_start]
        command = [*java_command(self._folder, class_path, _FORMAT_HEAP_MIB, *flags), *tool]
        with self._folder.console_log.open("wb") as console:
            try:
                subprocess.run(
                    command,
                    env=java_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=console,
                    pass_fds=[lock],  # a start elsewhere waits for it, even when this process dies now
                    timeout=self._ready_timeout_seconds,
                    check=True,
                )
            except subprocess.SubprocessError as error:
                raise StartFailed(
                    f"{self._folder.kafka} could not be formatted ({type(error).__name__}). {self._explain()}"
                ) from None

    def _declare_dead(self, class_path: str, lock: int, state: BrokerState) -> None:
        """Let the controller alone say that the killed broker is dead, before a new one starts.

        A broker that starts while the cluster still takes its former self for alive leads every partition until that
        session is over, and transactions with it. At that moment it has no leader for any partition, takes that for
        "the topic was deleted", drops the markers it has to write, and calls those transactions complete: they stay
        open for ever and hold back every reader (docs/decisions/embedded-kafka.md). A broker that is known to be dead
        leads nothing until it is registered. Goes on when a controller that has started does not say so in time; one
        that a busy machine has not started yet is waited for as long as a broker is.
        """
        self._folder.controller_properties.write_text(
            controller_properties(controller_port=state.controller_port, log_folder=self._folder.kafka),
            "utf-8",
        )
        self._spawn(class_path, lock, self._folder.controller_properties)
        deadline = time.monotonic() + self._ready_timeout_seconds
        is_started = False
        while time.monotonic() < deadline and self.is_running:
            said = "\n".join(self._folder.logged_since(self._log_start_bytes))
            if _DECLARED_DEAD in said:
                break
            if not is_started and _STARTED in said:
                is_started = True
                deadline = time.monotonic() + _DECLARE_DEAD_SECONDS
            time.sleep(_POLL_SECONDS)
        self.stop()

    def _spawn(self, class_path: str, lock: int, properties: Path) -> None:
        java = java_command(self._folder, class_path, self._heap_mib, *self._quick_start, *self._training)
        kafka = [*java, "kafka.Kafka", str(properties)]
        watch = [str(lock), str(os.getpid()), str(self._stop_grace_seconds)]
        with self._folder.console_log.open("wb") as console:
            self._guardian = subprocess.Popen(
                [sys.executable, "-I", "-S", guardian.__file__, *watch, *kafka],
                env=java_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=console,
                pass_fds=[lock],
                start_new_session=True,  # Ctrl-C reaches Lockstep only, which stops its workers first
            )
        assert self._guardian.stdout is not None
        with self._guardian.stdout as answer:
            line = answer.readline()
        if not line:
            raise StartFailed(f"The broker's process could not be started. {self._explain()}")
        self._pid = int(line)

    def _wait_until_serving(self, port: int) -> None:
        deadline = time.monotonic() + self._ready_timeout_seconds
        while not is_serving(HOST, port):
            if not self.is_running:
                raise StartFailed(f"The broker ended before it was ready. {self._explain()}")
            if time.monotonic() >= deadline:
                raise StartFailed(f"Not ready after {self._ready_timeout_seconds:g} s. {self._explain()}")
            time.sleep(_POLL_SECONDS)

    def _explain(self) -> str:
        """What the logs of this start say that is serious, or their ends, and where the whole of them is."""
        lines = self._folder.logged_since(self._log_start_bytes)
        serious = [line for line in lines if _SERIOUS.search(line)] or lines
        return f"See {self._folder.logs}; it says:\n" + "\n".join(serious[-_LOG_TAIL_LINES:])

    def _running_guardian(self) -> subprocess.Popen[bytes]:
        if self._guardian is None:
            raise NotRunning("The broker is not running; call start() first.")
        return self._guardian

    def _forget_process(self) -> None:
        if self._guardian is not None and self._guardian.stdin is not None:
            self._guardian.stdin.close()
        self._guardian = None
        self._pid = None
