"""J1 and J6: a load as fast as it goes; CPU of workers and broker, wall time, memory, and whether all of it is right.

The clock runs from the first record written to the moment the last output was committed; CPU is read at the same two
moments. The load is encoded before. `with_start`: all that the workers used since they began, over all that they were
fed, set-up and warm-up included. A run whose output is wrong has no figures, only the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.outputs import Ends
from bench.running import Run, running

if TYPE_CHECKING:
    from bench.contenders.base import Contender
    from bench.load import Fed, Load
    from bench.sitting import Sitting

FIGURES = (
    "messages_per_cpu_second",
    "messages_per_cpu_second_with_start",
    "cpu_seconds_per_million",
    "cpu_seconds_per_million_with_start",
    "broker_cpu_seconds_per_million",
    "messages_per_second",
    "peak_rss_mib",
)
FIGURES_WITH_START = tuple(name for name in FIGURES if name.endswith("_with_start"))


async def throughput(sitting: Sitting, contender: Contender, load: Load) -> dict[str, Any]:
    """Return the figures of one run."""
    load = replace(
        load,
        messages=int(load.messages * contender.share_of_load),
        names_recipient=contender.names_recipient,
    )
    common = {"messages": load.messages}
    async with running(sitting, contender, load) as run:
        found = {**common, **await measured(run, run.encode(load))}
    if contender.share_of_load < 1:
        found |= dict.fromkeys(FIGURES_WITH_START)  # a start weighs more on fewer messages
    return found


async def measured(run: Run, records: Sequence[Fed]) -> dict[str, Any]:
    """Feed records to a contender that is warm; return figures, or null and the reason."""
    count = len(records)
    async with Ends(run.sitting, run.contender.output_topics) as ends:
        begun = run.sample()
        await run.feed(records)
        ended = await run.settled(ends, run.due())
    if reason := await run.reason():
        return {**dict.fromkeys(FIGURES), "reason": reason}
    cpu_s = ended.workers.cpu_s - begun.workers.cpu_s
    broker_s = ended.broker.cpu_s - begun.broker.cpu_s
    return {
        "messages_per_cpu_second": count / cpu_s,
        "cpu_seconds_per_million": cpu_s / count * 1e6,
        "messages_per_cpu_second_with_start": len(run.messages) / ended.workers.cpu_s,
        "cpu_seconds_per_million_with_start": ended.workers.cpu_s / len(run.messages) * 1e6,
        "broker_cpu_seconds_per_million": broker_s / count * 1e6,
        "messages_per_second": count / (ended.at_s - begun.at_s),
        "peak_rss_mib": run.peak_rss_bytes / 2**20,
        "reason": None,
    }
