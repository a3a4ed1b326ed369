"""Every published version is kept, and any two of a record read each other (schemas/history)."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.schema import parse

from streams.codec import NAMESPACE, RESOURCES, Codec
from streams.codec.history import publish, unpublished
from tests.schemas.by_hand import fingerprint

SCHEMAS = RESOURCES / "schemas"
HISTORY = sorted((SCHEMAS / "history").glob("*"))

MISSING = "reader_field_missing_default_value"
NEW_FIELD = {"name": "detail", "type": "string", "default": "none", "doc": "For people."}
REFUSAL = {
    "account_id": "ann",
    "endpoint_id": "phone",
    "token": {"timestamp_ms": 1, "nonce": 2},
    "message_id": bytes(range(16)),
    "server_at_ms": 3,
    "code": "NOT_A_MEMBER",
}


def incompatibilities(folder: Path) -> list[str]:
    """What a reader with one version could not read of a writer with another, over all pairs of versions."""
    versions: dict[str, list[Path]] = defaultdict(list)
    for path in sorted((folder / "history").glob("*.avsc")):
        versions[path.name.rsplit(".", 2)[0]].append(path)
    found = []
    for paths in versions.values():
        for reader, writer in permutations(paths, 2):
            checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]  # the package is half typed
            result = checker.get_compatibility(parse(reader.read_text()), parse(writer.read_text()))
            if result.compatibility is not SchemaCompatibilityType.compatible:
                why = ", ".join(sorted(one.value for one in result.incompatibilities))
                found.append(f"{reader.name} cannot read {writer.name}: {why}")
    return found


def test_every_current_version_is_in_the_history() -> None:
    missing = [path.name for path in unpublished()]
    assert missing == [], "publish them: lockstep schemas publish"


@pytest.mark.parametrize("path", HISTORY, ids=lambda path: path.name)
def test_a_kept_version_is_self_contained_and_named_after_its_fingerprint(path: Path) -> None:
    schema = json.loads(path.read_text())
    assert path.name == f"{schema['name']}.{fingerprint(schema).hex()}.avsc"
    parse(path.read_text())  # another implementation, which knows no other file


def test_any_two_versions_of_a_record_read_each_other() -> None:
    assert incompatibilities(SCHEMAS) == []


def changed(folder: Path, name: str, change: Any) -> None:
    path = folder / f"{NAMESPACE}.{name}.avsc"
    schema = json.loads(path.read_text())
    change(schema["fields"])
    path.write_text(json.dumps(schema))
    assert publish(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SCHEMAS, tmp_path / "schemas"))


def test_a_new_field_with_a_default_is_compatible_and_read_both_ways(folder: Path) -> None:
    old = Codec(folder)["Refusal"].encode(REFUSAL)
    changed(folder, "Refusal", lambda fields: fields.append(NEW_FIELD))
    assert incompatibilities(folder) == []
    assert Codec(folder).decode(old) == ("Refusal", {**REFUSAL, "detail": "none"})


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda fields: fields.append({"name": "detail", "type": "string"}), MISSING),
        (lambda fields: fields.pop(), MISSING),
        (lambda fields: fields[-1].update(type="long"), "type_mismatch"),
        (lambda fields: fields[-1].update(name="reason"), MISSING),
    ],
    ids=["field without default", "field removed", "type changed", "field renamed"],
)
def test_a_change_that_breaks_readers_is_caught(folder: Path, change: Any, complaint: str) -> None:
    changed(folder, "Refusal", change)
    found = incompatibilities(folder)
    assert found
    assert any("Refusal" in one and complaint in one for one in found), found


def test_publishing_keeps_what_is_there_and_writes_only_what_is_new(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in (folder / "history").iterdir()}
    assert publish(folder) == []
    changed(folder, "Refusal", lambda fields: fields.append(NEW_FIELD))
    after = {path.name: path.read_bytes() for path in (folder / "history").iterdir()}
    assert {name: content for name, content in after.items() if name in before} == before
    assert [name.split(".")[1] for name in after.keys() - before.keys()] == ["Refusal"]


def test_a_doc_is_no_version_of_its_own(folder: Path) -> None:
    path = folder / f"{NAMESPACE}.Refusal.avsc"
    path.write_text(path.read_text().replace('"doc": "', '"doc": "Said otherwise. '))
    assert unpublished(folder) == {}
