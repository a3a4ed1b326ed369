"""The picture in docs/ is the picture of topology.yaml (streams/topology/drawing.py)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from streams.topology import load_topology
from streams.topology.drawing import draw

PICTURE = Path(__file__).parents[2] / "docs" / "topology.svg"
SVG = "{http://www.w3.org/2000/svg}"


def test_the_picture_in_the_documentation_is_the_topology_of_today() -> None:
    """Draw it anew: lockstep topology draw > docs/topology.svg."""
    assert PICTURE.read_text() == draw(load_topology())


def test_every_stage_and_topic_stands_in_the_picture_once_and_each_flow_has_its_arrow() -> None:
    topology = load_topology()
    picture = ElementTree.fromstring(draw(topology))  # noqa: S314  # our own text
    texts = [one.text for one in picture.iter(f"{SVG}text")]
    for name in (*topology.stages, *topology.topics):
        assert texts.count(name) == 1, name
    arrows = [one for one in picture.iter(f"{SVG}path") if one.get("marker-end")]
    stages = topology.stages.values()
    flows = sum(
        len(one.reads) + len(topology.outputs_of(one.name)) + (one.after is not None) for one in stages
    )
    assert len(arrows) == flows
    assert len([one for one in arrows if one.get("stroke-dasharray")]) == 1, "refusals lead back to ingest"


def test_no_two_boxes_lie_on_each_other() -> None:
    picture = ElementTree.fromstring(draw(load_topology()))  # noqa: S314  # our own text
    boxes = [(one.get("x"), one.get("y")) for one in picture.iter(f"{SVG}rect") if one.get("x")]
    assert len(boxes) == len(set(boxes)) > 15


def test_a_circle_without_a_source_is_drawn_as_well() -> None:
    topology = load_topology()
    stages = dict(topology.stages)
    stages["replay"] = replace(stages["replay"], writes=("endpoint.commands",))
    assert draw(replace(topology, stages=stages)).count("stroke-dasharray") == 2
