"""Virtual environments of the peers, each made once from a hash-pinned requirements file, in the cache folder."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from bench.contenders.base import LeftOut
from streams.broker.jars import cache_folder, one_at_a_time

PEERS = Path(__file__).parent / "peers"


def ensure_venv(peer: str) -> Path:
    """Return the peer's interpreter; raises LeftOut when its packages can't be had."""
    pins = PEERS / peer / "requirements.txt"
    digest = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = cache_folder() / "bench" / f"{peer}-{digest}"
    python, stamp = folder / "bin" / "python", folder / "complete"
    with one_at_a_time(folder.parent):
        if not stamp.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _run([sys.executable, "-m", "venv", str(folder)], peer)
            pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            _run([*pip, "--require-hashes", "--requirement", str(pins)], peer)
            stamp.touch()
    return python


def _run(command: list[str], peer: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LeftOut(
            f"{peer}: its packages could not be installed (a package index is needed the first time): "
            f"{done.stderr.strip()[-500:]}"
        )
