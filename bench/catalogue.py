"""Every job by its name."""

from __future__ import annotations

from bench.jobs.growth import J5
from bench.jobs.instance import START, TAKEOVER
from bench.jobs.latency import J3
from bench.jobs.load import HOT_KEY, OVERLOAD, SLOW_READER
from bench.jobs.observing import OBSERVING
from bench.jobs.raw import RAW
from bench.jobs.recovery import J4
from bench.jobs.slow_store import SLOW_STORE_JOB
from bench.jobs.soak import SOAK
from bench.jobs.trace import J2
from bench.jobs.two_hop import J1, J6
from bench.plan import Job

JOBS: dict[str, Job] = {
    job.name: job
    for job in (
        *(J1, J2, J3, J4, TAKEOVER, J5, J6, RAW),
        *(OVERLOAD, HOT_KEY, SLOW_READER, SLOW_STORE_JOB, SOAK, START, OBSERVING),
    )
}
