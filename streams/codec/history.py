"""Keeps every version of every record that was ever published, in schemas/history.

A file there is one version, self-contained, named after its fingerprint, and never changed again: values of
it may lie on a topic for months, or on another's disk for ever. Tested in tests/schemas/.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from streams.codec.schema import (
    NAMESPACE,
    RESOURCES,
    current_schemas,
    fingerprint_of,
    self_contained,
    short_name,
)

if TYPE_CHECKING:
    from pathlib import Path


def unpublished(folder: Path | None = None) -> dict[Path, dict[str, Any]]:
    """Return the file that each current version lacks in the history, with its content."""
    folder = folder or RESOURCES / "schemas"
    missing = {}
    for schema in current_schemas(folder):
        name = f"{NAMESPACE}.{short_name(schema)}.{fingerprint_of(schema).hex()}.avsc"
        path = folder / "history" / name
        if not path.exists():
            missing[path] = self_contained(schema)
    return missing


def publish(folder: Path | None = None) -> list[Path]:
    """Write every current version that the history lacks and return the new files.

    Whether they can be read by, and can read, their older versions is for tests/schemas/ to say, before a
    release.
    """
    missing = unpublished(folder)
    for path, schema in missing.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return list(missing)


if __name__ == "__main__":
    for written in publish():
        print(written.name)  # noqa: T201  # the files are this command's answer
