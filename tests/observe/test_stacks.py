"""A process that is stuck tells what it waits for, even when its event loop is held up."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import IO

from streams.observe import stacks

HELD_UP = """
import asyncio, threading, time
from streams.observe import stacks

async def wait_for_nothing():
    await asyncio.Event().wait()

async def main():
    asyncio.create_task(wait_for_nothing(), name="the one that waits")
    await asyncio.sleep(0)
    hold_up()

def hold_up():
    print("ready", flush=True)
    while True:
        time.sleep(0.01)

loop = asyncio.new_event_loop()
stacks.answer_signal(loop)
loop.run_until_complete(main())
"""


async def test_a_task_is_shown_down_to_the_call_that_waits() -> None:
    async def inner() -> None:
        await asyncio.Event().wait()

    async def outer() -> None:
        await inner()

    task = asyncio.create_task(outer(), name="told apart")
    await asyncio.sleep(0)
    shown = stacks.render(asyncio.get_running_loop())
    task.cancel()
    ours = shown[shown.index("--- task told apart") :]
    assert ours.index("outer") < ours.index("inner") < ours.index("Event.wait")


def test_a_process_answers_the_signal_though_its_loop_is_held_up() -> None:
    """Threads and tasks; twice, and it lives on."""
    process = subprocess.Popen(
        [sys.executable, "-c", HELD_UP],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        assert process.stdout.readline() == "ready\n"
        for _ in range(2):
            process.send_signal(stacks.SIGNAL)
            shown = read_stacks(process.stderr)
            assert "hold_up" in shown
            assert "--- task the one that waits: wait_for_nothing" in shown
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()


def read_stacks(file: IO[str]) -> str:
    lines = []
    for line in file:
        lines.append(line)
        if line.startswith("=== stacks: end"):
            return "".join(lines)
    raise AssertionError("no stacks:\n" + "".join(lines))
