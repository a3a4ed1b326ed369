"""`lockstep thread` asks the store's worker, page by page, and decodes what it says (streams/cli/thread.py)."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from streams.cli.thread import thread
from streams.codec import Codec
from tests.cli.pages import Answer, fake_worker, write_run

POST = Codec()["Post"].encode({"content_type": "text/plain", "body": b"Hello \x1b[2J", "media": []})
LAST = 2**63 - 1


def message(position: int, **changes: Any) -> dict[str, Any]:
    return {
        "position": position,
        "message_id": f"{position:032x}",
        "kind": "post",
        "sender": "ann",
        "server_at_ms": 1_800_000_000_000,
        "version": position,
        "deleted": False,
        "target": None,
        "pending": False,
        "body": {"content": b64encode(POST).decode(), "edited_text": None},
        **changes,
    }


def page(*messages: dict[str, Any], following: int | None = None) -> Answer:
    return 200, {"thread": "a/b", "messages": list(messages), "next": following}


EDITED = {"content": b64encode(POST).decode(), "edited_text": b64encode(b"Better").decode()}
PAGES = {
    f"GET /lockstep/threads/a%2Fb?first=1&last={LAST}": page(
        message(1), message(2, body=EDITED), following=3
    ),
    f"GET /lockstep/threads/a%2Fb?first=3&last={LAST}": page(
        message(3, body=None, pending=True),
        message(4, body=None, deleted=True),
        message(5, kind="delete", body=None, target="04"),
    ),
    "GET /lockstep/threads/a%2Fb?first=2&last=2": page(message(2, body=EDITED)),
    f"GET /lockstep/threads/nobody?first=1&last={LAST}": page(),
    f"GET /lockstep/threads/busy?first=1&last={LAST}": (
        503,
        {"error": "SHARD_NOT_OPEN", "detail": "not here"},
    ),
}


def run(folder: Path, *arguments: str) -> Result:
    with fake_worker(PAGES) as port:
        write_run(folder, {"store-0": port}, app="store")
        return CliRunner().invoke(thread, [*arguments, "--data-dir", str(folder)])


def test_a_thread_of_several_pages_comes_whole_and_decoded(tmp_path: Path) -> None:
    done = run(tmp_path, "a/b", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["thread"] == "a/b"
    assert [one["position"] for one in found["messages"]] == [1, 2, 3, 4, 5]
    first, second, third, *_ = found["messages"]
    assert (first["body"]["record"], first["body"]["body"], first["body"]["edited"]) == (
        "Post",
        "Hello \x1b[2J",
        False,
    )
    assert (second["body"]["body"], second["body"]["edited"]) == ("Better", True)
    assert (third["pending"], third["body"]) == (True, None)


def test_a_table_tells_what_is_edited_pending_deleted_and_lets_nobody_steer_the_terminal(
    tmp_path: Path,
) -> None:
    shown = run(tmp_path, "a/b").stdout
    assert "\x1b[2J" not in shown
    for expected in ("Hello", "Better (edited)", "pending", "deleted", "of message 04"):
        assert expected in shown


def test_a_range_is_handed_on(tmp_path: Path) -> None:
    found = json.loads(run(tmp_path, "a/b", "--first", "2", "--last", "2", "--json").stdout)
    assert [one["position"] for one in found["messages"]] == [2]


def test_nothing_stored_ends_with_1(tmp_path: Path) -> None:
    done = run(tmp_path, "nobody")
    assert (done.exit_code, "NOTHING_STORED" in done.output) == (1, True)
    done = run(tmp_path, "nobody", "--json")
    assert (done.exit_code, json.loads(done.stdout)["messages"]) == (1, [])


def test_what_the_worker_refuses_is_told_with_its_code(tmp_path: Path) -> None:
    done = run(tmp_path, "busy")
    assert done.exit_code == 1
    assert "SHARD_NOT_OPEN" in done.output
    assert "not here" in done.output


def test_an_instance_without_a_store_is_told(tmp_path: Path) -> None:
    write_run(tmp_path, {"worker-0": 1})
    done = CliRunner().invoke(thread, ["t", "--data-dir", str(tmp_path)])
    assert (done.exit_code, "runs no store worker" in done.output) == (2, True)
