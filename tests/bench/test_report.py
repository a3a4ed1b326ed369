"""The report holds spreads, ratios with their reasons, and every run that was wrong."""

from __future__ import annotations

from typing import Any

from bench.report import completed, render

FIGURE = "messages_per_cpu_second"
WITH_START = "messages_per_cpu_second_with_start"

STARTS = {"kafka_streams_100": 4.0, "lockstep_two_hop": 2.0}
"""By how much less a contender does in a CPU-second when its start counts."""


def found() -> dict[str, Any]:
    """A sitting of one round: Quix was wrong, Faust left out."""

    def run(contender: str, value: float | None, reason: str | None = None) -> dict[str, Any]:
        more = {"round": 1, "parameters": {}, "load": 1.0, "loop_us": 12.0}
        more |= {FIGURE: value, WITH_START: None if value is None else value / STARTS.get(contender, 1)}
        return {"contender": contender, "label": f"the {contender}", "reason": reason, **more}

    def about(peer: str, left_out: str | None = None) -> dict[str, Any]:
        return {"peer": peer, "title": f"Title of {peer}", "left_out": left_out, "settings": {"commit": "x"}}

    runs = [
        run("lockstep_two_hop", 30_000),
        run("lockstep_pipeline", 6_000),
        run("kafka_streams_100", 20_000),
        run("quix_100", None, "bench.updates: wrong: of 9 records, 3 lost (e.g. ab)"),
    ]
    return {
        "at": "2026-01-01T00:00:00Z",
        "is_quick": True,
        "seconds": 10,
        "machine": {"cores": 2, "memory_gib": 24, "python": "3.11"},
        "contenders": {
            "lockstep_two_hop": about("lockstep"),
            "lockstep_pipeline": about("lockstep"),
            "kafka_streams_100": about("kafka_streams"),
            "quix_100": about("quix"),
            "faust": about("faust", "no wheel for this Python"),
        },
        "jobs": {
            "j1": {"title": "two hops", "note": "a note", "figures": [[FIGURE, "per CPU-s"]], "runs": runs}
        },
    }


def test_ratios_stand_where_machines_look_for_them() -> None:
    """`ratios.{j1a,j1b}.{kafka_streams,quix,faust}`, null with the reason at the same place."""
    report = completed(found())
    assert report["ratios"] == {
        "j1a": {"kafka_streams": 1.5, "quix": None, "faust": None},
        "j1b": {"kafka_streams": 0.3, "quix": None, "faust": None},
    }
    reasons = report["ratio_reasons"]["j1a"]
    assert reasons["kafka_streams"] is None
    assert "3 lost" in reasons["quix"]
    assert reasons["faust"] == "theirs: left out: no wheel for this Python"


def test_ratios_of_the_whole_job_stand_beside_the_warm_ones() -> None:
    """`ratios_with_start`: a peer whose start costs more than ours loses by it; the reasons are at the same place."""
    report = completed(found())
    assert report["ratios_with_start"]["j1a"] == {"kafka_streams": 3.0, "quix": None, "faust": None}
    assert report["ratios_with_start"]["j1b"]["kafka_streams"] == 1.2
    assert "3 lost" in report["ratio_with_start_reasons"]["j1a"]["quix"]
    text = render(report)
    assert text.index("**1.50**") < text.index("start and warm-up included") < text.index("**3.00**")


def test_ratios_are_null_when_the_job_was_not_run() -> None:
    """A report of another job has the same keys."""
    report = completed({**found(), "jobs": {}})
    assert report["ratios"]["j1a"] == {"kafka_streams": None, "quix": None, "faust": None}
    assert report["ratio_reasons"]["j1b"]["kafka_streams"] == "ours: left out"


def test_a_row_has_the_spread_of_its_right_runs_and_the_reasons_of_the_others() -> None:
    """Three rounds, one of them wrong."""
    sitting = found()
    runs = sitting["jobs"]["j1"]["runs"]
    first = runs[0]
    runs += [
        {**first, "round": 2, FIGURE: 10_000},
        {**first, "round": 3, FIGURE: None, "reason": "1 doubled"},
    ]
    (row, *_) = completed(sitting)["jobs"]["j1"]["rows"]
    assert row["runs"] == 3
    assert row["figures"] == {FIGURE: [10_000, 20_000, 30_000]}
    assert row["reasons"] == ["run 3: 1 doubled"]


def test_the_text_says_ratios_reasons_settings_and_pictures() -> None:
    """What a reader must not miss is in the Markdown."""
    text = render(completed(found()), ["one.png"])
    for part in (
        "**1.50**",
        "null",
        "3 lost",
        "no wheel for this Python",
        "![one.png](one.png)",
        "commit: x",
    ):
        assert part in text
    assert text.count("| the ") == 4
