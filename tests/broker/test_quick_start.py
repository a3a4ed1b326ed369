"""The picture of loaded classes is made once for the same jars, and never keeps a broker from starting."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from streams.broker.quick_start import ensure_picture, flags_to_use

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    path = tmp_path / "jars" / "a.jar"
    path.parent.mkdir()
    path.write_bytes(b"1")
    return path


def test_the_picture_is_made_once_and_again_when_a_jar_changes(jar: Path) -> None:
    made: list[Path] = []

    def train(scratch: Path, output: Path) -> None:
        assert scratch.parent.exists()
        made.append(output)
        output.write_bytes(b"picture")

    first = ensure_picture([jar], train)
    assert first is not None
    assert first.read_bytes() == b"picture"
    assert ensure_picture([jar], train) == first
    assert len(made) == 1
    os.utime(jar, (1, 1))
    assert ensure_picture([jar], train) not in {first, None}
    assert len(made) == 2


def test_a_training_run_that_fails_is_a_warning_and_a_start_without(
    jar: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def train(_scratch: Path, _output: Path) -> None:
        raise OSError("no space left")

    assert ensure_picture([jar], train) is None
    assert "no space left" in caplog.text
    assert flags_to_use(None) == ()
