"""Prometheus' text, made when it is asked for: counters are read where they are, nothing is kept twice.

Every metric of an app is there from the start, counters as 0, so that a rate never begins in mid-air. A sample of a
name that is not in the typed list is a bug and raises. Tested in tests/observe/test_exposition.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import (
    Metric as Family,
)
from prometheus_client.registry import Collector

from streams.observe.histogram import Histogram
from streams.observe.metric import Kind, Metric
from streams.observe.metrics import BY_NAME, metrics_of

CONTENT_TYPE = CONTENT_TYPE_LATEST

Labels = tuple[str, ...]


@dataclass(slots=True)
class Samples:
    """What the metrics are at one moment: name -> label values -> value."""

    values: dict[str, dict[Labels, float]] = field(default_factory=dict)
    histograms: dict[str, dict[Labels, Histogram]] = field(default_factory=dict)

    def set(self, name: str, value: float, *labels: object) -> None:
        """Say what a counter or a gauge is; raises KeyError and ValueError for what is not in the list."""
        metric = _known(name, labels)
        self.values.setdefault(metric.name, {})[tuple(map(str, labels))] = value

    def observe(self, name: str, histogram: Histogram, *labels: object) -> None:
        """Say what a histogram is."""
        metric = _known(name, labels)
        self.histograms.setdefault(metric.name, {})[tuple(map(str, labels))] = histogram

    def count(self, app: str, counters: Mapping[str, int]) -> None:
        """Take in the counters that an app's stages and engine raise."""
        for metric in metrics_of(app):
            if metric.counter is None:
                continue
            if not metric.labels:
                self.set(metric.name, counters.get(metric.counter, 0))
                continue
            prefix = metric.counter.removesuffix("*")
            for name, value in counters.items():
                if name.startswith(prefix):
                    self.set(metric.name, value, name.removeprefix(prefix))


def exposition(app: str, samples: Samples) -> bytes:
    """Return all metrics of an app as Prometheus' text."""
    registry = CollectorRegistry()
    registry.register(_Families(app, samples))
    return generate_latest(registry)


def _known(name: str, labels: Iterable[object]) -> Metric:
    metric = BY_NAME[name]
    if len(metric.labels) != len(tuple(labels)):
        raise ValueError(f"{name} has the labels {metric.labels}")
    return metric


class _Families(Collector):
    def __init__(self, app: str, samples: Samples) -> None:
        self._app = app
        self._samples = samples

    def collect(self) -> Iterator[Family]:
        for metric in metrics_of(self._app):
            if metric.kind is Kind.HISTOGRAM:
                yield self._histogram(metric)
            else:
                yield self._plain(metric)

    def _plain(self, metric: Metric) -> Family:
        family: CounterMetricFamily | GaugeMetricFamily
        if metric.kind is Kind.COUNTER:
            family = CounterMetricFamily(metric.name, metric.meaning, labels=metric.labels)
        else:
            family = GaugeMetricFamily(metric.name, metric.meaning, labels=metric.labels)
        for labels, value in self._samples.values.get(metric.name, {}).items():
            family.add_metric(labels, value)
        return family

    def _histogram(self, metric: Metric) -> Family:
        family = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
        for labels, histogram in self._samples.histograms.get(metric.name, {}).items():
            family.add_metric(labels, histogram.cumulated(), histogram.total)
        return family
