"""The local store: what is in it after a kill, how damage is named, when it is wiped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streams.engine.restoration import reason_to_wipe, refuse_replaced
from streams.engine.store import Memory, Store, explained, wipe
from streams.errors import StateTopicReplaced, StoreDamaged, StoreError, StoreFull

MEMORY = Memory.of(8 << 20)
TOPICS = ("shard.state",)


def test_rows_and_markers_are_one_batch_that_survives_sigkill(tmp_path: Path) -> None:
    """After SIGKILL the marker never says more, or less, than the rows."""
    _killed(
        tmp_path,
        "for number in range(10_000):\n"
        "    store.write([(b'\\x10row', b'%d' % number)], {'shard.state': number})\n"
        "    if number == 5_000: os.kill(os.getpid(), signal.SIGKILL)\n",
    )
    store = Store(tmp_path / "store", MEMORY)
    assert store.get(b"\x10row") == b"5000"
    assert store.marker("shard.state") == 5_000
    store.close()


@pytest.mark.parametrize(("last", "expected"), [("False", None), ("True", 3)])
def test_what_was_not_logged_is_gone_as_a_whole_or_there_as_a_whole(
    tmp_path: Path, last: str, expected: int | None
) -> None:
    """A marker that survives SIGKILL stands for rows that do: a logged batch takes what came before along."""
    _killed(
        tmp_path,
        "for number in (1, 2):\n"
        "    rows = [(b'\\x10%d' % number, b'v')]\n"
        "    store.write(rows, {'inbox.updates': number}, is_logged=False)\n"
        f"store.write([(b'\\x103', b'v')], {{'shard.state': 3}}, is_logged={last})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n",
    )
    store = Store(tmp_path / "store", MEMORY)
    assert store.marker("shard.state") == expected
    assert store.marker("inbox.updates") == (None if expected is None else 2)
    assert [key for key, _ in store.rows(b"\x10")] == (
        [] if expected is None else [b"\x101", b"\x102", b"\x103"]
    )
    store.close()


def _killed(folder: Path, program: str) -> None:
    """Run some lines with an open store in a process that kills itself."""
    begin = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from streams.engine.store import Memory, Store\n"
        "store = Store(Path(sys.argv[1]), Memory.of(8 << 20))\n"
    )
    command = [sys.executable, "-c", begin + program, str(folder / "store")]
    assert subprocess.run(command, check=False, env=os.environ).returncode == -signal.SIGKILL


def test_closing_is_quick_and_loses_nothing(tmp_path: Path) -> None:
    """A store that was closed with its background work cancelled opens again with every row."""
    for number in range(3):
        store = Store(tmp_path / "store", MEMORY)
        assert store.count(b"\x10") == number
        store.write([(b"\x10%d" % number, b"x")], {})
        store.close()


def test_rows_of_one_table_are_found_by_their_first_byte(tmp_path: Path) -> None:
    """Markers and other tables are not among the rows of a table."""
    store = Store(tmp_path / "store", MEMORY)
    store.write([(b"\x10a", b"1"), (b"\x10b", b"2"), (b"\x11a", b"3")], {"shard.state": 1})
    assert list(store.rows(b"\x10")) == [(b"\x10a", b"1"), (b"\x10b", b"2")]
    assert len(list(store.rows())) == 3
    store.close()


def test_a_damaged_store_is_named_and_can_be_wiped(tmp_path: Path) -> None:
    """Garbage in the database's files is STORE_DAMAGED; after a wipe the store is fresh."""
    path = tmp_path / "store"
    store = Store(path, MEMORY)
    store.write([(b"\x10a", b"1")], {"shard.state": 1})
    store.close()
    for manifest in path.glob("MANIFEST-*"):
        manifest.write_bytes(b"garbage" * 100)
    with pytest.raises(StoreDamaged):
        Store(path, MEMORY)
    wipe(path)
    fresh = Store(path, MEMORY)
    assert fresh.marker("shard.state") is None
    fresh.close()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("IO error: No space left on device: While appending", StoreFull),
        ("Corruption: block checksum mismatch", StoreDamaged),
        ("IO error: No such file or directory: While opening MANIFEST-000005", StoreDamaged),
        ("IO error: lock hold by current process", StoreError),
    ],
)
def test_what_rocksdb_says_becomes_a_stable_code(tmp_path: Path, text: str, kind: type[StoreError]) -> None:
    """Only damage is worth a wipe: a full disk or a lock is waited out."""
    assert type(explained(tmp_path, Exception(text))) is kind


def reason(
    store: Store, *, start: int = 0, end: int = 100, topic_id: str = "one", now_ms: int | None = None
) -> str | None:
    written_at_ms = store.written_at_ms() or 0
    return reason_to_wipe(
        store,
        TOPICS,
        starts={"shard.state": start},
        ends={"shard.state": end},
        topic_ids={"shard.state": topic_id},
        tombstones_kept_ms=1_000,
        now_ms=written_at_ms if now_ms is None else written_at_ms + now_ms,
    )


def test_a_store_that_cannot_be_continued_is_wiped_and_only_then(tmp_path: Path) -> None:
    """Marker outside the log, topic made anew, or away for longer than tombstones are kept: each is a reason."""
    store = Store(tmp_path / "store", MEMORY)
    assert reason(store) is None, "a fresh store has nothing to be wrong about"
    store.write([(b"\x10a", b"1")], {"shard.state": 50})
    store.keep_topic_id("shard.state", "one")
    assert reason(store) is None
    assert reason(store, start=50, end=50) is None
    assert reason(store, start=51) is not None
    assert reason(store, end=49) is not None
    assert reason(store, topic_id="two") is not None
    assert reason(store, now_ms=1_000) is None
    assert reason(store, now_ms=1_001) is not None
    store.close()


def test_a_store_whose_state_topic_was_replaced_is_kept(tmp_path: Path) -> None:
    """The store is then the last copy: it is a named stop, never wiped without a word."""
    store = Store(tmp_path / "store", MEMORY)
    refuse_replaced(store, "shard.state", {"shard.state": "one"})
    store.keep_topic_id("shard.state", "one")
    refuse_replaced(store, "shard.state", {"shard.state": "one"})
    refuse_replaced(store, "shard.state", {})
    with pytest.raises(StateTopicReplaced, match="last copy"):
        refuse_replaced(store, "shard.state", {"shard.state": "two"})
    store.close()
