"""Looks into both embedded stores while their worker runs, or after it died.

Secondary instances of RocksDB follow the worker's files and take no lock. Each call looks at what is
there now. Bodies are looked at before metadata: whatever body is seen, its metadata was committed before,
so the difference must be empty at any instant (W6). Not promised: a look at both halves as of the same
moment. Tested in tests/split_store/test_kill.py.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, NamedTuple, Self

from rocksdict import AccessType, Options, Rdict

from streams.adapters.rocks_rows import BODY, NUMBER, POINTER, ROW, body_of, message_of, row_of, rows_of
from streams.adapters.rocks_store import named_errors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from streams.store_ports import MessageKey


class StoredKeys(NamedTuple):
    """What one store holds."""

    pointers: Mapping[int, int]
    keys: frozenset[MessageKey]
    with_body: frozenset[MessageKey]
    """The messages that have a body, or by their metadata must have one sooner or later."""


class StoreChecker:
    """Reads the stores in two folders; the scratch folder holds what RocksDB itself notes down."""

    def __init__(self, metadata_folder: Path, body_folder: Path, scratch_folder: Path) -> None:
        scratch_folder.mkdir(parents=True, exist_ok=True)
        self._metadata_folder = metadata_folder
        self._body_folder = body_folder
        self._scratch_folder = scratch_folder
        self._metadata = _secondary(metadata_folder, scratch_folder / "metadata")
        self._bodies = _secondary(body_folder, scratch_folder / "bodies")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def bodies(self) -> StoredKeys:
        """Return the messages whose content is stored (erased ones are not)."""
        self._bodies.try_catch_up_with_primary()
        rows = rows_of(self._bodies, BODY, BODY)
        keys = frozenset(key for raw, value in rows if not body_of(key := message_of(raw), value).is_erased)
        return StoredKeys(_pointers_of(self._bodies), keys, keys)

    def metadata(self) -> StoredKeys:
        """Return the messages that have a row, tombstones among them."""
        self._metadata.try_catch_up_with_primary()
        rows = [row_of(raw, value) for raw, value in rows_of(self._metadata, ROW, ROW)]
        with_body = frozenset(row.key for row in rows if row.has_body and not row.is_deleted)
        return StoredKeys(_pointers_of(self._metadata), frozenset(row.key for row in rows), with_body)

    def lowest_pointers(self) -> dict[int, int]:
        """Return, for each partition that both stores know, the offset below which both have everything.

        Looks at no row: cheap enough to poll. Opens both anew: an instance that was open while its worker was
        killed and started again may stay behind for ever, and whoever waits for these pointers with it.
        """
        self._reopen()
        bodies, metadata = _pointers_of(self._bodies), _pointers_of(self._metadata)
        return {
            partition: min(bodies[partition], metadata[partition]) for partition in bodies.keys() & metadata
        }

    def bodies_without_metadata(self) -> frozenset[MessageKey]:
        """Return what breaks W6, now."""
        bodies = self.bodies().keys
        return bodies - self.metadata().keys

    def _reopen(self) -> None:
        self._bodies.close()
        self._metadata.close()
        self._metadata = _secondary(self._metadata_folder, self._scratch_folder / "metadata")
        self._bodies = _secondary(self._body_folder, self._scratch_folder / "bodies")

    def close(self) -> None:
        """Let go of both and remove the scratch folder."""
        self._metadata.close()
        self._bodies.close()
        shutil.rmtree(self._scratch_folder, ignore_errors=True)


def _secondary(folder: Path, scratch_folder: Path) -> Rdict:
    with named_errors(folder, "opened"):
        options = Options(raw_mode=True)
        return Rdict(str(folder), options, access_type=AccessType.secondary(str(scratch_folder)))


def _pointers_of(database: Rdict) -> dict[int, int]:
    rows = rows_of(database, POINTER, POINTER)
    return {int.from_bytes(key[1:], "big"): NUMBER.unpack(value)[0] for key, value in rows}
