"""Writes kafka_streams/jars.lock: `python -m bench.peers.lock_jars`. For maintainers; needs `mvn`.

The version is the embedded broker's, so that client, broker and peer are one release. Everything else that the peer
loads stands in the broker's own lock.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

from streams.broker.jars import pinned_kafka_version

LOCK_FILE = Path(__file__).parent / "kafka_streams" / "jars.lock"
ARTIFACTS = ("kafka-streams", "kafka-tools", "rocksdbjni")
_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>lockstep</groupId><artifactId>lock</artifactId><version>1</version><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-streams</artifactId>
<version>{kafka}</version></dependency>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId>
<version>{kafka}</version></dependency>
</dependencies></project>
"""
_HEADER = """# What Kafka Streams and Kafka's own tools need beyond the broker's jars (streams/broker/jars.lock):
# coordinates, sha256, size in bytes. Written by `python -m bench.peers.lock_jars`; never edited by hand.
"""


def main() -> None:
    """Resolve, fetch, hash, write."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "pom.xml").write_text(_POM.format(kafka=pinned_kafka_version()), "utf-8")
        maven = ["mvn", "-q", "-B", "-f", str(folder / "pom.xml"), f"-Dmaven.repo.local={folder / 'm2'}"]
        copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", "-Dmdep.useRepositoryLayout=true"]
        subprocess.run([*maven, *copy, f"-DoutputDirectory={folder / 'jars'}"], check=True)
        lines = []
        for path in (folder / "jars").rglob("*.jar"):
            *group, artifact, version, _ = path.relative_to(folder / "jars").parts
            if artifact in ARTIFACTS:
                content = path.read_bytes()
                digest = hashlib.sha256(content).hexdigest()
                lines.append(f"{'.'.join(group)}:{artifact}:{version} {digest} {len(content)}")
    LOCK_FILE.write_text(_HEADER + "\n".join(sorted(lines)) + "\n", "utf-8")
    sys.stdout.write(f"{len(lines)} jars pinned in {LOCK_FILE}\n")


if __name__ == "__main__":
    main()
