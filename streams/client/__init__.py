"""The client's side of Lockstep, for Python programs.

>>> from streams.client import Request, post
>>> request = Request("ann", "phone", "lunch", post("hello"), recipients=["bob"])

`Request` is what a sender asks for, with its token made once; `Publisher` and `Outlet` write many of them
fast. Everything here only talks to topics: any language can do the same with the schemas in schemas/.
"""

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

__all__ = [
    "Outlet",
    "Publisher",
    "Request",
    "change_members",
    "delete",
    "edit",
    "mark_read",
    "new_token",
    "post",
    "post_form",
]
