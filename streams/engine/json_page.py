"""A web page of a worker that answers a question in JSON, for parts that know nothing of Faust.

Read-only: GET alone. Tested in tests/e2e.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import faust
from faust.web import Request, Response, View

Answering = Callable[[str, Mapping[str, str]], Awaitable[tuple[int, dict[str, Any]]]]
"""A name, decoded, and what stands behind the `?` -> HTTP status and JSON."""


def add_json_page(app: faust.App, path: str, answer: Answering) -> None:
    """Add GET `path`/NAME to a worker."""

    @app.page(f"{path}/{{name}}")
    class JsonPage(View):
        """GET the answer."""

        async def get(self, request: Request, name: str) -> Response:
            status, content = await answer(name, request.query)
            return self.json(content, status=status)

    del JsonPage  # registered by the decorator
