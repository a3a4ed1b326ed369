"""`lockstep send`: one request, and what became of it. Tested in tests/cli/test_kafka.py."""

from __future__ import annotations

import sys
from typing import Any

import click

from streams.cli.context import EXIT_NO, Cluster, cluster_options, out, print_json, run_async
from streams.client import (
    Answer,
    Request,
    Sender,
    change_members,
    delete,
    edit,
    mark_read,
    new_token,
    post,
    post_form,
)
from streams.client.plans import endpoint_name
from streams.ids import MESSAGE_ID_BYTES, Token
from streams.records import Branch

_COLOURS = {"ACCEPTED": "green", "DUPLICATE": "yellow"}


class MessageIdType(click.ParamType):
    """A message id in hexadecimal."""

    name = "message id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:  # noqa: ANN401  # click's signature
        """Return the 16 bytes."""
        try:
            found = bytes.fromhex(value)
        except ValueError:
            found = b""
        if len(found) != MESSAGE_ID_BYTES:
            self.fail(
                f"{value!r} is no message id: expected {2 * MESSAGE_ID_BYTES} hexadecimal digits", param, ctx
            )
        return found


class TokenType(click.ParamType):
    """A token, TIMESTAMP_MS:NONCE."""

    name = "token"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Token:  # noqa: ANN401  # click's signature
        """Return the token."""
        timestamp_ms, _, nonce = value.partition(":")
        try:
            return Token(int(timestamp_ms), int(nonce))
        except ValueError:
            self.fail(f"{value!r} is no token: expected TIMESTAMP_MS:NONCE", param, ctx)


class ArgumentType(click.ParamType):
    """NAME=VALUE."""

    name = "name=value"

    def convert(
        self,
        value: Any,  # noqa: ANN401  # click's signature
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[str, str]:
        """Return the pair."""
        name, found, text = value.partition("=")
        if not (name and found):
            self.fail(f"{value!r} is no argument: expected NAME=VALUE", param, ctx)
        return name, text


@click.command(short_help="Send one message and show what became of it.")
@click.argument("thread_id")
@click.argument("text", required=False)
@click.option("--from", "account_id", required=True, help="The sender's account.")
@click.option("--endpoint", "endpoint_id", default=endpoint_name(1), show_default=True, help="Its endpoint.")
@click.option("--to", "recipients", multiple=True, help="Creates the thread with these members; repeat it.")
@click.option("--form", "form_id", help="Send a form of the catalogue instead of TEXT.")
@click.option("--argument", "arguments", type=ArgumentType(), multiple=True, help="NAME=VALUE for --form.")
@click.option("--edit", "edited", type=MessageIdType(), help="Replace this message's body by TEXT.")
@click.option("--delete", "deleted", type=MessageIdType(), help="Remove this message.")
@click.option("--read", "read_up_to", type=MessageIdType(), help="Mark the thread read up to this message.")
@click.option("--add", multiple=True, help="Add this account to the thread; repeat it.")
@click.option("--remove", multiple=True, help="Remove this account from the thread; repeat it.")
@click.option(
    "--token", type=TokenType(), help="Use this token, TIMESTAMP_MS:NONCE: repeats an earlier request."
)
@click.option(
    "--timeout", type=float, default=30.0, show_default=True, help="Seconds to wait for the answer."
)
@click.option(
    "--refusal-wait",
    type=float,
    default=1.0,
    show_default=True,
    help="Seconds the thread may take to refuse.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@cluster_options
def send(cluster: Cluster, timeout: float, refusal_wait: float, as_json: bool, **options: Any) -> None:  # noqa: ANN401  # fields of the request
    r"""Send TEXT to the thread THREAD_ID and wait for the answer.

    Ends with 1 when it is not accepted. The printed token repeats the request safely.

    \b
    Example:
      lockstep send lunch "pizza?" --from ann --to bob --to cy
      lockstep send lunch --from ann --add dee
    """
    request = _request(**options)
    answer = run_async(_ask(cluster, request, timeout, refusal_wait))
    _print(request, answer, as_json=as_json)
    if not answer.is_accepted:
        sys.exit(EXIT_NO)


async def _ask(cluster: Cluster, request: Request, timeout_seconds: float, refusal_seconds: float) -> Answer:
    arguments = cluster.client_arguments()
    async with Sender(arguments, cluster.topology, retry_seconds=timeout_seconds) as sender:
        return await sender.ask(request, refusal_seconds=refusal_seconds)


def _request(
    *,
    thread_id: str,
    account_id: str,
    endpoint_id: str,
    recipients: tuple[str, ...],
    token: Token | None,
    **options: Any,  # noqa: ANN401  # what names the operation
) -> Request:
    operation = _operation(**options)
    return Request(
        account_id, endpoint_id, thread_id, operation, list(recipients) or None, token or new_token()
    )


def _operation(
    *,
    text: str | None,
    form_id: str | None,
    arguments: tuple[tuple[str, str], ...],
    edited: bytes | None,
    deleted: bytes | None,
    read_up_to: bytes | None,
    add: tuple[str, ...],
    remove: tuple[str, ...],
) -> Branch:
    chosen: list[Branch] = []
    if edited is not None:
        if text is None:
            raise click.UsageError("--edit needs the new TEXT.")
        chosen.append(edit(edited, text))
    elif text is not None:
        chosen.append(post(text))
    if form_id is not None:
        chosen.append(post_form(form_id, dict(arguments)))
    if deleted is not None:
        chosen.append(delete(deleted))
    if read_up_to is not None:
        chosen.append(mark_read(read_up_to))
    if add or remove:
        chosen.append(change_members(add, remove))
    if len(chosen) != 1:
        raise click.UsageError(
            "Name exactly one of TEXT, --form, --edit, --delete, --read, --add and --remove."
        )
    return chosen[0]


def _print(request: Request, answer: Answer, *, as_json: bool) -> None:
    token = f"{request.token.timestamp_ms}:{request.token.nonce}"
    message = None if answer.message_id is None else answer.message_id.hex()
    if as_json:
        print_json(
            {
                "status": answer.status.value,
                "code": answer.code,
                "message_id": message,
                "token": token,
                "server_at_ms": answer.server_at_ms,
            }
        )
        return
    colour = _COLOURS.get(answer.status.value, "red")
    code = f" {answer.code}" if answer.code else ""
    out.print(f"[bold {colour}]{answer.status.value}[/]{code}  message {message}  token {token}")
