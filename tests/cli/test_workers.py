"""Workers are asked over their pages, and one that does not answer is named (streams/cli/workers.py)."""

from __future__ import annotations

import pytest

from streams.cli.workers import Pages, Worker, WorkerSilent
from tests.cli.pages import fake_worker


def _worker(port: int) -> Worker:
    return Worker("worker-0", "pipeline", 1, port, 0)


async def test_a_page_is_given_with_its_status_code() -> None:
    with fake_worker({"GET /lockstep/agents": (200, {"agents": []})}) as port:
        async with Pages() as pages:
            assert await pages.get(_worker(port), "agents") == (200, {"agents": []})
            assert await pages.get(_worker(port), "nothing") == (404, {"error": "NO_PAGE"})


async def test_no_answer_and_an_answer_that_is_no_object_are_none() -> None:
    with fake_worker({"GET /lockstep/agents": (200, [1])}) as port:
        async with Pages() as pages:
            assert await pages.get_all([_worker(port), _worker(1)], "agents") == [None, None]


async def test_asking_each_names_the_worker_that_is_silent() -> None:
    async with Pages() as pages:
        with pytest.raises(WorkerSilent, match=r"worker-0 .* port 1"):
            await pages.get_each([_worker(1)], "agents")
