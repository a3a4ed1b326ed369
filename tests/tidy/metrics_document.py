"""docs/metrics.md, made from the typed list: `python -m tests.tidy.metrics_document > docs/metrics.md`."""

from __future__ import annotations

from itertools import groupby

from streams.observe.metric import Metric
from streams.observe.metrics import METRICS

HEAD = """# Metrics

Every worker serves them at `http://HOST:WEB_PORT/metrics`, as Prometheus scrapes them; `docker/prometheus.yaml` is a
scrape configuration and `docker/grafana/lockstep.json` a dashboard. This page is printed from the typed list in
`streams/observe/metrics.py` (`python -m tests.tidy.metrics_document > docs/metrics.md`); a test keeps it true.

Everything counts from the start of the worker's process. Counters rise when a unit of work is committed: what was
undone was never counted. `app` says which workers have it: those of the pipeline, the store's, or both.

Requests that needed no look-up at all (the client's newest timestamp decided) are
`lockstep_engine_records_in_total{topic="ingest.requests"}` less `lockstep_ingest_filter_lookups_total`; those that the
filter decided are `lockstep_ingest_filter_lookups_total` less `lockstep_ingest_exact_lookups_total`.
"""

COLUMNS = """| metric | kind, unit | labels | app | meaning | what to do |
|---|---|---|---|---|---|"""


def document() -> str:
    """The whole page."""
    parts = [HEAD]
    for prefix, group in groupby(METRICS, key=_prefix):
        rows = "\n".join(map(_row, group))
        parts.append(f"## {prefix}\n\n{COLUMNS}\n{rows}\n")
    return "\n".join(parts)


def _prefix(metric: Metric) -> str:
    name = metric.name.removeprefix("lockstep_")
    return "split_store" if name.startswith("split_store") else name.partition("_")[0]


def _row(metric: Metric) -> str:
    labels = ", ".join(metric.labels) or "-"
    counter = f" (counter `{metric.counter}`)" if metric.counter else ""
    return (
        f"| `{metric.name}` | {metric.kind}, {metric.unit} | {labels} | {', '.join(metric.apps)} "
        f"| {metric.meaning}{counter} | {metric.remedy} |"
    )


if __name__ == "__main__":
    print(document(), end="")
