"""Every job can be planned, in full and quick, and the command line tells what there is."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.__main__ import main, write
from bench.catalogue import JOBS
from bench.contenders.base import Contender, LeftOut
from bench.contenders.lockstep import LockstepPipeline
from bench.jobs import trace
from bench.plan import Options
from bench.report import completed


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize("is_quick", [False, True])
def test_a_job_has_columns_and_steps_with_labels_of_their_own(name: str, is_quick: bool) -> None:
    """A row of the report is found by its label, so no two steps may share one."""
    job = JOBS[name]
    options = Options(is_quick=is_quick)
    labels = [step.label for step in job.steps(options)]
    assert job.figures
    assert len(job.figures) == len({figure.key for figure in job.figures})
    assert labels
    assert len(labels) == len(set(labels))
    assert job.runs(options) >= 1


def test_the_quick_form_leaves_faust_out_and_keeps_the_other_peers() -> None:
    """What the ratios of a quick report can be about."""
    peers = {step.contender.peer for step in JOBS["j1"].steps(Options(is_quick=True))}
    assert peers == {"lockstep", "kafka_streams", "quix"}
    everybody = {step.contender.peer for step in JOBS["j1"].steps(Options())}
    assert everybody == {"lockstep", "kafka_streams", "quix", "faust"}
    assert [job.name for job in JOBS.values() if job.in_quick] == ["j1", "j3"]


def test_a_sitting_shows_the_loss_of_a_worker_with_a_warm_copy_and_without_at_the_state_of_j4() -> None:
    """J4's worker comes back; `takeover` is the same for one that does not, and both are in `make bench`."""
    assert JOBS["j4"].in_all
    assert JOBS["takeover"].in_all
    options = Options(sizes=(10, 3_000, 20))
    found = [dict(step.parameters) for step in JOBS["takeover"].steps(options)]
    assert [one["standbys"] for one in found] == [1, 0]
    assert {one["tokens"] for one in found} == {
        step.parameters["tokens"] for step in JOBS["j4"].steps(options)
    }


def test_only_takes_names_and_peers() -> None:
    """`--only kafka_streams` means every variant of it."""
    assert Options(only=("lockstep",)).wants(LockstepPipeline)
    assert Options(only=("lockstep_pipeline",)).wants(LockstepPipeline)
    assert not Options(only=("quix",)).wants(LockstepPipeline)
    assert Options().wants(LockstepPipeline)


def test_every_contender_says_who_it_is() -> None:
    """Names are keys of the report; one name, one class."""
    classes: dict[str, type[Contender]] = {}
    for job in JOBS.values():
        for step in job.steps(Options()):
            assert classes.setdefault(step.contender.name, step.contender) is step.contender


async def test_a_contender_that_lacks_something_says_what(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trace job without a trace is left out by name."""
    monkeypatch.delenv("LOCKSTEP_TRACE", raising=False)
    with pytest.raises(LeftOut, match="LOCKSTEP_TRACE"):
        await trace.LockstepTrace().require()


def test_help_shows_examples_and_every_job() -> None:
    """What a person sees first."""
    shown = CliRunner().invoke(main, ["--help"]).output
    assert "python -m bench all --quick" in shown
    assert all(name in shown for name in JOBS)


def test_a_job_that_there_is_not_is_refused_with_those_there_are() -> None:
    """A typing error costs no hour."""
    result = CliRunner().invoke(main, ["j99"])
    assert result.exit_code == 2
    assert "there is no job 'j99'" in result.output
    assert "soak" in result.output


def test_a_report_is_written_as_json_and_markdown(tmp_path: Path) -> None:
    """Whether or not there are pictures."""
    machine = {"cores": 2, "memory_gib": 1, "python": "3"}
    found = {"at": "2026-01-01T00:00:00Z", "is_quick": True, "machine": machine, "contenders": {}, "jobs": {}}
    written = write(completed(found), tmp_path)
    assert written.name == "2026-01-01T000000Z.md"
    assert (tmp_path / "2026-01-01T000000Z.json").exists()
