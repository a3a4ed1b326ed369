"""What a metric is, and three ways to write one down. The list of all of them: streams/observe/metrics.py."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

PIPELINE = "pipeline"
STORE = "store"
BOTH = (PIPELINE, STORE)


class Kind(StrEnum):
    """What Prometheus knows of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric."""

    name: str
    """As Prometheus shows it; a counter ends in _total."""
    kind: Kind
    unit: str
    meaning: str
    remedy: str
    """What an operator does when it looks wrong."""
    labels: tuple[str, ...] = ()
    apps: tuple[str, ...] = (PIPELINE,)
    """Whose workers export it."""
    counter: str | None = None
    """The counter it is read from."""
    bounds: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets."""


def counted(counter: str, unit: str, meaning: str, remedy: str, label: str = "") -> Metric:
    """Return the metric of a counter that stages or the engine raise; its name follows from the counter's."""
    return Metric(
        name=f"lockstep_{counter.removesuffix('.*').replace('.', '_')}_total",
        kind=Kind.COUNTER,
        unit=unit,
        meaning=meaning,
        remedy=remedy,
        labels=(label,) if label else (),
        apps=(STORE,) if counter.startswith("split_store.") else (PIPELINE,),
        counter=counter,
    )


def gauge(
    name: str,
    unit: str,
    meaning: str,
    remedy: str,
    *,
    labels: tuple[str, ...] = (),
    apps: tuple[str, ...] = (PIPELINE,),
) -> Metric:
    """Return a gauge; every label it has is named."""
    return Metric(
        name=f"lockstep_{name}",
        kind=Kind.GAUGE,
        unit=unit,
        meaning=meaning,
        remedy=remedy,
        labels=labels,
        apps=apps,
    )


def histogram(
    name: str,
    unit: str,
    meaning: str,
    remedy: str,
    *,
    bounds: tuple[float, ...],
    labels: tuple[str, ...] = (),
) -> Metric:
    """Return a histogram of the pipeline's workers with these upper bounds."""
    return Metric(
        name=f"lockstep_{name}",
        kind=Kind.HISTOGRAM,
        unit=unit,
        meaning=meaning,
        remedy=remedy,
        labels=labels,
        bounds=bounds,
    )
