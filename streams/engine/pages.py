"""What a worker shows of itself over HTTP, as JSON: its shards, its agents, its state tables.

/lockstep/status   worker, broker, shards with owner claim, progress and lag of each input, standbys, counters
/lockstep/agents   agents with their topics and what waits in their shards
/lockstep/tables   state tables: name, meaning, changelog, rows and bytes (rows are counted when asked: ?count=1)
/lockstep/tables/NAME/KEY   rows of a table whose key begins with KEY (an account, a thread, ...)
/lockstep/rebuild/SHARD   POST only: wipe the shard's store, restore it from the topics, compare

/lockstep/losses   what shards that are closed by TRIMMED_BELOW_PROGRESS have lost
/lockstep/losses/SHARD/TOPIC/PROGRESS/LOG_START   POST only: accept just that loss

What is not POST only looks. POST wants the header X-Lockstep, which no form of a web page elsewhere can send.
Tested in tests/e2e.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import faust
from faust.web import Request, Response, View

from streams.engine.app import Fetching
from streams.engine.host import Host
from streams.engine.losses import Loss, NoSuchLoss
from streams.engine.rebuilding import Rebuilt, ShardNotOpen
from streams.engine.settings import ShardStatus
from streams.engine.shard import Shard
from streams.engine.topic_watch import LastHeard
from streams.tables import TABLES, TableSpec

_ROWS_MAX = 100


def status_of(host: Host, fetching: Fetching, heard: LastHeard) -> dict[str, Any]:
    """Return what /lockstep/status shows; keys are stable."""
    return {
        "worker": host.settings.worker,
        "app": host.settings.app,
        "pid": os.getpid(),
        "broker": heard.judge(host.broker),
        "generation": host.membership.generation,
        "shards": [
            _shard_of(host, number, fetching) for number in sorted(host.assigned | host.status.keys())
        ],
        "standbys": host.standbys.status(),
        "counters": dict(sorted(host.counters.items())),
    }


def _shard_of(host: Host, number: int, fetching: Fetching) -> dict[str, Any]:
    status = host.status.get(number) or ShardStatus()
    shard = host.shards.get(number)
    shown: dict[str, Any] = {
        "shard": number,
        "state": status.state,
        "detail": status.detail,
        "rows_read": status.rows_read,
        "rows_total": status.rows_total,
        "claim": None if shard is None else shard.claim_number,
        "clock_ms": None if shard is None else shard.now_ms,
        "inputs": {},
    }
    if shard is not None:
        shown["inputs"] = {topic: _input_of(shard, topic, fetching) for topic in shard.inputs}
        shown["is_expiry_held"] = shard.is_expiry_held
    return shown


def _input_of(shard: Shard, topic: str, fetching: Fetching) -> dict[str, Any]:
    one = shard.inputs[topic]
    end = fetching.end(topic, shard.number)
    return {
        "progress": one.next_offset,
        "is_half_done": bool(one.cursor),
        "pending": len(one.pending),
        "end": end,
        "lag": fetching.lag(topic, shard.number, one.next_offset, one.fetched_to),
    }


def with_lag(shards: list[dict[str, Any]], fetching: Fetching) -> list[dict[str, Any]]:
    """Add lag and pending to the inputs of shards that have `progress` and `fetched`."""
    for shard in shards:
        for topic, one in shard["inputs"].items():
            progress, fetched = one["progress"], one["fetched"]
            if progress is not None and fetched is not None:
                one["lag"] = fetching.lag(topic, shard["shard"], progress, fetched)
                one["pending"] = max(0, fetched - progress)
    return shards


def add_status_page(app: faust.App, status: Callable[[], dict[str, Any]]) -> None:
    """Add /lockstep/status to a worker of any app."""

    @app.page("/lockstep/status")
    class StatusPage(View):
        """GET the worker's status."""

        async def get(self, request: Request) -> Response:  # noqa: ARG002  # Faust's signature
            return self.json(status())

    del StatusPage  # registered by the decorator


def add_pages(app: faust.App, host: Host, fetching: Fetching, heard: LastHeard) -> None:
    """Add the pages of a pipeline worker to its web server."""
    add_status_page(app, lambda: status_of(host, fetching, heard))

    @app.page("/lockstep/agents")
    class AgentsPage(View):
        """GET the agents."""

        async def get(self, request: Request) -> Response:  # noqa: ARG002  # Faust's signature
            return self.json({"agents": [_agent(host, topic) for topic in host.settings.input_topics]})

    @app.page("/lockstep/tables")
    class TablesPage(View):
        """GET the state tables."""

        async def get(self, request: Request) -> Response:
            counted = request.query.get("count") == "1"
            return self.json({"tables": [_table(host, table, counted=counted) for table in TABLES]})

    @app.page("/lockstep/tables/{name}/{key}")
    class RowsPage(View):
        """GET the rows of a table whose key begins with a text."""

        async def get(self, request: Request, name: str, key: str) -> Response:  # noqa: ARG002  # Faust's signature
            table = next((table for table in TABLES if table.name == name), None)
            if table is None:
                return self.json(
                    {"error": "UNKNOWN_TABLE", "tables": [one.name for one in TABLES]}, status=404
                )
            return self.json({"table": name, "rows": list(islice(_rows(host, table, key), _ROWS_MAX))})

    del AgentsPage, TablesPage, RowsPage  # registered by the decorator
    _add_rebuild_page(app, host)
    _add_loss_pages(app, host)


def _add_rebuild_page(app: faust.App, host: Host) -> None:
    @app.page("/lockstep/rebuild/{shard}")
    class RebuildPage(View):
        """POST: rebuild a shard that is open here; answers when it is open again."""

        async def post(self, request: Request, shard: str) -> Response:
            if "X-Lockstep" not in request.headers:
                return self.json({"error": "NO_HEADER", "detail": "send the header X-Lockstep"}, status=403)
            if not shard.isdecimal():
                return self.json(
                    {"error": "NO_SHARD", "detail": f"{shard!r} is no shard's number"}, status=404
                )
            try:
                rebuilt = await host.rebuild(int(shard))
            except ShardNotOpen as error:
                return self.json({"error": error.code, "detail": str(error)}, status=409)
            return self.json(_rebuilt(int(shard), rebuilt))

    del RebuildPage  # registered by the decorator


def _add_loss_pages(app: faust.App, host: Host) -> None:
    @app.page("/lockstep/losses")
    class LossesPage(View):
        """GET what shards wait for."""

        async def get(self, request: Request) -> Response:  # noqa: ARG002  # Faust's signature
            return self.json({"losses": [loss._asdict() for loss in host.losses.all()]})

    @app.page("/lockstep/losses/{shard}/{topic}/{progress}/{log_start}")
    class LossPage(View):
        """POST: accept a loss; the shard is opened at its next attempt."""

        async def post(
            self, request: Request, shard: str, topic: str, progress: str, log_start: str
        ) -> Response:
            if "X-Lockstep" not in request.headers:
                return self.json({"error": "NO_HEADER", "detail": "send the header X-Lockstep"}, status=403)
            numbers = (shard, progress, log_start)
            if not all(number.isdecimal() for number in numbers):
                return self.json({"error": "NO_SUCH_LOSS", "detail": f"{numbers}: no numbers"}, status=404)
            try:
                host.losses.accept(Loss(int(shard), topic, int(progress), int(log_start)))
            except NoSuchLoss as error:
                return self.json({"error": error.code, "detail": str(error)}, status=409)
            return self.json({"accepted": True})

    del LossesPage, LossPage  # registered by the decorator


def _rebuilt(shard: int, rebuilt: Rebuilt) -> dict[str, Any]:
    return {
        "shard": shard,
        "rows_before": rebuilt.before.rows,
        "rows_after": rebuilt.after.rows,
        "digest_before": rebuilt.before.digest,
        "digest_after": rebuilt.after.digest,
        "equal": not rebuilt.differing,
        "differing": rebuilt.differing,
        "seconds": round(rebuilt.seconds, 3),
    }


def _agent(host: Host, topic: str) -> dict[str, Any]:
    return {
        "name": topic,
        "topics": [topic],
        "shards": sorted(host.shards),
        "pending": sum(len(shard.inputs[topic].pending) for shard in host.shards.values()),
    }


def _table(host: Host, table: TableSpec, *, counted: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": table.name, "meaning": table.meaning, "changelog": table.changelog.value}
    if counted:
        rows = [
            (len(key) + len(value))
            for shard in host.shards.values()
            for key, value in shard.store.rows(table.byte)
        ]
        shown |= {"rows": len(rows), "bytes": sum(rows)}
    return shown


def _rows(host: Host, table: TableSpec, key: str) -> Iterator[dict[str, Any]]:
    prefix = table.byte + key.encode()
    for number, shard in sorted(host.shards.items()):
        for row_key, value in shard.store.rows(prefix):
            yield {
                "shard": number,
                "key": _readable(row_key[1:]),
                "value": _readable(value),
                "hex": value.hex(),
            }


def _readable(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
