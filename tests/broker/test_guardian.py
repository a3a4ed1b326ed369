"""Nothing is left running, however the parent ends. Any command can stand in for Kafka here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streams.broker import guardian
from streams.broker.errors import DataFolderInUse
from streams.broker.folder import DataFolder
from tests.broker.waiting import is_alive, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")

SLEEPER = "import signal; signal.pause()"
ORDERLY = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit()); signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
# Starts a guardian, tells both pids, and waits to be killed. On demand a fork of it holds the pipe open.
PARENT = """
import os, signal, subprocess, sys
lock, guardian, fork, code = int(sys.argv[1]), *sys.argv[2:]
process = subprocess.Popen(
    [sys.executable, "-I", "-S", guardian, str(lock), str(os.getpid()), "60", sys.executable, "-c", code],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[lock], start_new_session=True)
command = int(process.stdout.readline())
os.close(lock)
sibling = os.fork() if fork else 0
if fork and sibling == 0:
    signal.pause()
print(process.pid, command, sibling, flush=True)
signal.pause()
"""


class Family:
    """A parent, its guardian, the guarded command, and the data folder that they hold."""

    def __init__(self, folder: DataFolder, *, fork: bool, code: str) -> None:
        lock = folder.take_lock(wait_seconds=0)
        self.parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, str(lock), guardian.__file__, "fork" if fork else "", code],
            stdout=subprocess.PIPE,
            pass_fds=[lock],
        )
        os.close(lock)
        assert self.parent.stdout is not None
        self.guardian, self.command, self.sibling = map(int, self.parent.stdout.readline().split())

    def end(self) -> None:
        for pid in (self.sibling, self.guardian, self.command):
            if pid and is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        self.parent.kill()
        self.parent.communicate()


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder(tmp_path)


@pytest.fixture
def start(folder: DataFolder) -> Iterator[Callable[..., Family]]:
    families: list[Family] = []

    def start_family(*, fork: bool = False, code: str = SLEEPER) -> Family:
        families.append(Family(folder, fork=fork, code=code))
        return families[-1]

    yield start_family
    for family in families:
        family.end()


def catches(number: signal.Signals, pid: int) -> bool:
    """Whether the process has a handler of its own for the signal."""
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    mask = next(line.split()[1] for line in lines if line.startswith("SigCgt:"))
    return bool(int(mask, 16) >> (number - 1) & 1)


def wait_until_gone(family: Family) -> None:
    wait_until(lambda: not is_alive(family.command), "the command ends")
    wait_until(lambda: not is_alive(family.guardian), "the guardian ends")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_command_ends_when_its_parent_dies(start: Callable[..., Family], number: signal.Signals) -> None:
    family = start()
    family.parent.send_signal(number)
    wait_until_gone(family)


def test_the_command_ends_with_its_parent_even_when_a_fork_holds_the_pipe(
    start: Callable[..., Family],
) -> None:
    family = start(fork=True)
    family.parent.kill()
    wait_until_gone(family)
    assert is_alive(family.sibling)


def test_the_command_ends_when_the_guardian_itself_is_killed(start: Callable[..., Family]) -> None:
    family = start()
    os.kill(family.guardian, signal.SIGKILL)
    wait_until(lambda: not is_alive(family.command), "the command ends")


def test_a_suspended_command_ends_in_order_without_the_grace_running_out(
    start: Callable[..., Family],
) -> None:
    family = start(code=ORDERLY)
    wait_until(lambda: catches(signal.SIGTERM, family.command), "the command waits for SIGTERM")
    os.kill(family.command, signal.SIGSTOP)
    family.parent.kill()
    wait_until_gone(family)


def test_a_command_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    lock = DataFolder(tmp_path).take_lock(wait_seconds=0)
    watch = [str(lock), str(os.getpid()), "0.2"]
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", guardian.__file__, *watch, sys.executable, "-c", STUBBORN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[lock],
    )
    os.close(lock)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stderr.readline()  # it ignores SIGTERM from here on
    process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGKILL


def test_the_folder_is_held_exactly_as_long_as_the_command_lives(
    start: Callable[..., Family], folder: DataFolder
) -> None:
    family = start()
    with pytest.raises(DataFolderInUse):
        folder.take_lock(wait_seconds=0)
    os.kill(family.command, signal.SIGKILL)
    os.close(folder.take_lock(wait_seconds=20))


def test_the_guardian_ends_with_the_status_of_a_command_that_ends_by_itself(tmp_path: Path) -> None:
    lock = DataFolder(tmp_path).take_lock(wait_seconds=0)
    watch = [str(lock), str(os.getpid()), "5"]
    with subprocess.Popen(
        [sys.executable, guardian.__file__, *watch, sys.executable, "-c", "exit(3)"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[lock],
    ) as process:
        os.close(lock)
        assert process.wait(20) == 3
