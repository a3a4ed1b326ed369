"""The metrics as Prometheus reads them (streams/observe/exposition.py, metrics.py, worker.py)."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streams.observe.exposition import Samples, exposition
from streams.observe.metric import PIPELINE, STORE, Kind
from streams.observe.metrics import METRICS, metrics_of
from streams.observe.units import Phases, Units
from streams.observe.worker import View, samples_of


def read(app: str, samples: Samples) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Sample name and labels -> value, by Prometheus' own parser."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition(app, samples).decode())
        for sample in family.samples
    }


def view(app: str = PIPELINE, **changes: Any) -> View:
    shard = {
        "shard": 3,
        "state": "open",
        "inputs": {"ingest.requests": {"lag": 7}, "inbox.appends": {"lag": None}},
    }
    given: dict[str, Any] = {
        "worker": "worker-0",
        "app": app,
        "broker": lambda: "up",
        "has_joined": lambda: True,
        "shards": lambda: [shard, {"shard": 4, "state": "failed", "inputs": {}}],
        "counters": lambda: {"ingest.accepted": 5, "engine.dead_letters_by_code.UNDECODABLE": 2},
        "more": lambda _samples, _rows: None,
        "units": Units(("inbox.appends",)),
    }
    return View(**{**given, **changes})


@pytest.mark.parametrize("app", [PIPELINE, STORE])
def test_every_metric_of_an_app_is_announced_and_every_plain_counter_begins_at_0(app: str) -> None:
    """A dashboard finds the names of the list before anything has happened."""
    samples = Samples()
    samples.count(app, {})
    families = {one.name: one for one in text_string_to_metric_families(exposition(app, samples).decode())}
    assert families.keys() == {one.name.removesuffix("_total") for one in metrics_of(app)}
    counters = [one for one in metrics_of(app) if one.counter and not one.labels]
    assert counters
    assert all(families[one.name.removesuffix("_total")].samples[0].value == 0 for one in counters)


def test_names_say_what_prometheus_expects_of_them() -> None:
    """A counter ends in _total, nothing else does, and every metric has a unit, a meaning and a remedy."""
    assert len({one.name for one in METRICS}) == len(METRICS)
    for one in METRICS:
        assert one.name.endswith("_total") == (one.kind is Kind.COUNTER), one.name
        assert all((one.unit, one.meaning, one.remedy)), one.name
        assert bool(one.bounds) == (one.kind is Kind.HISTOGRAM), one.name
        assert list(one.bounds) == sorted(one.bounds)


def test_a_worker_says_how_its_shards_its_broker_and_its_counters_are() -> None:
    """What /metrics of a worker holds comes from its view."""
    given = view()
    assert given.units is not None
    given.units.done([], [("inbox.updates", 0, b"", b"")], Phases(0.2, 0.02, 0.0))
    found = read(PIPELINE, samples_of(given))
    assert found["lockstep_shard_open", (("shard", "3"),)] == 1
    assert found["lockstep_shard_open", (("shard", "4"),)] == 0
    assert found["lockstep_shard_failed", (("shard", "4"),)] == 1
    assert found["lockstep_shard_lag_offsets", (("shard", "3"), ("topic", "ingest.requests"))] == 7
    assert ("lockstep_shard_lag_offsets", (("shard", "3"), ("topic", "inbox.appends"))) not in found
    assert found["lockstep_worker_broker_up", ()] == 1
    assert found["lockstep_worker_memory_bytes", ()] > 1_000_000
    assert found["lockstep_ingest_accepted_total", ()] == 5
    assert found["lockstep_engine_dead_letters_by_code_total", (("code", "UNDECODABLE"),)] == 2
    assert found["lockstep_engine_records_in_total", (("topic", "inbox.appends"),)] == 0
    assert found["lockstep_engine_unit_seconds_sum", (("phase", "run"),)] == pytest.approx(0.2)


def test_a_broker_that_is_away_shows() -> None:
    """Anything but `up` is 0."""
    assert (
        read(PIPELINE, samples_of(view(broker=lambda: "waiting: gone")))["lockstep_worker_broker_up", ()] == 0
    )


def test_a_name_that_is_not_in_the_list_or_has_other_labels_is_a_bug() -> None:
    """The list is the only place where a metric begins."""
    with pytest.raises(KeyError):
        Samples().set("lockstep_made_up", 1)
    with pytest.raises(ValueError, match="has the labels"):
        Samples().set("lockstep_shard_open", 1)
