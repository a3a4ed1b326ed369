"""docs/schemas-and-topics.md says what the code does."""

from __future__ import annotations

import re
from typing import Any

import pytest

from streams.codec import RESOURCES, Codec
from streams.topology import load_topology
from tests.schemas.document import DOCUMENT, PART, PARTS, rendered

TEXT = DOCUMENT.read_text()


def test_the_generated_parts_are_those_of_today() -> None:
    """Write them anew: python -m tests.schemas.document."""
    assert rendered(TEXT) == TEXT


def test_every_part_that_can_be_generated_stands_in_the_document_once() -> None:
    assert sorted(name for _, name, _ in PART.findall(TEXT)) == sorted(PARTS)


def test_every_record_has_its_section() -> None:
    assert set(re.findall(r"^### (\w+)$", TEXT, re.MULTILINE)) == set(Codec().formats)


def test_the_numbers_in_the_prose_are_those_of_the_topology() -> None:
    topology = load_topology()
    assert f"`shards` in `topology.yaml`, {topology.shards} unless" in TEXT
    times = topology.timestamps
    assert f"(`client_retry_horizon_ms`, {times.client_retry_horizon_ms // 3_600_000} hours)" in TEXT
    assert f"(`threshold_ms`, {times.threshold_ms // 3_600_000} hours)" in TEXT


def test_the_example_writes_and_reads_what_lockstep_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the first line that needs a cluster."""
    monkeypatch.chdir(RESOURCES)
    (block,) = re.findall(r"^```python\n(.*?)^producer = ", TEXT, re.MULTILINE | re.DOTALL)
    example: dict[str, Any] = {}
    exec(block, example)  # noqa: S102  # our own example
    value = example["encode"](example["send_request"], example["request"])
    assert Codec().decode(value) == ("SendRequest", example["request"])
    assert example["decode"](value) == ("lockstep.SendRequest", example["request"])
