"""`lockstep drain`: wait until everything is processed. Tested in tests/cli/test_kafka.py."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from streams.cli.context import EXIT_NO, Cluster, cluster_options, fail, out, print_json, run_async
from streams.cli.feed import progress_bar
from streams.cli.stores import open_store, store_pointers
from streams.client.feeding import OnProgress
from streams.verify.drain import DrainCheck, Lag, total, wait_until_drained

_NAMED_MAX = 10


@click.command(short_help="Wait until everything is processed.")
@click.option("--timeout", type=click.FloatRange(min=0), default=300.0, show_default=True, help="Seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@cluster_options
def drain(cluster: Cluster, timeout: float, as_json: bool) -> None:
    r"""Return when no input of the pipeline, and of the store where there is one, has a record left.

    Ends with 1 and names what lags when the time is up.

    \b
    Example:
      lockstep drain --timeout 60 && lockstep verify
    """
    begun = time.monotonic()
    with progress_bar(is_quiet=as_json) as show:
        lags = run_async(_drain(cluster, timeout, show))
    seconds = round(time.monotonic() - begun, 3)
    if as_json:
        print_json({"drained": not lags, "seconds": seconds, "lags": [lag._asdict() for lag in lags]})
    if not lags:
        if not as_json:
            out.print(f"drained after {seconds:g} s")
        return
    named = "; ".join(
        f"{lag.topic} shard {lag.shard} ({lag.reader}) at {lag.next_offset} of {lag.end}"
        for lag in lags[:_NAMED_MAX]
    )
    more = f" and {len(lags) - _NAMED_MAX} more" if len(lags) > _NAMED_MAX else ""
    fail(
        "NOT_DRAINED",
        f"After {timeout:g} s work is left: {named}{more}. See `lockstep status`; "
        "wait longer with --timeout.",
        EXIT_NO,
    )


async def _drain(cluster: Cluster, timeout_seconds: float, show: OnProgress) -> list[Lag]:
    most = 0

    def on_lag(lags: Sequence[Lag]) -> None:
        nonlocal most
        left = total(lags)
        most = max(most, left)
        show("records left", most - left, most)

    with open_store(cluster) as store:
        pointers = store_pointers(cluster, store)
        async with DrainCheck(cluster.client_arguments(), cluster.topology, pointers) as check:
            return await wait_until_drained(check, timeout_seconds=timeout_seconds, on_lag=on_lag)
