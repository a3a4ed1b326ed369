"""Named places at which a test can kill the process, to prove that what is left behind is repaired.

Off by default: `point` is then an empty function. `LOCKSTEP_FAULT=name:count` in the environment of a process
that calls `arm_from_environment` (every worker does, first thing) makes it SIGKILL itself at the count-th
passing of that point (":count" may be left out: the first). Nothing is flushed, closed or told.

Call it as `faults.point("unit.after_send")` on the module: arming rebinds the module's name, so a copy that
`from streams.faults import point` makes stays off.
Tested in tests/test_faults.py.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Final

from streams.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VARIABLE: Final = "LOCKSTEP_FAULT"

POINTS: Final = (
    "unit.before_begin",
    "unit.after_begin",
    "unit.after_send",
    "unit.before_commit",
    "unit.after_commit",
    "unit.after_local_batch",
    "opening.after_restore",
    "opening.after_fence",
    "opening.before_claim_commit",
    "opening.after_claim_commit",
    "split_store.before_metadata",
    "split_store.after_metadata",
    "split_store.before_body",
    "split_store.after_body",
)
"""Every place, in the order in which a record passes them; a name that is not here is refused when arming."""


def _unarmed(name: str, /) -> None:
    """Nothing."""


point: Callable[[str], None] = _unarmed
"""Pass a named place. Returns, unless the process is armed for it and this passing is the one."""


def arm_from_environment(environment: Mapping[str, str] | None = None) -> None:
    """Arm the place that LOCKSTEP_FAULT names, or none; raises ConfigurationError when it is wrong."""
    arm((os.environ if environment is None else environment).get(VARIABLE, ""))


def arm(specification: str) -> None:
    """Arm `name:count` (count from 1); an empty specification switches every place off."""
    global point  # noqa: PLW0603  # rebinding is what makes an unarmed place free
    if not specification:
        point = _unarmed
        return
    name, separator, count_text = specification.partition(":")
    if name not in POINTS:
        raise ConfigurationError(f"{VARIABLE} names {name!r}; expected one of: {', '.join(POINTS)}")
    if separator and (not count_text.isdecimal() or int(count_text) < 1):
        raise ConfigurationError(
            f"{VARIABLE} counts {count_text!r}; expected a whole number from 1, as in {name}:3"
        )
    point = _killer(name, int(count_text) if separator else 1)


def _killer(armed_name: str, count: int) -> Callable[[str], None]:
    """A `point` that kills this process at the count-th passing of one place."""
    passings_left = count

    def passed(name: str, /) -> None:
        nonlocal passings_left
        if name != armed_name:
            return
        passings_left -= 1
        if passings_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return passed
