"""One run of one contender: start, set up, warm up, and the parts that jobs are made of. Nothing is left running."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.check import Verdict, check, expected
from bench.feeding import feed
from bench.load import Fed, Load, encoded, requests
from bench.machine import Usage, usage
from bench.outputs import Ends, read

if TYPE_CHECKING:
    from bench.contenders.base import Contender
    from bench.sitting import Sitting

_LOOK_SECONDS = 0.1
_STALLED_SECONDS = 90.0
"""Without any output for so long, a contender is not waited for any more (Faust restarts after a minute)."""
WARM_UP_SEED = 7_919
LOG_LINES = 12


class Stalled(Exception):
    """A contender gives no output and not everything has come."""


@dataclass(slots=True)
class Sample:
    """Where things stood when the output last grew."""

    at_s: float
    total: int
    workers: Usage
    broker: Usage


@dataclass(slots=True)
class Run:
    """A contender that runs, and everything it was fed."""

    sitting: Sitting
    contender: Contender
    folder: Path
    messages: list[bytes] = field(default_factory=list)
    """Ids of all that was fed, repeats included."""
    extra: dict[bytes, int] = field(default_factory=dict)
    """Ids of what was fed besides, and how many updates each has to give."""
    peak_rss_bytes: int = 0

    async def feed(self, records: Sequence[Fed]) -> None:
        """Write at full speed, and remember."""
        self.messages += [one.message for one in records if one.message]
        await feed(self.sitting, self.contender.input_topic, records)

    def encode(self, load: Load) -> list[Fed]:
        """Return a load as records."""
        now_ms = time.time_ns() // 1_000_000
        some = requests(load, now_ms)
        return list(encoded(some, self.contender.codec, self.sitting.partitions))

    def sample(self, total: int = 0) -> Sample:
        """Look at the clock and at the processes."""
        workers = usage(self.contender.processes())
        self.peak_rss_bytes = max(self.peak_rss_bytes, workers.rss_bytes)
        return Sample(time.monotonic(), total, workers, self.sitting.usage())

    async def settled(self, ends: Ends, due: int) -> Sample:
        """Wait until `due` more records are out and the outputs stand still; return the moment they stopped.

        Raises Stalled.
        """
        last = self.sample(await ends.total())
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            total = await ends.total()
            if total != last.total:
                last = self.sample(total)
                continue
            still_s = time.monotonic() - last.at_s
            if not self.contender.processes():
                raise Stalled("its process has ended")
            if last.total >= due and still_s >= self.contender.still_s:
                return last
            if still_s > _STALLED_SECONDS:
                raise Stalled(
                    f"no output for {_STALLED_SECONDS:g} s; {last.total} of at least {due} records are there"
                )

    def due(self) -> int:
        """Return how many records all outputs together have to hold by now."""
        fed = len(set(self.messages)) * self.contender.copies * len(self.contender.output_topics)
        return fed + self.contender.records_before

    async def verdicts(self) -> dict[str, Verdict]:
        """Check every output against everything that was fed."""
        wanted = expected(self.messages, self.contender.copies) | self.extra
        found = {}
        for topic in self.contender.output_topics:
            due, begun = self.contender.due_on(topic, wanted)
            found[topic] = check(due, await read(self.sitting, topic, self.contender.sight), begun)
        return found

    async def reason(self) -> str | None:
        """Return why the output is wrong, or None."""
        verdicts = await self.verdicts()
        wrong = [f"{topic}: {verdict}" for topic, verdict in verdicts.items() if not verdict.is_right]
        return "; ".join(wrong) or None


@asynccontextmanager
async def running(sitting: Sitting, contender: Contender, load: Load) -> AsyncIterator[Run]:
    """Run a contender on fresh topics, set up and warm; it and its topics are gone afterwards."""
    run = Run(sitting, contender, sitting.new_folder())
    contender.folder = run.folder
    try:
        await contender.start(sitting, run.folder)
        run.messages += [one.message for one in await contender.prepare(sitting, load)]
        if contender.warm_up_messages:
            warm_up = Load(
                messages=contender.warm_up_messages,
                seed=WARM_UP_SEED,
                accounts=load.accounts,
                names_recipient=contender.names_recipient,
            )
            await run.feed(run.encode(warm_up))
            async with Ends(sitting, contender.output_topics) as ends:
                await run.settled(ends, run.due())
        yield run
    except Exception as error:
        await contender.stop()
        error.add_note(log_tail(run.folder))
        raise
    finally:
        await contender.stop()
        shutil.rmtree(run.folder, ignore_errors=True)
        await sitting.wipe()


def log_tail(folder: Path) -> str:
    """Return the last lines of a run's logs."""
    return "\n".join(
        f"{path.name}: {line}"
        for path in sorted([*folder.glob("*.log"), *folder.glob("logs/*.log")])
        for line in path.read_text("utf-8", errors="replace").splitlines()[-LOG_LINES:]
    )
