"""An altered worker takes what `lockstep worker` takes; every alteration can be made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.contenders.altered_worker import ALTERATIONS
from tests.tidy.files import ROOT


@pytest.mark.parametrize("name", ALTERATIONS)
def test_every_alteration_is_made_before_the_worker_reads_its_options(name: str, tmp_path: Path) -> None:
    """In a process of its own: an alteration is never taken back."""
    command = [sys.executable, "-m", "bench.contenders.altered_worker", f"{name}={tmp_path / 'switch'}"]
    done = subprocess.run(
        [*command, "worker", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--stop-with-stdin" in done.stdout
