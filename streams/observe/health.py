"""Whether a worker is healthy, and whether it is ready: for whatever starts, stops and balances processes. Pure.

Healthy: the process answers, its event loop keeps time, its broker is there. Ready: it has an assignment, and every
shard of it is open. A worker that waits for its broker mends itself, so a supervisor that would kill an unhealthy one
asks with `?broker=ignore`. Tested in tests/observe/test_health.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from streams.observe.worker import BROKER_UP, OPEN, ShardRow

LOOP_DELAY_S_MAX = 2.0
"""An event loop that is later than this loses its shards soon: the consumer's heartbeat is late too."""


class Answer(NamedTuple):
    """HTTP status and JSON."""

    status: int
    content: dict[str, Any]


def health(*, worker: str, app: str, broker: str, loop_delay_s: float, ignores_broker: bool) -> Answer:
    """Return 200, or 503 with what is wrong."""
    reasons = []
    if loop_delay_s > LOOP_DELAY_S_MAX:
        reasons.append(
            f"the event loop was {loop_delay_s:.1f} s late in the last 10 s, {LOOP_DELAY_S_MAX:.0f} s may be"
        )
    if broker != BROKER_UP and not ignores_broker:
        reasons.append(f"broker: {broker}")
    content = {
        "healthy": not reasons,
        "reasons": reasons,
        "worker": worker,
        "app": app,
        "broker": broker,
        "loop_delay_s": round(loop_delay_s, 3),
    }
    return Answer(503 if reasons else 200, content)


def readiness(*, worker: str, app: str, has_joined: bool, shards: Sequence[ShardRow]) -> Answer:
    """Return 200 when every shard that the worker should have is open, 503 with the others when not.

    A worker that the group gave nothing to (there are more workers than shards) is ready: it stands by.
    """
    closed = [one for one in shards if one["state"] != OPEN]
    reasons = [
        f"shard {one['shard']} is {one['state']}" + (f": {one['detail']}" if one["detail"] else "")
        for one in closed
    ]
    if not has_joined:
        reasons.append("the group has not given this worker its shards yet")
    content = {
        "ready": not reasons,
        "reasons": reasons,
        "worker": worker,
        "app": app,
        "shards_assigned": len(shards),
        "shards_open": len(shards) - len(closed),
    }
    return Answer(503 if reasons else 200, content)
