"""What a job is: steps, each one contender under some parameters, and the figures that its runs give."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from bench.contenders.base import Contender
    from bench.sitting import Sitting

Measure = Callable[["Sitting", "Contender"], Awaitable[dict[str, Any]]]
"""One run: figures by key, and `reason`, which is None only when the output was right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a person may choose."""

    is_quick: bool = False
    runs: int = 3
    messages: int = 200_000
    seed: int = 1
    rate: float = 1_000.0
    seconds: float = 20.0
    sizes: tuple[int, ...] = (100_000, 1_000_000)
    """Tokens in state: J4 takes the largest, J5 each."""
    minutes: float = 20.0
    only: tuple[str, ...] = ()
    """Names of contenders, or of peers; empty means all."""

    def wants(self, contender: type[Contender]) -> bool:
        """Whether a contender is asked for."""
        return not self.only or contender.name in self.only or contender.peer in self.only


class Figure(NamedTuple):
    """One column of a job's table."""

    key: str
    label: str


@dataclass(frozen=True, slots=True)
class Step:
    """One contender under some parameters; run once in every round, the first `rounds_max` of them if that is set."""

    make: Callable[[], Contender]
    contender: type[Contender]
    measure: Measure
    parameters: Mapping[str, Any] = field(default_factory=dict)
    rounds_max: int | None = None
    """In how many rounds it is run at most: a side figure needs no three of them."""

    @property
    def label(self) -> str:
        """Contender and parameters, as the table names them."""
        more = ", ".join(f"{name} {_said(value)}" for name, value in self.parameters.items())
        return f"{self.contender.title}{f' ({more})' if more else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One question, how it is asked and what the answer's columns are."""

    name: str
    title: str
    note: str
    figures: Sequence[Figure]
    steps: Callable[[Options], Sequence[Step]]
    runs: Callable[[Options], int] = lambda options: options.runs
    """How often; some jobs are too long to be run three times in one sitting."""
    run_seconds: float = 60.0
    """About how long one run takes at the default sizes on two cores: an estimate is told before a sitting begins."""
    compares: tuple[str, str] | None = None
    """Two contenders, without something and with it: the report says by how much the medians differ."""
    in_quick: bool = False
    in_all: bool = True
    """Whether `make bench` runs it; the load scenarios are asked for by name."""

    def schedule(self, options: Options) -> list[list[Step]]:
        """Return the steps of each round, of the contenders that are asked for."""
        steps = [one for one in self.steps(options) if options.wants(one.contender)]
        rounds = range(1, self.runs(options) + 1)
        return [
            [one for one in steps if one.rounds_max is None or number <= one.rounds_max] for number in rounds
        ]


def _said(value: Any) -> str:
    return (
        f"{value:g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )
