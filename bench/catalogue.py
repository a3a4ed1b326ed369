"""Every job by its name."""

from __future__ import annotations

from bench.jobs.latency import J3
from bench.jobs.two_hop import J1, J6
from bench.plan import Job

JOBS: dict[str, Job] = {job.name: job for job in (J1, J3, J6)}
