"""What every metadata store and every body store must do (streams/store_ports.py), real and fake alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from streams.adapters.memory_store import MemoryBodyStore, MemoryMetadataStore
from streams.adapters.rocks_store import RocksBodyStore, RocksMetadataStore
from streams.limits import RECORD_BYTES_MAX
from streams.store_ports import Body, BodyStore, MessageKey, MetadataRow, MetadataStore

FIRST, SECOND = b"1" * 16, b"2" * 16


def row(position: int = 1, message_id: bytes = FIRST, **changes: object) -> MetadataRow:
    plain = MetadataRow(
        thread_id="thread",
        position=position,
        message_id=message_id,
        kind="post",
        sender_id="ada",
        server_at_ms=17,
        version=position,
        has_body=True,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # tests name the fields they change


def body(
    version: int = 1, message_id: bytes = FIRST, content: bytes = b"content", text: bytes | None = None
) -> Body:
    return Body("thread", message_id, version, content, text)


@pytest.fixture(params=["memory", "rocks", "rocks, synced"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def metadata(kind: str, tmp_path: Path) -> AsyncIterator[MetadataStore]:
    if kind == "memory":
        yield MemoryMetadataStore()
        return
    store = RocksMetadataStore(tmp_path / "metadata", is_synced="synced" in kind)
    yield store
    await store.close()


@pytest.fixture
async def bodies(kind: str, tmp_path: Path) -> AsyncIterator[BodyStore]:
    if kind == "memory":
        yield MemoryBodyStore()
        return
    store = RocksBodyStore(tmp_path / "bodies", is_synced="synced" in kind)
    yield store
    await store.close()


async def test_a_store_that_was_never_written_has_no_pointer(
    metadata: MetadataStore, bodies: BodyStore
) -> None:
    """None is not zero: the one is a fresh store, the other a store at the queue's start."""
    assert await metadata.pointer(0) is None
    assert await bodies.pointer(0) is None
    await metadata.commit(0, [], 0)
    await bodies.commit(0, [], 0)
    assert (await metadata.pointer(0), await bodies.pointer(0)) == (0, 0)


async def test_each_partition_has_its_own_pointer(metadata: MetadataStore, bodies: BodyStore) -> None:
    """A commit moves the pointer of its partition and of no other."""
    for store in (metadata, bodies):
        await store.commit(1, [], 5)
        await store.commit(2, [], 9)
        assert [await store.pointer(number) for number in (0, 1, 2)] == [None, 5, 9]


async def test_the_pointer_never_moves_back(metadata: MetadataStore, bodies: BodyStore) -> None:
    """A delayed commit that comes after a newer one does not undo it."""
    for store in (metadata, bodies):
        await store.commit(0, [], 9)
        await store.commit(0, [], 5)
        assert await store.pointer(0) == 9


async def test_a_partition_remembers_the_queue_in_which_its_pointer_counts(metadata: MetadataStore) -> None:
    """Nothing before it was told, then what it was told last; no other partition is touched, nor the pointer."""
    assert await metadata.queue_id(1) is None
    await metadata.keep_queue_id(1, "first")
    await metadata.keep_queue_id(1, "second")
    assert [await metadata.queue_id(number) for number in (0, 1)] == [None, "second"]
    assert await metadata.pointer(1) is None


async def test_what_was_committed_is_returned_whole(metadata: MetadataStore, bodies: BodyStore) -> None:
    """Every field survives, also the empty, the absent and the non-ASCII."""
    rows = [
        row(),
        row(2, SECOND, kind="edit", has_body=False, target=FIRST, sender_id="zoë"),
        row(3, b"3" * 16, is_deleted=True, version=7, members=b"\xc3\x01members", server_at_ms=-1),
    ]
    await metadata.commit(0, rows, 4)
    assert await metadata.get([one.key for one in rows]) == {one.key: one for one in rows}
    written = [
        body(),
        body(3, SECOND, b"", None),
        body(2, b"3" * 16, b"form", b""),
        body(2, b"4" * 16, b"form", b"new"),
    ]
    await bodies.commit(0, written, 4)
    assert await bodies.get([one.key for one in written]) == {one.key: one for one in written}


async def test_what_was_never_written_is_left_out(metadata: MetadataStore, bodies: BodyStore) -> None:
    """A missing key is no error; the same message id in another thread is another message."""
    await metadata.commit(0, [row()], 1)
    await bodies.commit(0, [body()], 1)
    others = [MessageKey("thread", SECOND), MessageKey("threa", FIRST), MessageKey("thread2", FIRST)]
    assert await metadata.get(others) == {}
    assert await bodies.get(others) == {}


async def test_the_same_commit_twice_leaves_one_row(metadata: MetadataStore) -> None:
    """W4: a write that timed out though it was applied is repeated without a second row."""
    for _ in range(2):
        await metadata.commit(0, [row()], 1)
    assert (await metadata.read(0, "thread", 0, 100, 100)).rows == [row()]


async def test_an_older_version_changes_nothing(metadata: MetadataStore, bodies: BodyStore) -> None:
    """W11: a late retry of an old version neither brings back a deleted row nor an erased body."""
    await metadata.commit(0, [row(version=5, is_deleted=True)], 5)
    await metadata.commit(0, [row(version=1), row(2, SECOND)], 3)
    kept = [row(version=5, is_deleted=True), row(2, SECOND)]
    assert (await metadata.read(0, "thread", 0, 9, 9)).rows == kept
    await bodies.commit(0, [body(5, content=b"")], 5)
    await bodies.commit(0, [body(1), body(2, SECOND)], 3)
    stored = await bodies.get([body().key, body(message_id=SECOND).key])
    assert stored[body().key] == body(5, content=b"")
    assert stored[body(message_id=SECOND).key] == body(2, SECOND)


async def test_a_newer_version_takes_the_place_of_the_old(metadata: MetadataStore, bodies: BodyStore) -> None:
    """W11: edits are versions of one row and one body."""
    await metadata.commit(0, [row()], 1)
    await metadata.commit(0, [row(version=4)], 4)
    assert (await metadata.read(0, "thread", 0, 9, 9)).rows == [row(version=4)]
    await bodies.commit(0, [body()], 1)
    await bodies.commit(0, [body(4, text=b"edited")], 4)
    assert (await bodies.get([body().key]))[body().key] == body(4, text=b"edited")


async def test_a_thread_is_read_in_the_order_of_its_positions(metadata: MetadataStore) -> None:
    """Any range, any bound, with the pointer; no row of a neighbouring thread or of another partition's."""
    rows = [row(position, position.to_bytes(16, "big")) for position in range(1, 301)]
    await metadata.commit(0, rows[150:], 200)
    await metadata.commit(0, rows[:150], 300)
    neighbours = ("threa", "thread2", "thread\x7f", "a")
    await metadata.commit(0, [row(7, SECOND, thread_id=name) for name in neighbours], 301)
    assert await metadata.read(0, "thread", 1, 300, 1000) == (rows, 301)
    assert (await metadata.read(0, "thread", 255, 257, 1000)).rows == rows[254:257]
    assert (await metadata.read(0, "thread", 0, 300, 5)).rows == rows[:5]
    assert (await metadata.read(0, "thread", 301, 400, 5)).rows == []
    assert await metadata.read(3, "nobody", 1, 9, 9) == ([], 0)


async def test_what_a_refusal_lets_pass_is_stored(metadata: MetadataStore, bodies: BodyStore) -> None:
    """W12: the largest row and body that are not refused go in; one byte more is refused beforehand."""
    large = row(members=b"x" * RECORD_BYTES_MAX)
    assert metadata.refusal(large) is None
    await metadata.commit(0, [large], 1)
    assert (await metadata.get([large.key]))[large.key] == large
    assert metadata.refusal(row(members=b"x" * (RECORD_BYTES_MAX + 1))) is not None
    heavy = body(content=b"x" * RECORD_BYTES_MAX, text=b"y" * RECORD_BYTES_MAX)
    assert bodies.refusal(heavy) is None
    await bodies.commit(0, [heavy], 1)
    assert (await bodies.get([heavy.key]))[heavy.key] == heavy
    assert bodies.refusal(body(content=b"x" * (RECORD_BYTES_MAX + 1))) is not None
    assert bodies.refusal(body(text=b"x" * (RECORD_BYTES_MAX + 1))) is not None
