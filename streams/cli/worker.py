"""`lockstep worker`: one worker process in the foreground, as `lockstep up` starts them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading

import click
import structlog

from streams.cli.context import Cluster, cluster_options, worker_options
from streams.errors import BrokerUnavailable
from streams.topology import Topology

log = structlog.get_logger("engine")

APPS = ("pipeline", "store")
_LOOK_SECONDS_MAX = 5.0
"""After how long it is said that no broker answers; then it is tried again."""


@click.command()
@click.option(
    "--app", "app_name", type=click.Choice(APPS), default="pipeline", show_default=True, help="What it does."
)
@click.option(
    "--name", default="worker-0", show_default=True, help="Unique in its app; the same over restarts."
)
@click.option("--web-port", type=int, default=6066, show_default=True, help="Port of its pages.")
@click.option(
    "--web-host",
    default="127.0.0.1",
    show_default=True,
    help="Where its pages are served: 0.0.0.0 for a Prometheus elsewhere. They show what is in the tables.",
)
@worker_options
@click.option(
    "--memory-mib",
    type=int,
    default=192,
    show_default=True,
    help="RocksDB cache and write buffers of all shards.",
)
@click.option("--shards", type=int, help="Partitions of the pipeline topics; default: as in topology.yaml.")
@click.option(
    "--stop-with-stdin", is_flag=True, help="Stop when standard input ends: the supervisor is gone."
)
@click.option("--verbose", is_flag=True, help="Say more.")
@cluster_options
def worker(  # noqa: PLR0917  # click passes one argument an option
    cluster: Cluster,
    app_name: str,
    name: str,
    web_port: int,
    web_host: str,
    session_timeout: float,
    memory_mib: int,
    standbys: int,
    shards: int | None,
    stop_with_stdin: bool,
    verbose: bool,
) -> None:
    r"""Run one worker in the foreground.

    \b
    Example:
      lockstep topics create --bootstrap localhost:9092
      lockstep worker --bootstrap localhost:9092 --name worker-0 --data-dir ./data
    """
    topology = cluster.topology if shards is None else cluster.topology.with_shards(shards)
    import uvloop  # loaded only by a worker

    from streams.engine import heap  # with the rest
    from streams.observe import logs, stacks  # with the rest

    heap.return_large_blocks()
    logs.configure(verbose=verbose)
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)  # Faust takes it
    stacks.answer_signal(loop)  # before there are threads
    if stop_with_stdin:
        threading.Thread(target=_stop_at_end_of_input, daemon=True).start()
    _require_shards(cluster, topology)
    sys.argv = sys.argv[:1]  # Faust reads options from it at import
    import faust  # after sys.argv is safe

    from streams import bootstrap as wiring  # imports Faust
    from streams import faults  # with the rest
    from streams.codec import Codec  # with the rest

    faults.arm_from_environment()
    settings = wiring.WorkerSettings(
        worker=name,
        data_dir=cluster.data_dir,
        connection=cluster.connection,
        web_port=web_port,
        web_host=web_host,
        session_timeout_s=session_timeout,
        memory_bytes=memory_mib << 20,
        standbys=standbys,
    )
    app = wiring.APPS[app_name](settings, topology, Codec(registry_ids=topology.registry_ids))
    heap.collect_rarely()
    # Logging is set up above; a spinner would write cursor codes into the log.
    process = faust.Worker(app, quiet=not verbose, override_logging=False)
    process.spinner = None
    process.execute_from_commandline()


def _require_shards(cluster: Cluster, topology: Topology) -> None:
    """Wait for a broker; raise TopologyError unless the topics have the shards that this worker is to count on.

    The broker has to be waited for here: Faust gives up at its first connection that fails.
    """
    from streams.adapters.cluster import Cluster as Administration  # imports a Kafka client
    from streams.adapters.cluster_shards import require_shards  # with it

    async def look() -> None:
        async with Administration(cluster.connection, patience_s=_LOOK_SECONDS_MAX) as administration:
            await require_shards(administration, topology)

    loop = asyncio.new_event_loop()  # asyncio.run would take away the one that Faust is given
    is_told = False
    try:
        while True:
            try:
                return loop.run_until_complete(look())
            except BrokerUnavailable as error:
                if not is_told:
                    log.warning("engine.waiting_for_broker", reason=str(error))
                is_told = True
    finally:
        loop.close()


def _stop_at_end_of_input() -> None:
    """Wait for the other end of standard input to close, however its process ended; then stop in order."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
