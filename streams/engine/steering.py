"""How the host steers the consumer that feeds it: a port, implemented in engine/app.py."""

from __future__ import annotations

from typing import Protocol


class Fetching(Protocol):
    """The consumer of one worker."""

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Fetch from `offset` on, and begin if it was held."""
        ...

    def hold(self, topic: str, partition: int) -> None:
        """Fetch nothing of this partition."""
        ...
