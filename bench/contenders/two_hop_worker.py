"""One worker of the two-hop job on Lockstep's engine: `bootstrap.assemble` with two stages of this package.

Run by bench/contenders/lockstep.py; everything but the stages is what `lockstep worker` runs.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.engine.shard import Shard
    from streams.ports import Stage

APP = "two-hop"


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--web-port", type=int, required=True)
    parser.add_argument("--shards", type=int, required=True)
    arguments = parser.parse_args()
    sys.argv = sys.argv[:1]  # Faust reads options from it at import
    import uvloop

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    import faust

    from bench.contenders.two_hop_stages import APPENDS, REQUESTS, DedupStage, NumberingStage
    from streams import bootstrap as wiring
    from streams.codec import Codec
    from streams.connection import Connection
    from streams.observe import logs
    from streams.tables.ledger import LedgerRestorer
    from streams.topology import load_topology

    logs.configure(verbose=False)
    topology = load_topology().with_shards(arguments.shards)
    codec = Codec()

    def stages(shard: Shard) -> Sequence[Stage]:
        return NumberingStage(shard), DedupStage(shard, codec, topology.timestamps)

    app, _ = wiring.assemble(
        wiring.WorkerSettings(
            worker=arguments.name,
            data_dir=arguments.data_dir,
            connection=Connection(bootstrap=arguments.bootstrap),
            web_port=arguments.web_port,
        ),
        topology,
        codec,
        app_name=APP,
        topics=(REQUESTS, APPENDS),
        stages=stages,
        restorers=lambda: (LedgerRestorer(),),
    )
    faust.Worker(app, loglevel="warning", quiet=True).execute_from_commandline()


if __name__ == "__main__":
    main()
