"""What the parts give without any work: an aiokafka passthrough in transactions, and Kafka's own performance tools."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.contenders.base import Contender, LeftOut
from bench.contenders.kafka_streams import TOPIC_SETTINGS, class_path
from streams.broker.java import java_environment, java_program

if TYPE_CHECKING:
    from bench.sitting import Sitting

RECORDS_MAX = 4_000


class Passthrough(Contender):
    """One hop: consume, produce, offsets, commit; no decoding, no state."""

    name = "aiokafka_passthrough"
    peer = "ceiling"
    title = "aiokafka passthrough in transactions, one hop"
    output_topics = ("bench.updates",)

    @property
    def settings(self) -> Mapping[str, str]:
        return {
            "all": f"send_batch, up to {RECORDS_MAX:,} records a transaction, uvloop, offsets in the transaction"
        }

    async def start(self, sitting: Sitting, folder: Path) -> None:
        await sitting.create((self.input_topic, *self.output_topics), TOPIC_SETTINGS)
        command = [sys.executable, "-m", "bench.contenders.passthrough_worker", sitting.bootstrap]
        self.spawn([*command, self.input_topic, *self.output_topics, str(RECORDS_MAX)], folder / "worker.log")


class KafkaTools(Contender):
    """Kafka's producer and consumer performance tools, one after the other."""

    name = "kafka_tools"
    peer = "ceiling"
    title = "Kafka's performance tools"

    @property
    def settings(self) -> Mapping[str, str]:
        return {
            "producer": "120-byte records, transactions of 100 ms, batch.size=131072, linger.ms=5, acks=all",
            "consumer": "read_committed",
        }

    async def require(self) -> None:
        self._class_path = await asyncio.to_thread(class_path)

    async def start(self, sitting: Sitting, folder: Path) -> None:  # noqa: ARG002  # it never starts
        raise LeftOut("this is no worker: only the raw job runs it")

    def run(self, tool: str, arguments: Sequence[str]) -> tuple[str, float]:
        """Run a tool to its end; return what it printed, and its CPU seconds."""
        java = [str(java_program()), "-Xmx512m", "-XX:+UseSerialGC", "-cp", self._class_path]
        child = subprocess.Popen(
            [*java, f"org.apache.kafka.tools.{tool}", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=java_environment(),
            text=True,
            start_new_session=True,
        )
        self.children.append(child)
        assert child.stdout is not None, "a pipe was asked for"
        with child.stdout:
            said = child.stdout.read()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise RuntimeError(f"{tool} ended with {child.returncode}: {said[-400:]}")
        return said, used.ru_utime + used.ru_stime
