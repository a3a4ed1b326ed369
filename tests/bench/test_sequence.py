"""What a full sitting runs, how often, and what it says before it begins."""

from __future__ import annotations

from collections import Counter

from bench.catalogue import JOBS
from bench.plan import Options
from bench.sequence import estimate

MINUTES_MAX = 60
FULL = [job for job in JOBS.values() if job.in_all]


def times_run(name: str, options: Options) -> Counter[str]:
    """Contender -> runs of a job."""
    steps = [step for steps in JOBS[name].schedule(options) for step in steps]
    return Counter(step.contender.name for step in steps)


def test_whoever_is_in_a_ratio_is_run_three_times() -> None:
    """The ratios are medians; every variant counts, since a peer is compared at its best."""
    found = times_run("j1", Options())
    for name in (
        "lockstep_two_hop",
        "lockstep_pipeline",
        "kafka_streams_100",
        "quix_100",
        "quix_1000",
        "faust",
    ):
        assert found[name] == 3


def test_side_figures_of_latency_are_run_once_and_the_compared_ones_in_every_round() -> None:
    """Three runs of everything took a third of a sitting."""
    rounds = JOBS["j3"].schedule(Options())
    assert len(rounds) == 3
    assert [step.contender.name for step in rounds[2]] == ["lockstep_pipeline", "kafka_streams_10"]
    assert len(rounds[0]) > len(rounds[1]) == len(rounds[2])
    assert times_run("j3", Options())["quix_100"] == 1


def test_only_what_is_asked_for_is_scheduled() -> None:
    """In every round."""
    rounds = JOBS["j1"].schedule(Options(only=("quix",)))
    assert {step.contender.peer for steps in rounds for step in steps} == {"quix"}


def test_a_full_sitting_of_three_rounds_takes_an_hour_at_most() -> None:
    """By the estimates; a job that makes it longer has to take the time from somewhere."""
    options = Options()
    plans = {job.name: job.schedule(options) for job in FULL}
    said, *lines = estimate(FULL, plans, set())
    assert int(said.split()[1]) <= MINUTES_MAX
    assert [line.split()[0] for line in lines] == [job.name for job in FULL]


def test_the_estimate_leaves_out_who_is_left_out() -> None:
    """Without Faust, three runs of J1 less."""
    plans = {"j1": JOBS["j1"].schedule(Options())}
    whole, less = (estimate([JOBS["j1"]], plans, absent)[1] for absent in (set[str](), {"faust"}))
    assert int(whole.split()[1]) - int(less.split()[1]) == 3
