"""Finds the split store of an instance, for commands that judge it. Tested in tests/cli/test_stores.py.

The store lies in `store/metadata` and `store/bodies` of the data folder; it is read beside its running
worker. An instance without these folders has no store to judge.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from streams.adapters.store_checker import StoreChecker
from streams.verify.judge import StoreFindings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.cli.context import Cluster
    from streams.store_ports import MessageKey
    from streams.verify.drain import Pointers


@contextmanager
def open_store(cluster: Cluster) -> Iterator[StoreChecker | None]:
    """Give a look into the store, or None when the instance has none."""
    metadata, bodies = (cluster.data_dir / "store" / name for name in ("metadata", "bodies"))
    if not (metadata.is_dir() and bodies.is_dir()):
        yield None
        return
    with (
        tempfile.TemporaryDirectory(prefix="lockstep-look-") as scratch,
        StoreChecker(metadata, bodies, Path(scratch) / "look") as checker,
    ):
        yield checker


def store_pointers(cluster: Cluster, checker: StoreChecker | None) -> Pointers | None:
    """Return how to ask for the store's progress, or None when the instance has no store."""
    if checker is None:
        return None
    topics = cluster.topology.inputs_of("store")

    def pointers() -> Mapping[tuple[str, int], int]:
        lowest = checker.lowest_pointers()
        return {(topic, shard): offset for topic in topics for shard, offset in lowest.items()}

    return pointers


def store_findings(checker: StoreChecker | None) -> StoreFindings | None:
    """Compare both halves; bodies are looked at first, so that a store at work is judged fairly."""
    if checker is None:
        return None
    bodies = checker.bodies()
    metadata = checker.metadata()
    return StoreFindings(
        [_name(key) for key in sorted(bodies.keys - metadata.keys)],
        [_name(key) for key in sorted(metadata.with_body - bodies.keys)],
    )


def _name(key: MessageKey) -> str:
    return f"thread {key.thread_id} message {key.message_id.hex()}"
