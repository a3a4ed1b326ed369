"""How the values of topology.yaml must relate to each other: pure, a list of problems out of a topology.

Each check says what would break. Tested in tests/topology/test_checks.py, one planted mistake a check.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from streams.limits import RECORD_BYTES_MAX
from streams.topology.model import (
    DEAD_LETTER_TOPIC,
    DELIVERY,
    KEPT_FOR_EVER,
    LEDGER_TOPIC,
    STATE_TOPIC,
    STORE_APP,
    StageSpec,
    Topology,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

DEAD_LETTER_ROOM_BYTES = 65_536
"""What a dead letter needs beside the record that it keeps: where it lay, code, detail, header names."""

_SINGULAR = {STATE_TOPIC: "state", LEDGER_TOPIC: "state", DEAD_LETTER_TOPIC: "dead_letters"}


class Problem(NamedTuple):
    """One mistake, at a path of topology.yaml."""

    path: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.path}: expected {self.expected}, got {self.found}"


def problems(topology: Topology, schema_names: Collection[str]) -> list[Problem]:
    """Return every contradiction in a topology whose values are each well formed."""
    found = [problem for check in _CHECKS for problem in check(topology)]
    return [*found, *_schemas(topology, schema_names), *_registry(topology, schema_names)]


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _stages(topology: Topology) -> Iterator[Problem]:
    for name, stage in topology.stages.items():
        path = f"stages.{name}"
        for verb, topics in (("reads", stage.reads), ("writes", stage.writes)):
            for topic in topics:
                if topic not in topology.topics and not (verb == "writes" and topic == DELIVERY):
                    yield Problem(f"{path}.{verb}", "topics that stand under topics", topic)
        if stage.after is None and not stage.reads:
            yield Problem(path, "reads or after", "neither: nothing would ever run the stage")
        if stage.after is not None:
            yield from _after(topology, stage)


def _after(topology: Topology, stage: StageSpec) -> Iterator[Problem]:
    path = f"stages.{stage.name}"
    if stage.reads:
        yield Problem(path, "reads or after", "both: a stage runs on its own topics or behind another stage")
    before = topology.stages.get(stage.after or "")
    if before is None:
        yield Problem(f"{path}.after", f"one of {_names(topology.stages)}", str(stage.after))
    elif before.app != stage.app:
        yield Problem(f"{path}.after", f"a stage of the app {stage.app}", f"{before.name} of {before.app}")
    elif before.after is not None:
        yield Problem(
            f"{path}.after", "a stage that reads topics", f"{before.name}, which stands behind another"
        )


def _one_reader(topology: Topology) -> Iterator[Problem]:
    for app in topology.apps:
        for topic, readers in Counter(topology.inputs_of(app)).items():
            if readers > 1:
                names = _names(stage.name for stage in topology.stages_of(app) if topic in stage.reads)
                yield Problem(
                    f"stages.{names}.reads", f"one reader of {topic} in the app {app}", str(readers)
                )


def _trimmed(topology: Topology) -> Iterator[Problem]:
    """Trimmed topics go by the progress of one app; age alone must never take a record from them."""
    for name in topology.trimmed_topics:
        topic, path = topology.topics[name], f"topics.{name}"
        apps = [app for app in topology.apps if name in topology.inputs_of(app)]
        if len(apps) != 1:
            yield Problem(f"{path}.trimmed", "exactly one app that reads it", _names(apps))
        if topic.retention_ms != KEPT_FOR_EVER or topic.cleanup != "delete":
            expected = f"cleanup delete and retention_ms {KEPT_FOR_EVER}, for records that were not processed"
            yield Problem(path, expected, f"{topic.cleanup} and {topic.retention_ms}")


def _kept_by_reader(topology: Topology) -> Iterator[Problem]:
    """The reader deletes what is old and durable; age alone must not, and others are not asked (W9)."""
    for name, topic in topology.topics.items():
        path = f"topics.{name}"
        if topic.kept_ms is None:
            continue
        apps = [app for app in topology.apps if name in topology.inputs_of(app)]
        if apps != [STORE_APP]:
            yield Problem(
                f"{path}.kept_ms", f"the app {STORE_APP} as the only one that reads it", _names(apps)
            )
        if topic.retention_ms != KEPT_FOR_EVER or topic.cleanup != "delete":
            expected = f"cleanup delete and retention_ms {KEPT_FOR_EVER} beside kept_ms"
            yield Problem(path, expected, f"{topic.cleanup} and {topic.retention_ms}")
        if topic.trimmed:
            yield Problem(f"{path}.trimmed", "false beside kept_ms: one rule for deleting", "true")


def _retained(topology: Topology) -> Iterator[Problem]:
    for name, topic in topology.topics.items():
        path = f"topics.{name}"
        if topic.retention_ms == 0:
            yield Problem(f"{path}.retention_ms", "-1 (for ever) or more than 0", "0")
        if topic.cleanup == "compact" and topic.retention_ms != KEPT_FOR_EVER:
            yield Problem(f"{path}.retention_ms", "-1 for a compacted topic", str(topic.retention_ms))
        if (topic.delete_retention_ms is not None) != (topic.cleanup == "compact"):
            found = f"{topic.delete_retention_ms} on cleanup {topic.cleanup}"
            yield Problem(f"{path}.delete_retention_ms", "a value on compacted topics and only there", found)
        if topic.clock and topic.timestamps != "append":
            yield Problem(f"{path}.timestamps", "append, because it moves the shard clock", topic.timestamps)
        if topic.role == "internal" and not topic.trimmed and topic.retention_ms != KEPT_FOR_EVER:
            yield Problem(f"{path}.trimmed", "true: age alone must not empty an internal topic", "false")


def _own_topics(topology: Topology) -> Iterator[Problem]:
    for name, role in _SINGULAR.items():
        topic = topology.topics.get(name)
        if topic is None:
            yield Problem(f"topics.{name}", f"a topic with the role {role}", "nothing")
        elif topic.role != role:
            yield Problem(f"topics.{name}.role", role, topic.role)
    if (state := topology.topics.get(STATE_TOPIC)) and state.cleanup != "compact":
        yield Problem(
            f"topics.{STATE_TOPIC}.cleanup", "compact: it is the changelog of tables", state.cleanup
        )
    if not topology.clock_topics:
        yield Problem("topics", "a topic with clock: true", "none: time would stand still")


def _ledger(topology: Topology) -> Iterator[Problem]:
    """A token must outlive the window in which it can come again (D14)."""
    ledger, times = topology.topics.get(LEDGER_TOPIC), topology.timestamps
    needed_ms = times.threshold_ms + times.clock_ahead_ms + times.ledger_bucket_ms
    if ledger is None:
        return
    if ledger.cleanup != "delete" or ledger.timestamps != "append":
        expected, found = "cleanup delete by append time", f"{ledger.cleanup} by {ledger.timestamps}"
        yield Problem(f"topics.{LEDGER_TOPIC}", expected, found)
    if ledger.retention_ms != KEPT_FOR_EVER and ledger.retention_ms < needed_ms:
        expected = f"at least {needed_ms} (threshold_ms + clock_ahead_ms + ledger_bucket_ms)"
        yield Problem(f"topics.{LEDGER_TOPIC}.retention_ms", expected, str(ledger.retention_ms))


def _retry_horizon(topology: Topology) -> Iterator[Problem]:
    """A client that retries longer than tokens are remembered would be stored twice or refused (D16)."""
    times = topology.timestamps
    if times.client_retry_horizon_ms >= times.threshold_ms:
        expected = f"less than threshold_ms {times.threshold_ms}"
        yield Problem("timestamps.client_retry_horizon_ms", expected, str(times.client_retry_horizon_ms))


def _sizes(topology: Topology) -> Iterator[Problem]:
    """A stage may write records of RECORD_BYTES_MAX; a topic that takes less would abort units of work."""
    for name, topic in topology.topics.items():
        if topic.record_bytes_max < RECORD_BYTES_MAX:
            expected = f"at least {RECORD_BYTES_MAX}, what a stage may write"
            yield Problem(f"topics.{name}.record_bytes_max", expected, str(topic.record_bytes_max))
    dead = topology.topics.get(DEAD_LETTER_TOPIC)
    if dead is None:
        return
    largest = max(
        (topic for topic in topology.topics.values() if topic is not dead),
        key=lambda topic: topic.record_bytes_max,
    )
    if dead.record_bytes_max < largest.record_bytes_max + DEAD_LETTER_ROOM_BYTES:
        expected = (
            f"at least {largest.record_bytes_max + DEAD_LETTER_ROOM_BYTES}, a whole record of {largest.name}"
        )
        yield Problem(f"topics.{DEAD_LETTER_TOPIC}.record_bytes_max", expected, str(dead.record_bytes_max))


def _routes(topology: Topology) -> Iterator[Problem]:
    for route, name in topology.routes.items():
        topic = topology.topics.get(name)
        if topic is None:
            yield Problem(f"routes.{route}", "a topic that stands under topics", name)
        elif (topic.role, topic.key) != ("delivery", "endpoint"):
            yield Problem(
                f"routes.{route}", "a topic with role delivery and key endpoint", f"{topic.role}, {topic.key}"
            )
    for name, count in Counter(topology.routes.values()).items():
        if count > 1:
            yield Problem("routes", f"one route for {name}", str(count))


def _schemas(topology: Topology, known: Collection[str]) -> Iterator[Problem]:
    for name, topic in topology.topics.items():
        for record in topic.schema:
            if record not in known:
                yield Problem(f"topics.{name}.schema", "records that stand in schemas/", record)
        if bool(topic.schema) == (topic.role == "state"):
            expected = "no records" if topic.schema else "at least one record"
            yield Problem(
                f"topics.{name}.schema", f"{expected} for the role {topic.role}", _names(topic.schema)
            )


def _registry(topology: Topology, known: Collection[str]) -> Iterator[Problem]:
    for record in topology.registry_ids:
        if record not in known:
            yield Problem(f"registry_ids.{record}", "a record that stands in schemas/", record)
    for number, count in Counter(topology.registry_ids.values()).items():
        if count > 1:
            yield Problem("registry_ids", f"one record for the id {number}", str(count))
    if topology.framing == "registry":
        carried = {record for topic in topology.topics.values() for record in topic.schema}
        for record in sorted(carried - topology.registry_ids.keys()):
            yield Problem(f"registry_ids.{record}", "an id, because framing is registry", "nothing")


_CHECKS: tuple[Callable[[Topology], Iterator[Problem]], ...] = (
    _retry_horizon,
    _stages,
    _one_reader,
    _routes,
    _own_topics,
    _retained,
    _trimmed,
    _kept_by_reader,
    _ledger,
    _sizes,
)
