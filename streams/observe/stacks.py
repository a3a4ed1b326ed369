"""What a process waits for: the stacks of its threads and of its tasks, on standard error, at SIGUSR1.

For a worker that is stuck: `kill -USR1 PID`, then read its log. A thread of its own waits for the signal, so that it is
answered too while the event loop is held up. Shown are places in the code and names of tasks, no values: what people
write is in none of it. A task that is not awaited by another and has ended is not shown.
Tested in tests/observe/test_stacks.py.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import TextIO

SIGNAL = signal.SIGUSR1
BEGIN, END = "=== stacks: begin", "=== stacks: end"
"""The lines around them."""
_FRAMES_MAX = 60
"""Frames shown of one stack: a chain of awaits is short, a recursion need not be shown to its end."""


def answer_signal(loop: asyncio.AbstractEventLoop, file: TextIO | None = None) -> None:
    """Write the stacks whenever the signal comes, until the process ends.

    Call it in the main thread before others are started: they inherit that the signal is not theirs.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})

    def wait() -> None:
        while True:
            signal.sigwait({SIGNAL})
            print(render(loop), file=file or sys.stderr, flush=True)

    threading.Thread(target=wait, name="stacks", daemon=True).start()


def render(loop: asyncio.AbstractEventLoop) -> str:
    """Return the stacks of all threads but this one, and of all tasks of a loop, innermost call last."""
    lines = [BEGIN]
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():  # noqa: SLF001  # the only way to other threads' stacks
        if ident != threading.get_ident():
            lines.append(f"--- thread {names.get(ident, ident)}")
            lines += (line.rstrip() for line in traceback.format_stack(frame, _FRAMES_MAX))
    for task in sorted(asyncio.all_tasks(loop), key=asyncio.Task.get_name):
        coroutine = task.get_coro()
        name, does = task.get_name(), getattr(coroutine, "__qualname__", coroutine)
        lines.append(f"--- task {does}" if name.startswith(("Task-", "<")) else f"--- task {name}: {does}")
        lines += _awaits(coroutine)
    lines.append(END)
    return "\n".join(lines)


def _awaits(awaited: object) -> Iterator[str]:
    """Follow what a coroutine awaits, as far as Python tells."""
    for _ in range(_FRAMES_MAX):
        frame, following = _step(awaited)
        if frame is not None:
            code = frame.f_code
            yield f'  File "{code.co_filename}", line {frame.f_lineno}, in {code.co_qualname}'
        elif awaited is not None:
            yield f"  waits for {type(awaited).__name__}"
        if following is None:
            return
        awaited = following


def _step(awaited: object) -> tuple[FrameType | None, object]:
    match awaited:
        case CoroutineType():
            return awaited.cr_frame, awaited.cr_await
        case GeneratorType():
            return awaited.gi_frame, awaited.gi_yieldfrom
        case AsyncGeneratorType():
            return awaited.ag_frame, awaited.ag_await
        case _:
            return None, None
