"""Reading a thread over HTTP: GET /lockstep/threads/THREAD?first=1&last=20 on the store's worker.

The answer has the thread's operations in order, each with its metadata and, for a message, its body exactly as of
that metadata, or `pending` true: never an empty body that is not flagged (W7). `next` is where to go on, null at the
end of what was asked for. Keys are stable. Errors: BAD_RANGE and BAD_THREAD with 400, SHARD_NOT_OPEN and the store's
own codes with 503 (try again). Tested in tests/split_store/test_pages.py and tests/e2e/test_split_store_kafka.py.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any, NamedTuple

from streams.errors import ConfigurationError, LockstepError
from streams.ids import id_problem
from streams.limits import STORE_PAGE_ROWS_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.split_store.reads import StoredMessage
    from streams.split_store.store import SplitStore
    from streams.store_ports import Body

PATH = "/lockstep/threads"
_POSITION_MAX = 2**63 - 1


class Answer(NamedTuple):
    """HTTP status and JSON."""

    status: int
    content: dict[str, Any]


class ThreadPages:
    """Answers what is asked of the threads of this process."""

    def __init__(self, store: SplitStore) -> None:
        self._store = store

    async def answer(self, thread_id: str, query: Mapping[str, str]) -> Answer:
        """Return a part of a thread, at most STORE_PAGE_ROWS_MAX operations; never raises a LockstepError."""
        if (problem := id_problem(thread_id)) is not None:
            return _refused(400, "BAD_THREAD", problem)
        first, last = query.get("first", "1"), query.get("last", str(_POSITION_MAX))
        if not (_is_position(first) and _is_position(last)):
            return _refused(400, "BAD_RANGE", "first and last are thread positions: numbers from 1 on")
        try:
            return await self._read(thread_id, int(first), int(last))
        except ConfigurationError as error:
            return _refused(503, "SHARD_NOT_OPEN", str(error))
        except LockstepError as error:
            return _refused(503, error.code, str(error))

    async def _read(self, thread_id: str, first: int, last: int) -> Answer:
        messages = await self._store.read(thread_id, first, last, rows_max=STORE_PAGE_ROWS_MAX)
        is_full = len(messages) == STORE_PAGE_ROWS_MAX and messages[-1].row.position < last
        content = {
            "thread": thread_id,
            "messages": [shown(message) for message in messages],
            "next": messages[-1].row.position + 1 if is_full else None,
        }
        return Answer(200, content)


def shown(message: StoredMessage) -> dict[str, Any]:
    """Return one operation as JSON takes it; ids in hexadecimal, bytes in base64."""
    row = message.row
    return {
        "position": row.position,
        "message_id": row.message_id.hex(),
        "kind": row.kind,
        "sender": row.sender_id,
        "server_at_ms": row.server_at_ms,
        "version": row.version,
        "deleted": row.is_deleted,
        "target": None if row.target is None else row.target.hex(),
        "pending": message.is_pending,
        "body": None if message.body is None else _body(message.body),
    }


def _body(body: Body) -> dict[str, Any]:
    """The framed Post or PostForm as it was sent, and what the last edit put in place of its text."""
    edited = None if body.text is None else b64encode(body.text).decode()
    return {"content": b64encode(body.content).decode(), "edited_text": edited}


def _is_position(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 1 <= int(text[:20]) <= _POSITION_MAX


def _refused(status: int, code: str, detail: str) -> Answer:
    return Answer(status, {"error": code, "detail": detail})
