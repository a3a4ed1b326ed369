"""The instance that the tests of chaos share, until one of them fails: then the next begins with a fresh one.

What an early fault left behind is to be found by the last judgement, so one instance lives long. But one that is stuck
would cost every test after it the whole patience of the harness, and tell nothing new.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.chaos.harness import Harness


class Instances:
    """Makes instances as they are needed, one at a time."""

    def __init__(self, make: Callable[[], Harness]) -> None:
        self._make = make
        self._present: Harness | None = None
        self.is_spoilt = False
        """Whether a test failed since `get`."""

    async def get(self) -> Harness:
        """Return the present instance, or a fresh one that serves."""
        if self.is_spoilt:
            await self.close()
        if self._present is None:
            self._present = await self._make().__aenter__()
        return self._present

    async def close(self) -> None:
        """End the present instance."""
        present, self._present, self.is_spoilt = self._present, None, False
        if present is not None:
            await present.__aexit__(None, None, None)
