"""The other workers of the same instance, asked for the live page: whoever looks at one sees all.

`lockstep up` writes run.json; a worker that it names there may ask the others, on loopback. Nothing is asked unless
somebody looks at the page, and then at most once a second, however many look. A worker that does not answer within a
moment is named as silent, never left out. Tested in tests/observe/test_peers.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

RUN_FILE = "run.json"
"""Where `lockstep up` says what runs, in its data folder."""
ANSWER_S_MAX = 0.7
_FRESH_S = 0.9


class Others(NamedTuple):
    """What is known of the rest of the instance."""

    shards: int | None
    """Partitions of each topic; None where no instance names this worker."""
    workers: list[dict[str, Any]]


ALONE = Others(None, [])


class Peers:
    """Asks the other workers of an instance."""

    def __init__(self, data_dir: Path, app: str, worker: str) -> None:
        self._path = data_dir / RUN_FILE
        self._own = (app, worker)
        self._known = ALONE
        self._asked_at = -_FRESH_S
        self._asking = asyncio.Lock()

    async def ask(self) -> Others:
        """Return what the others say of themselves; at most a second old."""
        async with self._asking:
            if time.monotonic() - self._asked_at >= _FRESH_S:
                self._known = await self._ask()
                self._asked_at = time.monotonic()
            return self._known

    async def _ask(self) -> Others:
        run = self._read()
        if run is None:
            return ALONE
        import aiohttp  # Faust has it loaded; commands that only want RUN_FILE do not pay for it

        others = [one for one in run["workers"] if (one["app"], one["name"]) != self._own]
        timeout = aiohttp.ClientTimeout(total=ANSWER_S_MAX)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            answers = await asyncio.gather(*(_figures(session, one["web_port"]) for one in others))
        return Others(
            run["shards"],
            [
                answer or {"worker": one["name"], "app": one["app"], "pid": one["pid"], "is_silent": True}
                for one, answer in zip(others, answers, strict=True)
            ],
        )

    def _read(self) -> dict[str, Any] | None:
        """Return run.json when it names this very process: the folder may have served another instance."""
        try:
            run: dict[str, Any] = json.loads(self._path.read_text("utf-8"))
            named = any(
                (one["app"], one["name"]) == self._own and one["pid"] == os.getpid() for one in run["workers"]
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return run if named else None


async def _figures(session: Any, web_port: int) -> dict[str, Any] | None:  # noqa: ANN401  # aiohttp is loaded late
    try:
        async with session.get(f"http://127.0.0.1:{web_port}/lockstep/live?own=1") as response:
            answer = await response.json()
    except (OSError, TimeoutError, ValueError):  # a refused connection is an OSError of aiohttp's
        return None
    return answer["own"] if isinstance(answer, dict) and "own" in answer else None
