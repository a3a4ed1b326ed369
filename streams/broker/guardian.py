"""The process between Lockstep and Kafka: it sees to it that nothing is left running.

Run as a file by its path with `python -I -S`: it uses the standard library only and imports nothing of ours.
    guardian.py LOCK_FD PARENT_PID GRACE_SECONDS COMMAND...
It starts COMMAND, writes its pid as one line on stdout, and ends when COMMAND has ended. It stops COMMAND
(SIGTERM, after the grace SIGKILL) when its stdin closes, which the kernel does however the parent dies; when
the parent is gone although someone holds that pipe open (a forked sibling); or on SIGTERM, SIGINT, SIGHUP.
If the guardian itself is killed, Linux kills COMMAND (PR_SET_PDEATHSIG, which fires at the death of the
parent THREAD: the guardian has only one). LOCK_FD is the flock of the data folder; COMMAND inherits it and
holds it as long as it lives. Elsewhere than on Linux a SIGKILL of the guardian itself leaves COMMAND running.
Tested in tests/broker/test_guardian.py.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PARENT_CHECK_SECONDS = 0.5


def main(lock_fd: int, parent_pid: int, grace_seconds: float, command: list[str]) -> int:
    """Start, watch, stop; returns the exit status of the command."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    asked_to_stop = False

    def note_stop(*_: object) -> None:
        nonlocal asked_to_stop
        asked_to_stop = True

    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, note_stop)
    child = subprocess.Popen(  # the command is our own, not from outside
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        pass_fds=[lock_fd],
        preexec_fn=_die_with_parent(),  # noqa: PLW1509  # this process has one thread  # this process has one thread
    )
    os.close(lock_fd)  # the child has it: the folder is free exactly when the child is gone
    sys.stdout.write(f"{child.pid}\n")
    sys.stdout.flush()
    while child.poll() is None:
        readable, _, _ = select.select([0, wake_read], [], [], _PARENT_CHECK_SECONDS)
        if wake_read in readable:
            os.read(wake_read, 4096)
        if asked_to_stop or 0 in readable or os.getppid() != parent_pid:
            _stop(child, grace_seconds)
    return child.returncode


def _stop(child: "subprocess.Popen[bytes]", grace_seconds: float) -> None:
    child.send_signal(signal.SIGTERM)
    child.send_signal(signal.SIGCONT)  # a suspended broker would not see the first
    try:
        child.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _die_with_parent() -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up before the fork
    guardian_pid = os.getpid()

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guardian_pid:  # it died between fork and prctl
            os._exit(1)

    return before_exec


if __name__ == "__main__":
    status = main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:])
    sys.exit(status if status >= 0 else 128 - status)
