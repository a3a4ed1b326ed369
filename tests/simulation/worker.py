"""A worker as the rules of streams.engine.claims ask it to be: the engine's part, in small.

`Worker.run` is a generator. Wherever it yields it can be stalled (it is not stepped for a while, and then
goes on as if nothing had happened) or killed (it is dropped, and another run begins with what is on the
disk).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from streams.engine.claims import Claim, claim_key, claim_value
from streams.engine.opening import (
    Action,
    BackOff,
    CommitClaim,
    ConfirmMembership,
    Fence,
    GiveWay,
    Opening,
    ReadToEnd,
    Won,
)
from tests.simulation.broker import Refusal
from tests.simulation.shard import PROGRESS_KEY, Shard, Store
from tests.simulation.world import AnswerLostError, Unit, World

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from tests.simulation.planted import Bug

PATIENCE_READS = 3
"""Readings that a settled one takes before it is reported as undecided."""


class DoubtError(Exception):
    """Fenced, or an outcome that is not known: the id must never be used again."""


Steps: TypeAlias = "Generator[str, None, None]"


class Worker:
    """One process after another on one machine; `stores` is its disk, latest last."""

    def __init__(self, world: World, name: str, bug: Bug) -> None:
        self.world = world
        self.name = name
        self.bug = bug
        self.stores = [Store()]
        self.is_wanted = False
        self.generation = 0
        self.units_committed = 0
        self.me = ""
        self._fenced_ids: set[str] = set()

    def run(self) -> Steps:
        """A process, from its start until it is dropped."""
        self._fenced_ids = set()
        yield from self._take_new_id()
        while True:
            try:
                yield from self._serve()
            except DoubtError as doubt:
                self.world.note(self.name, f"is in doubt: {doubt}")
                self.world.count("doubts")
                epoch = yield from self._fence(self.me)
                if self.bug.reuses_fenced_id:
                    self._epoch = epoch
                else:
                    yield from self._take_new_id()

    def hears_of_fence(self, owner: str) -> bool:
        """Another opening of this process fences an id; true when the broker has answered."""
        if self.world.coordinator.initialise(owner) is Refusal.RETRY:
            return False
        self._fenced_ids.add(owner)
        return True

    def _take_new_id(self) -> Steps:
        self.world.ids_named += 1
        new_id = f"{self.name}-{self.world.ids_named}"
        yield f"initialises its new id {new_id}"
        answer = self.world.coordinator.initialise(new_id)
        assert answer is not Refusal.RETRY, "a new id has nothing open"
        self.me, self._epoch = new_id, answer

    def _fence(self, owner: str) -> Generator[str, None, int]:
        """Until answered: a lost answer is asked for again, and a late request does no harm."""
        while True:
            yield f"fences {owner}"
            try:
                answer = self.world.request(partial(self.world.coordinator.initialise, owner))
            except AnswerLostError:
                continue
            if answer is not Refusal.RETRY:
                self._fenced_ids.add(owner)
                self.world.count("fences")
                return answer

    def _serve(self) -> Steps:
        while True:
            yield "looks whether the shard is assigned to it"
            if self.is_wanted:
                claim = yield from self._open()
                if claim is not None:
                    yield from self._hold(claim)

    # --- opening ---

    def _open(self) -> Generator[str, None, Claim | None]:
        self._shard = Shard(
            self.world, self.stores[-1], self.bug.claim_log(), skips_undecided=self.bug.skips_undecided
        )
        self._opening = Opening(self._shard.log, self.me, self.generation, self._has_fenced)
        action = self._opening.start()
        while not isinstance(action, Won | GiveWay):
            if not self.is_wanted and self.world.random.random() < 0.5:
                self.world.note(self.name, "drops the opening")
                self.world.count("openings dropped")
                return None
            self.world.count(type(action).__name__)
            action = yield from self._perform(action)
        self.world.note(self.name, str(action))
        self.world.count(type(action).__name__)
        if isinstance(action, GiveWay):
            return None
        return action.claim

    def _has_fenced(self, owner: str) -> bool:
        return self.bug.never_fences or owner in self._fenced_ids

    def _perform(self, action: Action) -> Generator[str, None, Action]:
        """Do what the opening asks for; returns what it asks for next."""
        opening = self._opening
        match action:
            case ReadToEnd(settled=settled):
                return (yield from self._read_to_end(is_settled=settled))
            case Fence(owner=owner, hand_over=True) if self.world.random.random() < 0.5:
                yield f"waits for a release by {owner}"
                return (yield from self._read_to_end(is_settled=False))
            case Fence(owner=owner):
                yield from self._fence(owner)
                return opening.fenced(owner)
            case ConfirmMembership():
                yield f"makes sure of its generation {self.generation}"
                return opening.confirmed() if self._is_member() else opening.outdated()
            case BackOff():
                yield "backs off"
                self._shard.observe_tail(self.world.state.end)
                return opening.backed_off()
            case CommitClaim(claim=claim, tombstones=tombstones):
                return (yield from self._commit_claim(claim, tombstones))
        raise AssertionError(f"{action} asks for nothing")

    def _is_member(self) -> bool:
        """The truth in the calm, anything before: safety must not depend on it."""
        if self.bug.never_confirms:
            return False
        if self.world.is_calm:
            return self.generation == self.world.generation
        return self.world.random.random() < 0.5

    def _read_to_end(self, *, is_settled: bool) -> Generator[str, None, Action]:
        world, shard = self.world, self._shard
        yield "asks the high watermarks"
        state_end, updates_end = world.state.end, world.updates.end
        for _ in range(PATIENCE_READS if is_settled else 1):
            yield "reads towards them"
            shard.read_committed()
            if world.happens(0.2):
                self._store(shard)
            is_at_end = shard.state_position >= state_end and shard.updates_position >= updates_end
            if is_settled and (is_at_end or self.bug.never_waits_until_settled):
                self._store(shard)
                return self._opening.read()
        yield "observes the tail"
        shard.observe_tail(state_end)
        return self._opening.undecided() if is_settled else self._opening.read()

    def _commit_claim(self, claim: Claim, tombstones: tuple[bytes, ...]) -> Generator[str, None, Action]:
        yield from self._append(claim_key(claim.number, claim.owner), claim_value(claim.generation))
        for key in tombstones:
            yield from self._append(key, None)
        is_commit = not self.world.happens(self.world.odds.given_up)
        yield from self._end(is_commit=is_commit)
        return self._opening.claimed() if is_commit else self._opening.claim_failed()

    # --- holding ---

    def _hold(self, claim: Claim) -> Steps:
        """Do units until the shard is not wanted any more; then release it, or just leave it."""
        while self.is_wanted:
            yield "takes its inputs"
            yield from self._unit(claim)
        if self.world.random.random() < 0.7:
            release = claim.release()
            yield from self._append(claim_key(release.number, release.owner), claim_value(release.generation))
            yield from self._end(is_commit=True)
            self.world.note(self.name, f"released with {release}")
            self.world.count("releases")

    def _unit(self, claim: Claim) -> Steps:
        world, shard = self.world, self._shard
        world.units_named += 1
        unit = Unit(world.units_named, shard.last_unit, shard.progress, claim.number, self.me)
        state_offset = yield from self._append(PROGRESS_KEY, str(unit.name).encode())
        append = partial(world.coordinator.append, self.me, self._epoch, world.updates, b"", unit)
        updates_offset = yield from self._ask(f"sends {unit}", append)
        is_commit = not world.happens(world.odds.given_up)
        yield from self._end(is_commit=is_commit)
        if is_commit:
            self.units_committed += 1
            shard.took_unit(unit.name, state_offset + 1, updates_offset + 1)
            yield f"stores unit {unit.name}"
            self._store(shard)

    def _store(self, shard: Shard) -> None:
        self.stores.append(shard.stored())

    # --- its own producer ---

    def _append(self, key: bytes, value: bytes | None) -> Generator[str, None, int]:
        append = partial(self.world.coordinator.append, self.me, self._epoch, self.world.state, key, value)
        what = f"appends {key!r} = {value!r}" if self.world.trace is not None else "appends"
        return (yield from self._ask(what, append))

    def _end(self, *, is_commit: bool) -> Steps:
        end = partial(self.world.coordinator.end, self.me, self._epoch, is_commit=is_commit)
        yield from self._ask("commits" if is_commit else "aborts", end)

    def _ask(self, what: str, request: Callable[[], int | Refusal | None]) -> Generator[str, None, int]:
        """Ask until there is an answer that decides; none at all is a doubt."""
        while True:
            yield what
            try:
                answer = self.world.request(request)
            except AnswerLostError:
                raise DoubtError(f"{what}: no answer") from None
            if answer is Refusal.FENCED:
                raise DoubtError(f"{what}: fenced")
            if answer is not Refusal.RETRY:
                return answer or 0
