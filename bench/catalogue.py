"""Every job by its name."""

from __future__ import annotations

from bench.jobs.two_hop import J1
from bench.plan import Job

JOBS: dict[str, Job] = {job.name: job for job in (J1,)}
