"""`lockstep register`, `attach`, `detach`, `ack`, `missing`: what an endpoint asks for.

Tested in tests/cli/test_outside.py.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import click

from streams.cli.context import EXIT_NO, Cluster, cluster_options, fail, out, print_json, run_async
from streams.cli.decoding import summary, to_plain
from streams.client import CommandAnswer, EndpointCommands
from streams.ids import Position

_timeout = click.option(
    "--timeout", type=float, default=30.0, show_default=True, help="Seconds to wait for the answer."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
_account = click.argument("account_id", metavar="ACCOUNT")
_endpoint = click.argument("endpoint_id", metavar="ENDPOINT")

Ask = Callable[[EndpointCommands], Awaitable[CommandAnswer]]


@click.command(short_help="Register an endpoint and attach it.")
@_account
@_endpoint
@click.option("--locale", default="", help="Language tag, for example fr.")
@click.option("--route", default="", help="Delivery topic family (default: the first of topology.yaml).")
@click.option("--capability", "capabilities", multiple=True, help="What it understands; repeat it.")
@click.option("--media-width", type=int, default=0, help="Widest media in pixels; 0 is no limit.")
@click.option("--window", type=int, default=0, help="Updates sent but not acknowledged; 0 is unlimited.")
@click.option("--app-version", default="", help="For people who look into problems.")
@click.option("--attach/--offline", "is_attached", default=True, help="Attach it too, or leave it offline.")
@_timeout
@_json
@cluster_options
def register(
    *,
    cluster: Cluster,
    account_id: str,
    endpoint_id: str,
    media_width: int,
    is_attached: bool,
    timeout: float,
    as_json: bool,
    **parameters: Any,  # noqa: ANN401  # parameters of the endpoint
) -> None:
    r"""Make ENDPOINT of ACCOUNT known, or replace its parameters, and attach it.

    \b
    Example:
      lockstep register ann phone --locale fr --route mobile
    """
    parameters["media_width_max"] = media_width

    async def ask(commands: EndpointCommands) -> CommandAnswer:
        answer = await commands.register(account_id, endpoint_id, **parameters)
        if answer.is_ok and is_attached:
            return await commands.attach(account_id, endpoint_id)
        return answer

    _run(cluster, ask, timeout, as_json=as_json)


@click.command(short_help="Attach an endpoint: send from its position on.")
@_account
@_endpoint
@click.option("--epoch", type=int, default=1, show_default=True, help="Epoch of --seq.")
@click.option("--seq", type=int, help="What it has already (default: what it last acknowledged).")
@_timeout
@_json
@cluster_options
def attach(
    *,
    cluster: Cluster,
    account_id: str,
    endpoint_id: str,
    epoch: int,
    seq: int | None,
    timeout: float,
    as_json: bool,
) -> None:
    r"""Send ENDPOINT of ACCOUNT what it missed, then what comes.

    \b
    Example:
      lockstep attach ann phone
    """
    position = None if seq is None else Position(epoch, seq)
    _run(
        cluster, lambda commands: commands.attach(account_id, endpoint_id, position), timeout, as_json=as_json
    )


@click.command(short_help="Detach an endpoint: it is gone for now.")
@_account
@_endpoint
@_timeout
@_json
@cluster_options
def detach(cluster: Cluster, account_id: str, endpoint_id: str, timeout: float, as_json: bool) -> None:
    r"""Send nothing to ENDPOINT of ACCOUNT until it attaches again; nothing is lost.

    \b
    Example:
      lockstep detach ann phone
    """
    _run(cluster, lambda commands: commands.detach(account_id, endpoint_id), timeout, as_json=as_json)


@click.command(short_help="Acknowledge what an endpoint has kept.")
@_account
@_endpoint
@click.argument("seq", type=click.IntRange(min=0))
@click.option("--epoch", type=int, default=1, show_default=True, help="Epoch of SEQ.")
@_timeout
@_json
@cluster_options
def ack(
    *,
    cluster: Cluster,
    account_id: str,
    endpoint_id: str,
    seq: int,
    epoch: int,
    timeout: float,
    as_json: bool,
) -> None:
    r"""Say that ENDPOINT of ACCOUNT has kept everything up to SEQ.

    \b
    Example:
      lockstep ack ann phone 17
    """
    position = Position(epoch, seq)
    _run(cluster, lambda commands: commands.ack(account_id, endpoint_id, position), timeout, as_json=as_json)


@click.command(short_help="Ask for a range of updates again.")
@_account
@_endpoint
@click.argument("from_seq", type=click.IntRange(min=1))
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Most updates wanted."
)
@click.option("--epoch", type=int, default=1, show_default=True, help="Epoch of FROM_SEQ.")
@_timeout
@_json
@cluster_options
def missing(
    *,
    cluster: Cluster,
    account_id: str,
    endpoint_id: str,
    from_seq: int,
    limit: int,
    epoch: int,
    timeout: float,
    as_json: bool,
) -> None:
    r"""Show the updates of ENDPOINT of ACCOUNT from FROM_SEQ on, as the server sends them again.

    \b
    Example:
      lockstep missing ann phone 1 --limit 20
    """
    position = Position(epoch, from_seq)
    _run(
        cluster,
        lambda commands: commands.missing(account_id, endpoint_id, position, limit),
        timeout,
        as_json=as_json,
    )


def _run(cluster: Cluster, ask: Ask, timeout_seconds: float, *, as_json: bool) -> None:
    async def answered() -> CommandAnswer:
        arguments = cluster.client_arguments()
        async with EndpointCommands(arguments, cluster.topology, retry_seconds=timeout_seconds) as commands:
            return await ask(commands)

    answer = run_async(answered())
    if as_json:
        print_json(
            {
                "code": answer.code,
                "epoch": answer.epoch,
                "attached_from_seq": answer.attached_from_seq,
                "head": answer.head,
                "updates": to_plain(answer.updates),
            }
        )
        if not answer.is_ok:
            sys.exit(EXIT_NO)
        return
    if not answer.is_ok:
        fail(answer.code, f"the command was not done (inbox head: {answer.head}).", EXIT_NO)
    attached = f", attached from {answer.attached_from_seq}" if answer.attached_from_seq is not None else ""
    out.print(f"[bold green]{answer.code}[/]  epoch {answer.epoch}, head {answer.head}{attached}")
    for update in answer.updates:
        out.print(summary("EndpointUpdate", update))
