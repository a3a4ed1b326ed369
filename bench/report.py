"""The report: what was found, as JSON for machines and Markdown for people. Pure; tested in tests/bench/test_report.py.

`ratios.{j1a,j1b}.{kafka_streams,quix,faust}` are ours / theirs in messages per CPU-second of the workers, medians of
the same sitting, against the peer's best variant; null when a run of either side was wrong or was left out, with the
reason at the same place in `ratio_reasons`. Everybody is warm there. `ratios_with_start` and `ratio_with_start_reasons`
are the same of the whole job: all CPU since the workers began, over all that they were fed, warm-up included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.figures import Ratio, best, difference, shown, spread

PEERS = ("kafka_streams", "quix", "faust")
OURS = {"j1a": "lockstep_two_hop", "j1b": "lockstep_pipeline"}
FIGURE = "messages_per_cpu_second"
FIGURE_WITH_START = "messages_per_cpu_second_with_start"
HEADINGS = {"kafka_streams": "Kafka Streams", "quix": "Quix Streams", "faust": "Faust"}

Found = Mapping[str, Any]


def completed(found: Found) -> dict[str, Any]:
    """Return what was found with spreads and ratios added."""
    jobs = {
        name: {**job, "rows": rows_of(job), "differences": differences_of(job)}
        for name, job in found["jobs"].items()
    }
    values, reasons = ratios_of(found, FIGURE)
    whole, whole_reasons = ratios_of(found, FIGURE_WITH_START)
    return {
        **found,
        "jobs": jobs,
        "ratios": values,
        "ratio_reasons": reasons,
        "ratios_with_start": whole,
        "ratio_with_start_reasons": whole_reasons,
    }


def ratios_of(found: Found, figure: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (values, reasons), each by job and peer."""
    runs: Sequence[Found] = found["jobs"].get("j1", {}).get("runs", [])
    values: dict[str, Any] = {}
    reasons: dict[str, Any] = {}
    for job, name in OURS.items():
        ours = [run for run in runs if run["contender"] == name]
        found_ratios = {peer: _ratio_to(found, runs, ours, peer, figure) for peer in PEERS}
        values[job] = {peer: one.value for peer, one in found_ratios.items()}
        reasons[job] = {peer: one.reason for peer, one in found_ratios.items()}
    return values, reasons


def _ratio_to(found: Found, runs: Sequence[Found], ours: Sequence[Found], peer: str, figure: str) -> Ratio:
    contenders = {name: about for name, about in found["contenders"].items() if about["peer"] == peer}
    absent = [about["left_out"] for about in contenders.values() if about["left_out"]]
    variants = {
        name: variant for name in contenders if (variant := [run for run in runs if run["contender"] == name])
    }
    if not variants and absent:
        return Ratio(None, f"theirs: left out: {absent[0]}")
    return best(ours, variants, figure)


def rows_of(job: Found) -> list[dict[str, Any]]:
    """Return one row a label: each figure's min, median and max, or why it has none."""
    rows = []
    for label in dict.fromkeys(run["label"] for run in job["runs"]):
        runs = [run for run in job["runs"] if run["label"] == label]
        wrong = [f"run {run['round']}: {run['reason']}" for run in runs if run["reason"] is not None]
        right = [run for run in runs if run["reason"] is None]
        figures = {
            key: list(spread(values))
            if (values := [run[key] for run in right if run.get(key) is not None])
            else None
            for key, _ in job["figures"]
        }
        rows.append(
            {
                "label": label,
                "contender": runs[0]["contender"],
                "parameters": runs[0]["parameters"],
                "runs": len(runs),
                "figures": figures,
                "reasons": wrong,
                "load": list(spread([run["load"] for run in runs])),
                "loop_us": list(spread([run["loop_us"] for run in runs])),
            }
        )
    return rows


def differences_of(job: Found) -> dict[str, Any]:
    """Return figure -> the medians without and with what the job compares; empty where it compares nothing."""
    if not job.get("compares"):
        return {}
    without, having = ([run for run in job["runs"] if run["contender"] == one] for one in job["compares"])
    return {key: difference(without, having, key)._asdict() for key, _ in job["figures"]}


def render(report: Found, plots: Sequence[str] = ()) -> str:
    """Return the Markdown of a completed report; `plots`: names of pictures that lie beside it."""
    parts = [_head(report), _ratios(report)]
    parts += [_job(name, job) for name, job in report["jobs"].items()]
    parts += [f"![{name}]({name})" for name in plots]
    parts.append(_contenders(report["contenders"]))
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(report: Found) -> str:
    machine = report["machine"]
    return (
        f"# Benchmark of {report['at']}{' (quick)' if report['is_quick'] else ''}\n\n"
        f"{machine['cores']} cores shared by workers, broker and load; {machine['memory_gib']} GiB; "
        f"Python {machine['python']}; one embedded broker for all runs; {report.get('seconds', 0)} s in all. "
        "Figures are min / median / max over the runs of this one sitting; compare within it only. Load average and "
        "the time of a fixed Python loop stand beside each. Every output was read back with read_committed and "
        "checked: exactly the distinct tokens, each once, every recipient 1..n. A run that fails the check has no "
        "figures."
    )


def _ratios(report: Found) -> str:
    if not report["jobs"].get("j1"):
        return ""
    warm = _ratio_table(
        "## Ours / theirs, messages per CPU-second of the workers", report["ratios"], report["ratio_reasons"]
    )
    whole = _ratio_table(
        "## The same of the whole job: start and warm-up included; none against who was fed fewer messages",
        report["ratios_with_start"],
        report["ratio_with_start_reasons"],
    )
    return f"{warm}\n\n{whole}"


def _ratio_table(heading: str, ratios: Found, reasons: Found) -> str:
    lines = [heading, ""]
    lines += [f"| job | {' | '.join(HEADINGS.values())} |", "|---|" + "---|" * len(PEERS)]
    notes = []
    for job, values in ratios.items():
        cells = []
        for peer in PEERS:
            cells.append("null" if values[peer] is None else f"**{values[peer]:.2f}**")
            if values[peer] is None:
                notes.append(f"- {job} / {HEADINGS[peer]}: {reasons[job][peer]}")
        lines.append(f"| {job} | {' | '.join(cells)} |")
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def _job(name: str, job: Found) -> str:
    labels = [label for _, label in job["figures"]]
    lines = [f"## {name}: {job['title']}", "", job["note"], ""]
    lines += [
        f"| contender | {' | '.join(labels)} | runs | load | loop us |",
        "|---|" + "---|" * (len(labels) + 3),
    ]
    notes = []
    for row in job["rows"]:
        cells = [_cell(row["figures"][key]) for key, _ in job["figures"]]
        lines.append(
            f"| {row['label']} | {' | '.join(cells)} | {row['runs']} | {_cell(row['load'])} | {_cell(row['loop_us'])} |"
        )
        notes += [f"- {row['label']}, {reason}" for reason in row["reasons"]]
    notes += [
        _difference(label, job["differences"][key]) for key, label in job["figures"] if job["differences"]
    ]
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def _difference(label: str, one: Found) -> str:
    if one["percent"] is None:
        return f"- {label}: null, {one['reason']}"
    return f"- {label}: {shown(one['without'])} without, {shown(one['median_with'])} with, {one['percent']:+.1f} %"


def _cell(figure: Sequence[float] | None) -> str:
    if figure is None:
        return "null"
    least, middle, most = figure
    return shown(middle) if least == most else " / ".join(map(shown, figure))


def _contenders(contenders: Found) -> str:
    lines = ["## Who, and with which settings", ""]
    for name, about in contenders.items():
        lines.append(f"- **{about['title']}** (`{name}`)")
        if about["left_out"]:
            lines.append(f"  - left out: {about['left_out']}")
        lines += [f"  - {key}: {value}" for key, value in about.get("settings", {}).items()]
        if about.get("warm_up_messages"):
            lines.append(f"  - warm-up before anything is measured: {about['warm_up_messages']:,} requests")
    return "\n".join(lines)
