"""Pictures of a report: bars of every job, curves where a parameter grows, time lines of the load scenarios.

matplotlib is an optional dependency (`make bench` installs it); without it a report has no pictures and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.sequence import console

CURVES = {"j5": "tokens", "j6": "duplicates"}
"""Jobs whose rows lie along a parameter."""
_WIDTH_INCHES, _HEIGHT_INCHES, _DOTS = 9.0, 4.2, 110


def draw(report: Mapping[str, Any], out: Path, stem: str) -> list[str]:
    """Write a PNG a job; return their names."""
    try:
        import matplotlib as mpl
    except ImportError:
        console.print("no pictures: matplotlib is not installed (`make bench` does it)")
        return []
    mpl.use("Agg")
    names = []
    for name, job in report["jobs"].items():
        figure = _curves(job, CURVES[name]) if name in CURVES else _bars(job)
        if any("timeline" in run for run in job["runs"]):
            figure = _timelines(job)
        if figure is not None:
            path = out / f"{stem}-{name}.png"
            figure.savefig(path, dpi=_DOTS, bbox_inches="tight")
            names.append(path.name)
    return names


def _new(title: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH_INCHES, _HEIGHT_INCHES))
    axes = figure.subplots()
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _bars(job: Mapping[str, Any]) -> Any | None:
    key, label = job["figures"][0]
    rows = [row for row in job["rows"] if row["figures"][key] is not None]
    if not rows:
        return None
    figure, axes = _new(job["title"])
    for at, row in enumerate(reversed(rows)):
        least, middle, most = row["figures"][key]
        colour = "#2563eb" if row["contender"].startswith("lockstep") else "#9ca3af"
        axes.barh(at, middle, color=colour, xerr=[[middle - least], [most - middle]], capsize=3)
    axes.set_yticks(range(len(rows)), [row["label"] for row in reversed(rows)], fontsize=8)
    axes.set_xlabel(f"{label} (median; lines: min to max)")
    return figure


def _curves(job: Mapping[str, Any], parameter: str) -> Any | None:
    key, label = job["figures"][0]
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in job["rows"]:
        if row["figures"][key] is not None and parameter in row["parameters"]:
            more = [f"{name} {value}" for name, value in row["parameters"].items() if name != parameter]
            line = ", ".join([row["contender"], *more])
            lines.setdefault(line, []).append((row["parameters"][parameter], row["figures"][key][1]))
    if not lines:
        return None
    figure, axes = _new(job["title"])
    for line, points in lines.items():
        axes.plot(*zip(*sorted(points), strict=True), marker="o", label=line)
    if parameter == "tokens":
        axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel(parameter)
    axes.set_ylabel(label)
    axes.legend(fontsize=8)
    return figure


def _timelines(job: Mapping[str, Any]) -> Any | None:
    figure, axes = _new(job["title"])
    for run in job["runs"]:
        points = run.get("timeline") or []
        for key in ("rss_mib", "disk_mib"):
            if points and key in points[0]:
                seconds = [one["second"] for one in points]
                axes.plot(seconds, [one[key] for one in points], label=f"{run['contender']} {key}")
    axes.set_xlabel("seconds")
    axes.set_ylabel("MiB")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)
    return figure
