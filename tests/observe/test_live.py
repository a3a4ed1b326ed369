"""What the live page is told (streams/observe/live.py)."""

from __future__ import annotations

import json
import re

from streams.observe.live import StageShown, live, page_files, whole
from streams.observe.units import Phases, Units
from streams.observe.worker import View
from streams.topology import load_topology


def view(units: Units | None) -> View:
    return View(
        worker="worker-0",
        app="pipeline",
        broker=lambda: "up",
        has_joined=lambda: True,
        shards=lambda: [{"shard": 0, "state": "open", "detail": "", "inputs": {}}],
        counters=lambda: {"engine.units": 1},
        more=lambda _samples, _rows: None,
        units=units,
    )


def test_a_worker_of_the_pipeline_tells_its_units_and_one_of_the_store_does_not() -> None:
    """The page leaves out what a worker does not have; everything is JSON."""
    units = Units(("inbox.appends",))
    units.done([], [("inbox.updates", 0, b"", b"")], Phases(0.1, 0.1, 0.1))
    told = json.loads(json.dumps(live(view(units))))
    assert told["records_out"] == {"inbox.updates": 1}
    assert sum(told["unit_seconds"]["commit"]["counts"]) == 1
    assert len(told["latency"]["counts"]) == len(told["latency"]["bounds"]) + 1
    assert "records_out" not in live(view(None))


def test_the_newest_dead_letter_comes_first() -> None:
    """As people read them."""
    units = Units()
    units.dead_letters.extend({"offset": number} for number in (1, 2))
    assert [one["offset"] for one in live(view(units))["dead_letters"]] == [2, 1]


def test_whoever_asks_one_worker_learns_of_the_others_and_of_the_stages() -> None:
    """`shards` is None where only this worker is known."""
    told = whole({"worker": "a"}, [{"worker": "b"}], [StageShown("ingest", "pipeline", ("x",), ("y",))], None)
    assert (told["own"], told["others"], told["shards"]) == ({"worker": "a"}, [{"worker": "b"}], None)
    assert told["stages"] == [{"name": "ingest", "app": "pipeline", "reads": ["x"], "writes": ["y"]}]


def test_the_page_needs_nothing_from_elsewhere() -> None:
    """No address of another host stands in its files, and no script or style within the page itself."""
    files = page_files()
    for file in files.values():
        assert set(re.findall(r"https?://[\w./]+", file.content)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<script>|<style|\son\w+=|\sstyle=", files["index.html"].content)
    assert "innerHTML" not in files["live.js"].content


def test_every_stage_and_every_arrow_of_the_picture_is_in_the_topology() -> None:
    """The picture is drawn by hand: a stage or topic that is renamed or new has to be drawn too."""
    script = page_files()["live.js"].content
    topology = load_topology()
    boxes = set(re.findall(r"^  (\w+): \[\d", script, flags=re.MULTILINE))
    assert set(topology.stages) <= boxes
    drawn = set(re.findall(r'^  \["([\w.*]+)", "M', script, flags=re.MULTILINE))
    topics = {topic for stage in topology.stages.values() for topic in (*stage.reads, *stage.writes)}
    assert drawn == {topic if topic != "delivery" else "delivery.*" for topic in topics} | {"dead.letters"}
