"""The dashboard and the scrape configuration name only what workers export. Neither Grafana nor Prometheus is run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from streams.cli.main import main
from streams.observe.metric import Kind
from streams.observe.metrics import BY_NAME, METRICS

DOCKER = Path(__file__).parents[2] / "docker"
DASHBOARD = json.loads((DOCKER / "grafana" / "lockstep.json").read_text("utf-8"))
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))
SCRAPED = {"instance", "job"}
"""Labels that Prometheus adds."""
SELECTED = re.compile(r"\b(lockstep_\w+)(\{[^}]*\})?")


def panels() -> list[dict[str, Any]]:
    return [one for one in DASHBOARD["panels"] if one["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """Every PromQL expression with the title of its panel."""
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def metric_of(name: str) -> tuple[str, set[str]]:
    """The listed metric that a series belongs to, and the labels that the series has beside those of a scrape."""
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    if base != name and base in BY_NAME and BY_NAME[base].kind is Kind.HISTOGRAM:
        return base, {*BY_NAME[base].labels, *(["le"] if name.endswith("_bucket") else [])}
    assert name in BY_NAME, f"{name} is not in streams/observe/metrics.py"
    assert BY_NAME[name].kind is not Kind.HISTOGRAM, f"{name} has only _bucket, _sum and _count"
    return name, set(BY_NAME[name].labels)


def test_every_metric_and_label_that_a_panel_names_exists() -> None:
    """A renamed metric would leave a panel empty without a word."""
    for title, expression in expressions():
        known: set[str] = set(SCRAPED)
        for name, selector in SELECTED.findall(expression):
            _, labels = metric_of(name)
            known |= labels
            assert set(re.findall(r"(\w+)=~?\"", selector)) <= labels | SCRAPED, (title, selector)
        for grouped in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
            assert set(re.findall(r"\w+", grouped)) <= known, (title, grouped)


def test_every_metric_of_the_list_is_looked_at() -> None:
    """But for those that say the same as another one, or that a number on a panel would not help with."""
    named = {
        metric_of(name)[0] for _, expression in expressions() for name, _ in SELECTED.findall(expression)
    }
    left_out = {
        "lockstep_engine_outputs_total",  # the sum of records out
        "lockstep_shard_claim_number",
        "lockstep_shard_expiry_held",
        "lockstep_worker_info",  # fills the choice of workers
        "lockstep_worker_started_at_seconds",
    }
    assert named == {metric.name for metric in METRICS} - left_out


def test_counters_are_shown_as_rates_and_quantiles_are_taken_of_buckets() -> None:
    """A counter's own value says when its worker started."""
    for title, expression in expressions():
        for name, selector in SELECTED.findall(expression):
            is_counter = name.endswith(("_total", "_bucket", "_sum", "_count"))
            call = re.search(rf"(rate|increase)\({re.escape(name + selector)}\[", expression)
            assert is_counter == (call is not None), (title, name)
        assert expression.count("(") == expression.count(")"), title
        assert ("histogram_quantile" in expression) == ("_bucket" in expression), title


def test_every_panel_has_a_place_of_its_own_a_title_and_says_what_it_shows() -> None:
    """No two panels overlap, none is wider than the page, and all ask the data source that is chosen."""
    assert len({one["id"] for one in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in panels():
        assert panel["title"]
        assert len(panel["description"]) > 10
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    places = [one["gridPos"] for one in DASHBOARD["panels"]]
    assert all(one["x"] + one["w"] <= 24 for one in places)
    for one, other in combinations(places, 2):
        is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        is_below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert is_beside or is_below, (one, other)


def test_variables_are_filled_from_what_is_exported() -> None:
    """The choice of workers comes from a metric that every worker has."""
    queries = [one["query"]["query"] for one in DASHBOARD["templating"]["list"] if one["type"] == "query"]
    assert queries == ["label_values(lockstep_worker_info, instance)"]
    assert set(BY_NAME["lockstep_worker_info"].apps) == {"pipeline", "store"}


def test_prometheus_scrapes_every_worker_of_the_compose_file_where_it_serves() -> None:
    """By service name, at the default web port, on the page that has the metrics; workers listen beyond loopback."""
    (job,) = yaml.safe_load((DOCKER / "prometheus.yaml").read_text("utf-8"))["scrape_configs"]
    command = main.get_command(click.Context(main), "worker")
    assert command is not None
    port = next(one.default for one in command.params if one.name == "web_port")
    workers = {
        name: one["command"]
        for name, one in COMPOSE["services"].items()
        if one.get("command", [""])[0] == "worker"
    }
    (static,) = job["static_configs"]
    assert set(static["targets"]) == {f"{name}:{port}" for name in workers}
    assert all(words[words.index("--web-host") + 1] == "0.0.0.0" for words in workers.values())  # noqa: S104  # in a container
    source = Path(__file__).parents[2] / "streams" / "engine" / "observed.py"
    assert f'@app.page("{job["metrics_path"]}")' in source.read_text("utf-8")


@pytest.mark.parametrize("service", ["prometheus", "grafana"])
def test_what_observes_gets_its_files_and_starts_only_when_asked_for(service: str) -> None:
    """Each config of a service is a file that exists; Grafana's provider reads the folder the dashboard is put in."""
    assert COMPOSE["services"][service]["profiles"] == ["observe"]
    targets = {}
    for one in COMPOSE["services"][service]["configs"]:
        file = DOCKER / COMPOSE["configs"][one["source"]]["file"]
        assert file.is_file()
        targets[file.name] = one["target"]
    if service == "grafana":
        (provider,) = yaml.safe_load((DOCKER / "grafana" / "dashboards.yaml").read_text("utf-8"))["providers"]
        assert targets["lockstep.json"] == f"{provider['options']['path']}/lockstep.json"
        environment = COMPOSE["services"]["grafana"]["environment"]
        assert environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == targets["lockstep.json"]
