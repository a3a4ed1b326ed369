"""Threads as JSON (streams/split_store/pages.py)."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest

from streams.limits import STORE_PAGE_ROWS_MAX
from streams.split_store.pages import ThreadPages
from tests.split_store.scenes import CODEC, World, delete, drained, edit, id_at, post, until


async def pages_of(world: World) -> ThreadPages:
    store = world.start()
    await world.feed(store)
    await drained(store, world.script.end)
    return ThreadPages(store)


async def test_a_thread_comes_with_its_bodies_as_they_are_now() -> None:
    """W7, W11: edited, deleted, untouched."""
    world = World()
    for text in ("one", "two", "three"):
        world.script.add(post(text))
    world.script.add(edit(id_at(1), "ONE"))
    world.script.add(delete(id_at(2)))
    pages = await pages_of(world)
    status, content = await pages.answer("thread", {})
    assert (status, content["thread"], content["next"]) == (200, "thread", None)
    one, two, three, edited, deleted = content["messages"]
    assert b64decode(one["body"]["edited_text"]) == b"ONE"
    assert (one["version"], one["pending"]) == (4, False)
    assert (two["deleted"], two["body"], two["pending"]) == (True, None, False)
    assert CODEC.decode_as("Post", b64decode(three["body"]["content"]))["body"] == b"three"
    assert three["body"]["edited_text"] is None
    assert (three["message_id"], three["sender"], three["server_at_ms"]) == (id_at(3).hex(), "ada", 1_003)
    assert (edited["kind"], edited["target"], edited["body"]) == ("edit", id_at(1).hex(), None)
    assert (deleted["kind"], deleted["target"]) == ("delete", id_at(2).hex())


async def test_a_body_that_cannot_be_had_is_flagged_pending() -> None:
    """W3, W7: never a message with an empty body that is not flagged."""
    world = World()
    world.script.add(post())
    store = world.start()
    await store.open(0)
    world.body_faults.is_down = True
    store.take(0, world.publish())
    await until(lambda: store.pointers()[0].metadata == world.script.end, "metadata is stored")
    world.queue.is_down = True
    store._partitions[0].bodies._backlog.forget_below(world.script.end)
    status, content = await ThreadPages(store).answer("thread", {})
    [message] = content["messages"]
    assert (status, message["pending"], message["body"]) == (200, True, None)
    await store.close_all()


async def test_a_long_thread_comes_page_by_page() -> None:
    world = World()
    for _ in range(2 * STORE_PAGE_ROWS_MAX):
        world.script.add(post())
    pages = await pages_of(world)
    found: list[int] = []
    position: int | None = 1
    while position is not None:
        _, content = await pages.answer("thread", {"first": str(position), "last": "150"})
        assert len(content["messages"]) <= STORE_PAGE_ROWS_MAX
        found += [one["position"] for one in content["messages"]]
        position = content["next"]
    assert found == list(range(1, 151))


async def test_a_thread_that_nobody_wrote_to_is_empty() -> None:
    assert await (await pages_of(_one())).answer("nobody", {}) == (
        200,
        {"thread": "nobody", "messages": [], "next": None},
    )


@pytest.mark.parametrize(
    ("thread_id", "query", "code"),
    [
        ("thread", {"first": "0"}, "BAD_RANGE"),
        ("thread", {"first": "-1"}, "BAD_RANGE"),
        ("thread", {"last": "²"}, "BAD_RANGE"),
        ("thread", {"last": "x"}, "BAD_RANGE"),
        ("thread", {"first": "9" * 5_000}, "BAD_RANGE"),
        ("", {}, "BAD_THREAD"),
        ("x" * 129, {}, "BAD_THREAD"),
        ("a\0b", {}, "BAD_THREAD"),
    ],
)
async def test_nonsense_is_refused_by_name(thread_id: str, query: dict[str, str], code: str) -> None:
    status, content = await ThreadPages(World().start()).answer(thread_id, query)
    assert (status, content["error"]) == (400, code)
    assert content["detail"]


async def test_what_cannot_be_answered_now_says_so() -> None:
    """A shard that is not open here, and a metadata store that is down."""
    world = _one()
    pages = ThreadPages(world.start())
    assert _code(await pages.answer("thread", {})) == (503, "SHARD_NOT_OPEN")
    pages = await pages_of(world)
    world.metadata_faults.is_down = True
    assert _code(await pages.answer("thread", {})) == (503, "STORE_UNAVAILABLE")


def _one() -> World:
    world = World()
    world.script.add(post())
    return world


def _code(answer: tuple[int, dict[str, Any]]) -> tuple[int, str]:
    return answer[0], answer[1]["error"]
