"""Every job by its name."""

from __future__ import annotations

from bench.jobs.growth import J5
from bench.jobs.latency import J3
from bench.jobs.raw import RAW
from bench.jobs.recovery import J4
from bench.jobs.two_hop import J1, J6
from bench.plan import Job

JOBS: dict[str, Job] = {job.name: job for job in (J1, J3, J4, J5, J6, RAW)}
