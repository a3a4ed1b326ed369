"""The client's side of Lockstep, for Python programs.

Sending, with retries that cannot double a message, from any coroutine:

    topology, connection = load_topology(), Connection.from_environment()
    async with Sender(connection.client_arguments(), topology) as sender:
        answer = await sender.ask(Request("ann", "phone", "lunch", post("hello"), recipients=["bob"]))
        assert answer.is_accepted

`Request` makes its token once; keep the request to retry it later. `EndpointCommands` registers and attaches
endpoints, acknowledges, and asks for missing updates. `Publisher` and `Outlet` write many requests fast,
without answers. Everything here only talks to topics: any language can do the same with the schemas in
schemas/.
"""

from streams.client.commands import CommandAnswer, EndpointCommands
from streams.client.outlet import Outlet
from streams.client.publisher import Publisher
from streams.client.requests import (
    Request,
    change_members,
    delete,
    edit,
    mark_read,
    new_token,
    post,
    post_form,
)
from streams.client.sender import Answer, NoAnswer, Sender

__all__ = [
    "Answer",
    "CommandAnswer",
    "EndpointCommands",
    "NoAnswer",
    "Outlet",
    "Publisher",
    "Request",
    "Sender",
    "change_members",
    "delete",
    "edit",
    "mark_read",
    "new_token",
    "post",
    "post_form",
]
