"""Writes jars.lock: `python -m streams.broker.lock KAFKA_VERSION LOG4J_VERSION`.

For maintainers, at an upgrade; needs `mvn`, whose resolver is the reference (jgo's picks other versions of
the transitive jars, which is why nothing is resolved at run time). Review the difference that git shows, then
run tests/broker/ and tests/engine/ before committing: docs/decisions/ says what has to hold. Tested by hand.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from streams.broker.jars import LOCK_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>lockstep</groupId><artifactId>lock</artifactId><version>1</version><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{kafka}</version></dependency>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>{log4j}</version>
</dependency></dependencies></project>
"""
_HEADER = """# Every jar of the embedded Apache Kafka: coordinates, sha256, size in bytes. Written by
# `python -m streams.broker.lock {kafka} {log4j}`; never edited by hand.
"""


def main(kafka: str, log4j: str) -> None:
    """Resolve, fetch, hash, write."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "pom.xml").write_text(_POM.format(kafka=kafka, log4j=log4j), "utf-8")
        command = [
            "mvn",
            "-q",
            "-B",
            "-f",
            str(folder / "pom.xml"),
            "-Dmaven.repo.local=" + str(folder / "m2"),
        ]
        copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", "-Dmdep.useRepositoryLayout=true"]
        subprocess.run(  # the command is our own, not from outside
            [*command, *copy, f"-DoutputDirectory={folder / 'jars'}"], check=True
        )
        lines = sorted(_lines(folder / "jars"))
    LOCK_FILE.write_text(_HEADER.format(kafka=kafka, log4j=log4j) + "\n".join(lines) + "\n", "utf-8")
    sys.stdout.write(f"{len(lines)} jars pinned in {LOCK_FILE}\n")


def _lines(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*.jar"):
        *group, artifact, version, _ = path.relative_to(folder).parts
        content = path.read_bytes()
        yield f"{'.'.join(group)}:{artifact}:{version} {hashlib.sha256(content).hexdigest()} {len(content)}"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
