"""The container files name only what exists. They are not run: no container engine is at hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from streams.broker import pinned_kafka_version
from streams.broker.settings import server_properties
from streams.cli.main import main

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
WORKERS = ("worker-0", "worker-1", "store")
# What says where the broker is: in a container this is another place than on the loopback address.
PLACE = {"listeners", "advertised.listeners", "listener.security.protocol.map", "log.dirs"}
PLACE |= {"inter.broker.listener.name", "controller.quorum.voters"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))
    assert isinstance(document, dict)
    return document


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    named = compose["services"]
    assert isinstance(named, dict)
    return named


def dockerfile_lines(instruction: str) -> list[str]:
    """The arguments of every such instruction, continuation lines joined."""
    text = (DOCKER / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    return re.findall(rf"^{instruction}\s+(.*)$", text, flags=re.MULTILINE)


def test_kafka_is_the_official_image_at_the_pinned_version(services: dict[str, Any]) -> None:
    assert services["kafka"]["image"] == f"apache/kafka:{pinned_kafka_version()}"


def test_kafka_is_set_up_as_the_embedded_one(services: dict[str, Any]) -> None:
    text = server_properties(port=9092, controller_port=9093, log_folder=Path("folder"), overrides={})
    embedded = dict(line.split("=", 1) for line in text.splitlines())
    environment = services["kafka"]["environment"]
    settings = {
        name.removeprefix("KAFKA_").replace("_", ".").lower(): environment[name] for name in environment
    }
    assert settings.keys() <= embedded.keys()
    assert {name: value for name, value in settings.items() if name not in PLACE} == {
        name: embedded[name] for name in settings if name not in PLACE
    }


def test_every_listener_of_kafka_has_a_protocol_and_clients_are_sent_to_one(services: dict[str, Any]) -> None:
    environment = services["kafka"]["environment"]
    listeners = dict(part.split("://") for part in environment["KAFKA_LISTENERS"].split(","))
    protocols = dict(
        part.split(":") for part in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")
    )
    advertised = dict(part.split("://") for part in environment["KAFKA_ADVERTISED_LISTENERS"].split(","))
    assert listeners.keys() == protocols.keys()
    assert advertised.keys() == listeners.keys() - {environment["KAFKA_CONTROLLER_LISTENER_NAMES"]}
    for name, address in advertised.items():
        assert address.partition(":")[2] == listeners[name].partition(":")[2]
    assert {services[name]["environment"]["LOCKSTEP_BOOTSTRAP"] for name in (*WORKERS, "topics")} <= set(
        advertised.values()
    )


@pytest.mark.parametrize("name", ["topics", *WORKERS])
def test_the_command_is_one_that_lockstep_takes_with_these_options(
    services: dict[str, Any], name: str
) -> None:
    words = services[name]["command"]
    assert words[:2] == ["topics", "create"] if name == "topics" else words[0] == "worker"
    command: click.Command = main
    rest = list(words)
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), rest.pop(0))
        assert found is not None
        command = found
    command.make_context(name, rest)  # raises for an option or value that it does not take


def test_workers_wait_for_a_healthy_kafka_and_for_the_topics(services: dict[str, Any]) -> None:
    assert services["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    assert services["topics"]["restart"] == "no"
    for name in WORKERS:
        assert services[name]["depends_on"] == {
            "kafka": {"condition": "service_healthy"},
            "topics": {"condition": "service_completed_successfully"},
        }
    for name in (*WORKERS, "kafka"):
        assert services[name]["healthcheck"]["test"][0] == "CMD"


def test_workers_are_asked_for_their_health(services: dict[str, Any]) -> None:
    """By a page that workers serve: one that answers 503 when something is wrong."""
    for name in WORKERS:
        (address,) = re.findall(
            r"http://127\.0\.0\.1:6066(/\S+?)'", services[name]["healthcheck"]["test"][-1]
        )
        assert address == "/health"
        assert f'@app.page("{address}")' in (ROOT / "streams" / "engine" / "observed.py").read_text("utf-8")


def test_workers_have_names_and_volumes_of_their_own(
    services: dict[str, Any], compose: dict[str, Any]
) -> None:
    names = [services[name]["command"][services[name]["command"].index("--name") + 1] for name in WORKERS]
    assert len(set(names)) == len(WORKERS)
    volumes = [
        volume.partition(":")[0] for service in services.values() for volume in service.get("volumes", ())
    ]
    assert len(set(volumes)) == len(volumes)
    assert set(volumes) == compose["volumes"].keys()
    assert sum("store" in services[name]["command"] for name in WORKERS) == 1


def test_the_image_is_made_of_files_that_exist_and_reach_the_builder(services: dict[str, Any]) -> None:
    build = services["worker-0"]["build"]
    context = (DOCKER / build["context"]).resolve()
    assert context == ROOT
    assert (context / build["dockerfile"]) == DOCKER / "Dockerfile"
    copied = {
        word
        for line in dockerfile_lines("COPY")
        if not line.startswith("--from")
        for word in line.split()[:-1]
    }
    assert all((ROOT / name).exists() for name in copied)
    ignored = (DOCKER / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert copied == {line.removeprefix("!") for line in ignored if line.startswith("!")}


def test_the_image_starts_the_command_that_the_package_installs() -> None:
    assert dockerfile_lines("ENTRYPOINT") == ['["lockstep"]']
    assert '\nlockstep = "streams.cli.main:main"\n' in (ROOT / "pyproject.toml").read_text("utf-8")
    volume = dockerfile_lines("VOLUME")[0]
    assert any(f"LOCKSTEP_DATA_DIR={volume}" in line for line in dockerfile_lines("ENV"))


def test_the_documents_say_that_nothing_of_this_was_run() -> None:
    assert "**Not run**" in (DOCKER / "README.md").read_text("utf-8")
    for name in ("compose.yaml", "Dockerfile"):
        assert "Not run" in (DOCKER / name).read_text("utf-8")
