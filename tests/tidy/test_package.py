"""What is installed is what is locked, and an installed wheel finds what it needs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

from packaging.requirements import Requirement

from tests.tidy.files import ROOT, project_files, text_of

LOCK = text_of(ROOT / "requirements.lock")
PROJECT = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]


def locked_versions() -> dict[str, str]:
    """The one version of each dependency in the lock."""
    return dict(re.findall(r"^([a-z0-9][a-z0-9-]*)==([^\s;]+)", LOCK, flags=re.MULTILINE))


def test_the_lock_holds_every_dependency_in_a_version_that_the_project_accepts() -> None:
    """pyproject.toml and requirements.lock agree; `make lock` brings them together again."""
    locked = locked_versions()
    wanted = [
        Requirement(line) for line in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"])
    ]
    missing = [
        str(requirement)
        for requirement in wanted
        if (version := locked.get(requirement.name)) is None or version not in requirement.specifier
    ]
    assert missing == []


def test_every_locked_version_carries_its_hashes() -> None:
    """Each entry of the lock names at least one sha256, so that pip takes nothing else."""
    entries = re.split(r"\n(?=[a-z0-9])", LOCK)
    pinned = [entry for entry in entries if re.match(r"[a-z0-9-]+==", entry)]
    assert len(pinned) == len(locked_versions())
    assert [entry.split()[0] for entry in pinned if "--hash=sha256:" not in entry] == []


def test_every_dependency_says_why_it_is_there() -> None:
    """A line of a dependency list in pyproject.toml ends with its reason."""
    lines = re.findall(
        r"^    \"[a-z][\w-]*[^\"]*\",.*$", text_of(ROOT / "pyproject.toml"), flags=re.MULTILINE
    )
    names = {
        Requirement(line).name
        for line in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"])
    }
    entries = [line for line in lines if re.match(r"[\w-]+", line.strip(' "')).group() in names]  # type: ignore[union-attr]  # the pattern above begins with a letter
    assert len(entries) == len(names)
    assert [line for line in entries if not re.search(r"#\s+\w+", line)] == []


def test_a_wheel_carries_the_schemas_and_the_topology(tmp_path: Path) -> None:
    """The wheel holds schemas/ and topology.yaml, whole, under streams/_data, and says that it is typed."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    schemas = [path for path in project_files() if path.is_relative_to(ROOT / "schemas")]
    wanted = {f"streams/_data/{path.relative_to(ROOT)}" for path in schemas}
    assert wanted
    assert wanted | {"streams/_data/topology.yaml", "streams/py.typed"} <= names
    assert not any(name.startswith("tests/") for name in names)
