"""Finds the split store of an instance for commands that judge it. Tested in tests/cli/test_stores.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.cli.context import Cluster
    from streams.verify.drain import Pointers


def store_pointers(cluster: Cluster) -> Pointers | None:  # noqa: ARG001  # the store's reading interface arrives with it
    """Return how to ask for the store's progress, or None when the instance has no store."""
    return None
