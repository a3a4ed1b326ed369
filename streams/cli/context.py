"""Which cluster a command works on, and how its errors are told.

The cluster is, in this order: --bootstrap, LOCKSTEP_BOOTSTRAP, the running instance that `lockstep up`
described in run.json of the data folder (--data-dir, LOCKSTEP_DATA_DIR, ./.lockstep). Exit codes: 0 done, 1
the answer is no (verify found a fault, drain ran out of time, a request was not accepted), 2 usage or
environment. Tested in tests/cli/test_outside.py.
"""

from __future__ import annotations

import asyncio
import functools
import json
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from rich.console import Console

from streams.connection import Connection
from streams.errors import ConfigurationError, LockstepError
from streams.observe.peers import RUN_FILE
from streams.topology import Topology, load_topology

DATA_DIR = ".lockstep"
EXIT_NO = 1
EXIT_USAGE = 2

out = Console(highlight=False, soft_wrap=True)
"""Where answers go."""
err = Console(stderr=True, highlight=False)
"""Where progress and errors go, so that answers can be piped."""

Command = TypeVar("Command", bound=Callable[..., Any])
Result = TypeVar("Result")


class NotRunningError(ConfigurationError):
    """No cluster is named and no instance runs in the data folder."""

    code = "NOT_RUNNING"


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster a command works on. `run` is what run.json says, {} for a cluster that is not `up`'s."""

    connection: Connection
    data_dir: Path
    topology: Topology
    run: dict[str, Any] = field(default_factory=dict)

    def client_arguments(self) -> dict[str, Any]:
        """For aiokafka's clients."""
        return self.connection.client_arguments()


def find_cluster(bootstrap: str | None, data_dir: Path) -> Cluster:
    """Return the cluster; raises NotRunningError or another ConfigurationError, saying what to do."""
    topology = load_topology()
    named = Connection.from_environment(bootstrap=bootstrap) if bootstrap or _is_named() else None
    if (
        bootstrap and named is not None and named.bootstrap != bootstrap
    ):  # the option is nearer than the environment
        named = Connection.from_environment(_environment_with(bootstrap))
    if named is not None:
        return Cluster(named, data_dir, topology)
    run = read_run(data_dir)
    if run is None:
        raise NotRunningError(
            f"No instance runs in {data_dir} and no cluster is named: start one with `lockstep up`, "
            "or name one with --bootstrap or LOCKSTEP_BOOTSTRAP."
        )
    return Cluster(Connection.from_environment(bootstrap=run["bootstrap"]), data_dir, topology, run)


def read_run(data_dir: Path) -> dict[str, Any] | None:
    """Return what `up` wrote about the instance that runs in a data folder, or None."""
    try:
        run = json.loads((data_dir / RUN_FILE).read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{data_dir / RUN_FILE} cannot be read ({error}); run `lockstep down`, then `lockstep up`."
        ) from error
    if not isinstance(run, dict) or not run.get("bootstrap"):
        raise ConfigurationError(
            f"{data_dir / RUN_FILE} names no bootstrap; run `lockstep down`, then `lockstep up`."
        )
    return run


def data_dir_option(command: Command) -> Command:
    """Add --data-dir."""
    return click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="LOCKSTEP_DATA_DIR",
        default=DATA_DIR,
        show_default=True,
        help="Folder of the instance that `lockstep up` runs.",
    )(command)


def worker_options(command: Command) -> Command:
    """Add --session-timeout and --standbys: what a worker is told, and `up` tells all of its workers."""
    standbys = click.option(
        "--standbys",
        type=click.IntRange(min=0),
        default=1,
        show_default=True,
        help="Other workers that keep a warm copy of a shard; tell all workers of an app the same.",
    )
    timeout = click.option(
        "--session-timeout",
        type=float,
        default=10.0,
        show_default=True,
        help="Seconds until a dead worker is noticed.",
    )
    return timeout(standbys(command))


def cluster_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --bootstrap and --data-dir and hand the command a `cluster`; tell its LockstepErrors."""

    @functools.wraps(command)
    def found(*args: Any, bootstrap: str | None, data_dir: Path, **options: Any) -> Any:  # noqa: ANN401  # what click passes
        return command(*args, cluster=find_cluster(bootstrap, data_dir), **options)

    named = click.option(
        "--bootstrap",
        help="Kafka cluster, host:port[,host:port...] (LOCKSTEP_BOOTSTRAP). Default: the one of `up`.",
    )(telling(found))
    return data_dir_option(named)


def telling(command: Callable[..., Any]) -> Callable[..., Any]:
    """Print LockstepErrors as `error CODE: message` and end with exit code 2."""

    @functools.wraps(command)
    def told(*args: Any, **options: Any) -> Any:  # noqa: ANN401  # what click passes
        try:
            return command(*args, **options)
        except LockstepError as error:
            fail(error.code, str(error), EXIT_USAGE)
        except KeyboardInterrupt:
            sys.exit(130)

    return told


def fail(code: str, message: str, exit_code: int) -> NoReturn:
    """Print an error and end."""
    err.print(f"[bold red]error[/] [bold]{code}[/]: ", end="")
    err.print(message, markup=False, soft_wrap=True)
    sys.exit(exit_code)


def run_async(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a command's coroutine to its end."""
    return asyncio.run(work)


def print_json(value: object) -> None:
    """Print one JSON value on one line of standard output, without colours."""
    click.echo(json.dumps(value, ensure_ascii=False, default=_plain))


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value).__name__} is no JSON")


def _is_named() -> bool:
    import os

    return bool(os.environ.get("LOCKSTEP_BOOTSTRAP"))


def _environment_with(bootstrap: str) -> dict[str, str]:
    import os

    return {**os.environ, "LOCKSTEP_BOOTSTRAP": bootstrap}
