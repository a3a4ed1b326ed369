"""Quix Streams and Faust as contenders: bench/peers/quix and bench/peers/faust, each in an environment of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contenders.base import Contender
from bench.contenders.kafka_streams import TOPIC_SETTINGS
from bench.venvs import PEERS, ensure_venv
from streams.broker.folder import free_port

if TYPE_CHECKING:
    from bench.sitting import Sitting

SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "lockstep.SendRequest.avsc"


class PythonPeer(Contender):
    """A script of bench/peers, run by its own interpreter."""

    own_topics: tuple[str, ...] = ()
    """Topics that it does not make by itself."""

    async def require(self) -> None:
        self._python = await asyncio.to_thread(ensure_venv, self.peer)

    async def start(self, sitting: Sitting, folder: Path) -> None:
        self._sitting, self._folder = sitting, folder
        await sitting.create((self.input_topic, *self.output_topics, *self.own_topics), TOPIC_SETTINGS)
        self.start_worker()

    def start_worker(self) -> None:
        script = PEERS / self.peer / "two_hop.py"
        command = [self._python, script, *self.arguments()]
        self.spawn([*map(str, command)], self._folder / f"{self.peer}.log")

    def arguments(self) -> list[Any]:
        """Return what the script is told."""
        raise NotImplementedError

    def state_folders(self) -> Sequence[Path]:
        return [self._folder / "state"]


class Quix(PythonPeer):
    """The two-hop job on Quix Streams, at one commit interval."""

    peer = "quix"
    commit_s: float

    @property
    def settings(self) -> Mapping[str, str]:
        return {
            "release": "quixstreams 3.28, pinned in bench/peers/quix/requirements.txt",
            "guarantee": f"exactly-once, commit_interval={self.commit_s:g} s",
            "stores": "RocksDB with changelog; tokens by the account's state with its 24 h TTL",
            "else": "one application and process with its own group_by, requests decoded once by fastavro and carried "
            "on as bytes, linger.ms=5, fetch.wait.max.ms=50",
        }

    def arguments(self) -> list[Any]:
        topics = (self.input_topic, *self.output_topics)
        group = f"bench-quix-{self._folder.name}"  # offsets of an earlier run are nobody's business
        return [self._sitting.bootstrap, group, self._folder / "state", self.commit_s, *topics, SCHEMA]


class Quix100(Quix):
    """Ten commits a second."""

    name = "quix_100"
    title = "Quix Streams, commit 0.1 s"
    commit_s = 0.1


class Quix1000(Quix):
    """One commit a second: cheaper, later."""

    name = "quix_1000"
    title = "Quix Streams, commit 1 s"
    commit_s = 1.0
    still_s = 3.0


class Faust(PythonPeer):
    """The two-hop job on Faust."""

    name = "faust"
    peer = "faust"
    title = "Faust, two agents and two tables"
    warm_up_messages = 1_000
    share_of_load = 0.03
    still_s = 5.0
    own_topics = ("bench.appends",)

    @property
    def settings(self) -> Mapping[str, str]:
        return {
            "release": "faust-streaming 0.15, pinned in bench/peers/faust/requirements.txt",
            "guarantee": "its own processing_guarantee=exactly_once, broker_commit_interval=0.1 s",
            "stores": "two tables in RocksDB (rocksdict) with changelog; tokens never expire, which is in its favour",
            "load": "3 % of the messages, some twelve seconds of work: all of them would take seven minutes a run",
        }

    def arguments(self) -> list[Any]:
        sitting, topics = self._sitting, (self.input_topic, *self.output_topics)
        (self._folder / "state").mkdir(exist_ok=True)
        data_dir = self._folder / "state" / "data"
        name = f"bench-faust-{self._folder.name}"  # offsets of an earlier run are nobody's business
        return [sitting.bootstrap, name, data_dir, free_port(), *topics, SCHEMA, sitting.partitions]
