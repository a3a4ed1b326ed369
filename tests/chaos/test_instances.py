"""One instance that is stuck costs one test, not all that follow."""

from __future__ import annotations

from typing import Any, Self

from tests.chaos.instances import Instances


class Instance:
    """Knows whether it is open."""

    is_open = False

    async def __aenter__(self) -> Self:
        self.is_open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self.is_open = False


async def test_tests_share_an_instance_until_one_fails() -> None:
    """The next one gets a fresh one, and what is no longer used is closed."""
    made: list[Any] = []

    def make() -> Any:
        made.append(Instance())
        return made[-1]

    instances = Instances(make)
    for expected in (0, 0):
        assert await instances.get() is made[expected]
    instances.is_spoilt = True
    for expected in (1, 1):
        assert await instances.get() is made[expected]
    assert [one.is_open for one in made] == [False, True]
    await instances.close()
    assert [one.is_open for one in made] == [False, False]
