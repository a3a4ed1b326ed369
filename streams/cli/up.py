"""`lockstep up` and `lockstep down`: a whole instance on this machine."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

import click

from streams.cli.context import (
    EXIT_NO,
    EXIT_USAGE,
    data_dir_option,
    err,
    fail,
    out,
    print_json,
    read_run,
    telling,
    worker_options,
)
from streams.cli.instance import Instance
from streams.cli.workers import live_page_of
from streams.connection import Connection
from streams.observe.peers import RUN_FILE
from streams.topology import load_topology

SERVING_SECONDS_MAX = 60.0
_DOWN_SECONDS_MAX = 30.0
_WATCH_SECONDS = 0.2


class _Stopped(KeyboardInterrupt):
    """SIGTERM or SIGINT arrived; a KeyboardInterrupt, because asyncio lets nothing else through at once."""


@click.command(short_help="Start Kafka and the workers, and keep them running.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Pipeline workers.")
@click.option(
    "--shards",
    type=click.IntRange(1, 1024),
    help="Partitions of every topic, fixed once they exist. Default: theirs, else as in topology.yaml.",
)
@click.option("--store/--no-store", default=True, show_default=True, help="Run the split store's worker too.")
@worker_options
@click.option("--detach", is_flag=True, help="Return when everything serves; stop it with `lockstep down`.")
@click.option("--json", "as_json", is_flag=True, help="Print where everything is as JSON.")
@data_dir_option
@telling
def up(  # noqa: PLR0917  # click passes one argument an option
    workers: int,
    shards: int | None,
    store: bool,  # click passes flags by name
    session_timeout: float,
    standbys: int,
    detach: bool,  # click passes flags by name
    as_json: bool,  # click passes flags by name
    data_dir: Path,
) -> None:
    r"""Start Kafka and the workers, and keep them running; Ctrl-C stops everything.

    With LOCKSTEP_BOOTSTRAP set, that cluster is used and no broker is started.

    \b
    Example:
      lockstep up --workers 2 --detach
      lockstep status
      lockstep down
    """
    if detach:
        _detach(data_dir, as_json=as_json)
        return
    topology = load_topology()
    outside = Connection.from_environment() if os.environ.get("LOCKSTEP_BOOTSTRAP") else None
    instance = Instance(
        data_dir=data_dir.resolve(),
        topology=topology if shards is None else topology.with_shards(shards),
        workers=workers,
        has_store=store,
        connection=outside,
        adopts_shards=shards is None,
        session_timeout_s=session_timeout,
        standbys=standbys,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    try:
        _run(instance, as_json=as_json)
    except _Stopped:
        err.print("stopping")
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        instance.end()


def _run(instance: Instance, *, as_json: bool) -> None:
    began_s = time.monotonic()
    with err.status("starting Kafka"):
        instance.begin()
    with err.status("creating topics"):
        asyncio.run(instance.prepare())
    with err.status("starting workers"):
        instance.start_workers()
        if not asyncio.run(instance.await_serving(SERVING_SECONDS_MAX)):
            fail(
                "NOT_SERVING",
                f"not every shard opened, and nothing moved for {SERVING_SECONDS_MAX:.0f} s; everything was stopped, "
                f"{instance.data_dir / 'logs'} says why",
                EXIT_NO,
            )
    if as_json:
        print_json(instance.described())
    else:
        out.print(
            f"serving [bold]{instance.topology.shards}[/] shards on {instance.described()['bootstrap']} "
            f"after {time.monotonic() - began_s:.1f} s; next: `lockstep status`, `lockstep send`, `lockstep demo`\n"
            f"live page: {live_page_of(instance.described())}"
        )
    while True:
        instance.watch()
        time.sleep(_WATCH_SECONDS)


def _detach(data_dir: Path, *, as_json: bool) -> None:
    """Start this command again in the background and wait until it serves."""
    data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / "logs").mkdir(exist_ok=True)
    arguments = [one for one in sys.argv[1:] if one not in ("--detach", "--json")]
    with (data_dir / "logs" / "up.log").open("ab") as log:
        background = subprocess.Popen(
            [sys.executable, "-m", "streams", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    with err.status("starting"):
        while background.poll() is None:
            run = read_run(data_dir) if (data_dir / RUN_FILE).exists() else None
            if run is not None and run.get("serving") and run.get("pid") == background.pid:
                if as_json:
                    print_json(run)
                else:
                    out.print(
                        f"serving on {run['bootstrap']}; stop with `lockstep down --data-dir {data_dir}`\n"
                        f"live page: {live_page_of(run)}"
                    )
                return
            time.sleep(_WATCH_SECONDS)
    fail(
        "NOT_SERVING",
        f"it ended; the last lines of {data_dir}/logs/up.log say why:\n{_tail(data_dir)}",
        EXIT_USAGE,
    )


def _tail(data_dir: Path) -> str:
    return "\n".join((data_dir / "logs" / "up.log").read_text("utf-8", "replace").splitlines()[-5:])


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # a signal handler's signature
    raise _Stopped


@click.command(short_help="Stop what `up --detach` started.")
@data_dir_option
@telling
def down(data_dir: Path) -> None:
    r"""Stop the instance of a data folder: workers first, then Kafka. Data stays.

    \b
    Example:
      lockstep down --data-dir ./.lockstep
    """
    run = read_run(data_dir)
    if run is None:
        out.print("nothing runs here")
        return
    pid = int(run["pid"])
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        (data_dir / RUN_FILE).unlink(missing_ok=True)
        out.print("it had ended already")
        return
    deadline_s = time.monotonic() + _DOWN_SECONDS_MAX
    with err.status("stopping"):
        while time.monotonic() < deadline_s:
            if not (data_dir / RUN_FILE).exists():
                out.print("stopped")
                return
            time.sleep(_WATCH_SECONDS)
    fail("STILL_RUNNING", f"process {pid} did not stop within {_DOWN_SECONDS_MAX:.0f} s", EXIT_NO)
