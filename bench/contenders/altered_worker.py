"""A worker as `lockstep worker` runs it, with one thing altered that a job wants to measure.

    python -m bench.contenders.altered_worker ALTERATION worker --app ... (as `lockstep worker`)

The alterations are made here, at the wiring; the product knows none of them. Run by bench/contenders/lockstep.py.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

AS_IT_IS = "as-it-is"
SLOW_STORE = "slow-store"
TIMED = "timed"
UNOBSERVED = "unobserved"


def main() -> None:
    """Alter, then be the worker."""
    alteration, *arguments = sys.argv[1:]
    sys.argv = sys.argv[:1]  # Faust reads options from it at import
    import uvloop

    asyncio.set_event_loop_policy(
        uvloop.EventLoopPolicy()
    )  # before Faust is imported, as `lockstep worker` does
    name, _, argument = alteration.partition("=")
    ALTERATIONS[name](argument)
    from streams.cli.main import main as lockstep

    lockstep(arguments)


def _slow_store(switch: str) -> None:
    """Both stores of the split store answer late while the file `switch` is there, which holds the seconds."""
    from bench.contenders.slow_stores import SlowBodyStore, SlowMetadataStore, Switch
    from streams import bootstrap as wiring
    from streams.topology.model import STORE_APP

    slowness = Switch(Path(switch))

    def open_stores(folder: Path) -> tuple[SlowMetadataStore, SlowBodyStore]:
        return (
            SlowMetadataStore(folder / "metadata", slowness),
            SlowBodyStore(folder / "bodies", slowness),
        )

    wiring.APPS[STORE_APP] = lambda settings, topology, codec: wiring.store_worker(
        settings, topology, codec, open_stores
    )


def _as_it_is(_: str) -> None:
    """Nothing is altered: the other side of a comparison, started in the same way."""


def _unobserved(_: str) -> None:
    """Nobody is told of a unit of work, no counter of a stage is raised, the pulse does not beat."""
    from bench.contenders.unobserved import switch_off

    switch_off()


def _timed(_: str) -> None:
    """The parts of a worker have clocks."""
    from bench.contenders.stage_times import measure_stages

    measure_stages()


ALTERATIONS: Mapping[str, Callable[[str], None]] = {
    AS_IT_IS: _as_it_is,
    SLOW_STORE: _slow_store,
    TIMED: _timed,
    UNOBSERVED: _unobserved,
}


if __name__ == "__main__":
    main()
