"""What only the embedded stores promise (streams/adapters/rocks_store.py)."""

from __future__ import annotations

import asyncio
import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from streams.adapters.rocks_store import RocksBodyStore, RocksMetadataStore
from streams.adapters.store_checker import StoreChecker
from streams.errors import StoreError
from streams.store_ports import Body, MessageKey, MetadataRow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROW = MetadataRow("thread", 1, b"1" * 16, "post", "ada", 17, 1, has_body=True)
BODY = Body("thread", b"1" * 16, 1, b"content")


async def test_what_was_committed_is_there_after_reopening(tmp_path: Path) -> None:
    """Rows and pointers outlive the process."""
    metadata, bodies = RocksMetadataStore(tmp_path / "m"), RocksBodyStore(tmp_path / "b")
    await metadata.commit(3, [ROW], 7)
    await bodies.commit(3, [BODY], 5)
    await metadata.close()
    await bodies.close()
    metadata, bodies = RocksMetadataStore(tmp_path / "m"), RocksBodyStore(tmp_path / "b")
    assert await metadata.read(3, "thread", 1, 1, 1) == ([ROW], 7)
    assert (await bodies.get([BODY.key]), await bodies.pointer(3)) == ({BODY.key: BODY}, 5)
    await metadata.close()
    await bodies.close()


async def test_a_second_worker_is_turned_away(tmp_path: Path) -> None:
    """One process at a time, and the error says so."""
    first = RocksBodyStore(tmp_path / "b")
    with pytest.raises(StoreError, match="exactly one worker"):
        RocksBodyStore(tmp_path / "b")
    await first.close()


async def test_a_damaged_store_says_what_to_do(tmp_path: Path) -> None:
    """Not an exception of a library: which folder, and that it can be rebuilt."""
    store = RocksMetadataStore(tmp_path / "m")
    await store.commit(0, [ROW], 1)
    await store.close()
    for path in (tmp_path / "m").glob("MANIFEST*"):
        path.write_bytes(b"junk" * 100)
    with pytest.raises(StoreError, match="rebuilt from the queue"):
        RocksMetadataStore(tmp_path / "m")


async def test_a_closed_store_raises_a_named_error(tmp_path: Path) -> None:
    """Use after close is a bug that shows itself."""
    store = RocksBodyStore(tmp_path / "b")
    await store.close()
    with pytest.raises(StoreError):
        await store.commit(0, [], 1)


async def test_a_checker_sees_what_a_running_worker_has_stored(tmp_path: Path) -> None:
    """Beside it, without its lock, and always the newest; deleted and erased messages told apart."""
    metadata, bodies = RocksMetadataStore(tmp_path / "m"), RocksBodyStore(tmp_path / "b")
    with StoreChecker(tmp_path / "m", tmp_path / "b", tmp_path / "look") as checker:
        assert checker.lowest_pointers() == {}
        await bodies.commit(0, [BODY], 4)
        assert checker.bodies_without_metadata() == {MessageKey("thread", b"1" * 16)}
        await metadata.commit(0, [ROW], 9)
        assert checker.bodies_without_metadata() == frozenset()
        assert checker.metadata().with_body == checker.bodies().keys == {ROW.key}
        assert checker.lowest_pointers() == {0: 4}
        await bodies.commit(0, [Body("thread", b"1" * 16, 2)], 10)
        assert checker.bodies().keys == frozenset()
    assert not (tmp_path / "look").exists()
    await metadata.close()
    await bodies.close()


async def test_a_full_disk_is_an_error_and_once_there_is_room_the_next_opening_mends_it(
    tmp_path: Path,
) -> None:
    """W5, W8: what was not acknowledged is gone, what was is there; RocksDB alone would refuse for ever."""
    bodies = RocksBodyStore(tmp_path / "b")
    await bodies.commit(0, [BODY], 5)
    large = Body("thread", b"2" * 16, 2, bytes(9_000))
    with no_file_larger_than(4_000):
        with pytest.raises(StoreError, match="cannot be written"):
            await bodies.commit(0, [large], 6)
        with pytest.raises(StoreError, match="opened anew"):
            await bodies.commit(1, [large], 6)
    assert await bodies.pointer(0) == 5
    assert await bodies.get([BODY.key, large.key]) == {BODY.key: BODY}
    await bodies.commit(0, [large], 6)
    await bodies.close()
    bodies = RocksBodyStore(tmp_path / "b")
    assert (await bodies.pointer(0), len(await bodies.get([BODY.key, large.key]))) == (6, 2)
    await bodies.close()


async def test_closing_waits_for_a_flush_whose_caller_was_cancelled(tmp_path: Path) -> None:
    """A partition that is closed in mid-commit does not break the closing of its store."""
    for number in range(20):
        bodies = RocksBodyStore(tmp_path / "b")
        commit = asyncio.create_task(
            bodies.commit(0, [Body("thread", b"3" * 16, number + 1, bytes(50_000))], number)
        )
        while not bodies._flushes:  # noqa: ASYNC110  # the flush is noted after one pass of the loop
            await asyncio.sleep(0)
        commit.cancel()
        await bodies.close()
        assert not bodies._flushes
        with pytest.raises(asyncio.CancelledError):
            await commit


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """What a full disk looks like to this process: writes beyond the limit fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
