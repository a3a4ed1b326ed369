"""One schedule: a storm in which chance moves and breaks things, then a calm in which the shard must serve.

The same seed gives the same schedule, on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulation.checker import committed_units, violations
from tests.simulation.laws import Law, Violation
from tests.simulation.planted import BUGS, Bug
from tests.simulation.shard import Store
from tests.simulation.worker import Steps, Worker
from tests.simulation.world import World

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

STORM_STEPS_MIN = 100
STORM_STEPS_MAX = 600
CALM_ROUNDS_MAX = 400
"""Rounds until the shard must serve; in each, every worker makes a step and all markers are written."""

UNITS_IN_THE_CALM = 2
STALL_STEPS_MAX = 150
STORES_KEPT = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one schedule."""

    seed: int
    units: int
    owners: int
    counts: Counter[str]
    violations: tuple[Violation, ...]
    trace: tuple[str, ...]


class Process:
    """A worker and the generator that is its present process."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.steps: Steps = worker.run()
        self.is_stalled_for = 0

    def step(self) -> None:
        """Let the process do one thing: what it announced last is done, and the next is announced."""
        worker = self.worker
        what = next(self.steps)
        worker.world.note(worker.name, what)


class Schedule:
    """Runs one schedule."""

    def __init__(self, seed: int, bug: Bug = BUGS["none"], *, is_traced: bool = False) -> None:
        self._seed = seed
        self._world = World(seed, is_traced=is_traced)
        count = 2 + int(self._world.random.random() * 3)
        self._processes = [Process(Worker(self._world, f"w{number}", bug)) for number in range(count)]
        odds = self._world.odds
        self._faults: list[tuple[float, Callable[[], None]]] = [
            (odds.stall, self._stall),
            (odds.crash, self._crash),
            (odds.time_out, self._time_out),
            (odds.compaction, self._compact),
            (odds.rebalance + 0.01, self._rebalance),
            (odds.rumour, self._rumour),
            (odds.other_shard, self._fence_for_another_shard),
            (0.08, self._hear),
            (0.1, self._deliver_late_request),
        ]

    def run(self) -> Outcome:
        """The storm, the calm, the checks."""
        self._rebalance()
        self._storm()
        self._calm()
        units = committed_units(self._world)
        return Outcome(
            seed=self._seed,
            units=len(units),
            owners=len({unit.owner for unit in units}),
            counts=self._world.counts,
            violations=tuple(violations(self._world)),
            trace=tuple(self._world.trace or ()),
        )

    def _storm(self) -> None:
        world, random = self._world, self._world.random
        total = sum(odds for odds, _ in self._faults)
        for _ in range(random.randint(STORM_STEPS_MIN, STORM_STEPS_MAX)):
            if world.coordinator.has_unmarked and random.random() >= world.odds.slow_marker:
                world.coordinator.write_marker(random.random())
            process = self._processes[int(random.random() * len(self._processes))]
            if process.is_stalled_for > 0:
                process.is_stalled_for -= 1
            else:
                process.step()
            if random.random() < total:
                self._break_something(total)

    def _break_something(self, total: float) -> None:
        choice = self._world.random.random() * total
        for odds, fault in self._faults:
            choice -= odds
            if choice < 0:
                fault()
                return

    def _calm(self) -> None:
        """Everything that was late arrives, the group agrees on one worker, and that one must do units."""
        world = self._world
        while world.late_requests:
            self._deliver_late_request()
        world.is_calm = True
        world.note("calm", "no more faults")
        world.generation += 1
        world.assigned = int(world.random.random() * len(self._processes))
        for number, process in enumerate(self._processes):
            process.is_stalled_for = 0
            process.worker.generation = world.generation
            process.worker.is_wanted = number == world.assigned
        chosen = self._processes[world.assigned].worker
        target = chosen.units_committed + UNITS_IN_THE_CALM
        for _ in range(CALM_ROUNDS_MAX):
            while world.coordinator.has_unmarked:
                world.coordinator.write_marker(0.0)
            for process in self._processes:
                process.step()
            if chosen.units_committed >= target:
                return
        what = f"{chosen.name} does not serve after {CALM_ROUNDS_MAX} calm rounds"
        world.violations.append(Violation(Law.SERVED, what))

    # --- what breaks ---

    def _any(self) -> Process:
        return self._processes[int(self._world.random.random() * len(self._processes))]

    def _stall(self) -> None:
        process = self._any()
        process.is_stalled_for = 1 + int(self._world.random.random() * STALL_STEPS_MAX / len(self._processes))
        self._world.note(process.worker.name, f"stalls for {process.is_stalled_for} turns")
        self._world.count("stalls")

    def _crash(self) -> None:
        world, process = self._world, self._any()
        stores = process.worker.stores
        del stores[:-STORES_KEPT]
        world.count("kills")
        note = "is killed"
        if world.happens(world.odds.lost_store):
            stores[:] = [Store()]
            note = "is killed and loses its store"
            world.count("stores lost")
        elif world.happens(world.odds.stale_store):
            del stores[1 + int(world.random.random() * len(stores)) :]
            note = "is killed and finds an old store"
            world.count("stores stale")
        world.note(process.worker.name, note)
        process.steps = process.worker.run()
        process.is_stalled_for = int(world.random.random() * 10)

    def _time_out(self) -> None:
        owner = self._world.coordinator.expire(self._world.random.random())
        if owner is not None:
            self._world.note("time", f"the transaction of {owner} times out")
            self._world.count("transactions timed out")

    def _compact(self) -> None:
        random = self._world.random
        self._world.state.compact(random.random() * 1.5, drop_tombstones=random.random() < 0.3)
        self._world.note("log", "is compacted")
        self._world.count("compactions")

    def _rebalance(self) -> None:
        """The group assigns the shard anew, and workers hear of it later. Seldom the group begins again."""
        world = self._world
        world.generation = 1 if world.happens(0.05) else world.generation + 1
        world.assigned = int(world.random.random() * len(self._processes))
        world.note("group", f"generation {world.generation}: the shard goes to w{world.assigned}")

    def _hear(self) -> None:
        world = self._world
        number = int(world.random.random() * len(self._processes))
        worker = self._processes[number].worker
        worker.generation, worker.is_wanted = world.generation, number == world.assigned

    def _rumour(self) -> None:
        """A worker believes that the shard is its own, whatever the group says."""
        world, worker = self._world, self._any().worker
        worker.generation = world.generation + int(world.random.random() * 3) - 1
        worker.is_wanted = True
        world.note(worker.name, f"believes that the shard is its own in generation {worker.generation}")

    def _fence_for_another_shard(self) -> None:
        """A worker has one id for all its shards: what happens elsewhere may fence it."""
        fencer, owner = self._any().worker, self._any().worker.me
        if owner and owner != fencer.me and fencer.hears_of_fence(owner):
            self._world.note(fencer.name, f"has fenced {owner} for another shard")
            self._world.count("fences elsewhere")

    def _deliver_late_request(self) -> None:
        late = self._world.late_requests
        if late:
            late.pop(int(self._world.random.random() * len(late)))()
            self._world.note("net", "a late request arrives")
            self._world.count("late requests")
