"""The split store of an instance, looked at by the commands that judge it."""

from __future__ import annotations

from pathlib import Path

from streams.adapters.rocks_store import RocksBodyStore, RocksMetadataStore
from streams.cli.context import Cluster
from streams.cli.stores import open_store, store_findings, store_pointers
from streams.connection import Connection
from streams.store_ports import Body, MetadataRow
from streams.topology import load_topology


def cluster(folder: Path) -> Cluster:
    return Cluster(Connection(bootstrap="127.0.0.1:1"), folder, load_topology())


def message(number: int) -> bytes:
    return bytes(15) + bytes([number])


def row(number: int, *, is_deleted: bool = False) -> MetadataRow:
    return MetadataRow(
        "t", number, message(number), "post", "ann", 7, number, has_body=True, is_deleted=is_deleted
    )


def test_an_instance_without_a_store_has_nothing_to_judge(tmp_path: Path) -> None:
    with open_store(cluster(tmp_path)) as checker:
        assert checker is None
        assert store_findings(checker) is None
        assert store_pointers(cluster(tmp_path), checker) is None


async def test_halves_that_miss_each_other_are_named_and_the_lower_pointer_counts(tmp_path: Path) -> None:
    """1 is whole, 2 has no metadata, 3 has no body, 4 is a tombstone (which needs none)."""
    metadata = RocksMetadataStore(tmp_path / "store" / "metadata")
    bodies = RocksBodyStore(tmp_path / "store" / "bodies")
    try:
        await metadata.commit(5, [row(1), row(3), row(4, is_deleted=True)], 40)
        await bodies.commit(5, [Body("t", message(1), 1, b"x"), Body("t", message(2), 2, b"x")], 30)
        with open_store(cluster(tmp_path)) as checker:  # beside the running worker
            found = store_findings(checker)
            pointers = store_pointers(cluster(tmp_path), checker)
            assert pointers is not None
            assert pointers() == {("thread.messages", 5): 30}
    finally:
        await metadata.close()
        await bodies.close()
    assert found is not None
    assert found.bodies_without_metadata == [f"thread t message {message(2).hex()}"]
    assert found.metadata_without_body == [f"thread t message {message(3).hex()}"]
