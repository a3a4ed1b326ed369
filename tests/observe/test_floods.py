"""What a library says again and again is passed now and then, with a number (streams/observe/floods.py)."""

from __future__ import annotations

import io
import logging

from streams.observe.floods import KINDS_MAX, WINDOW_S, CalmHandler, Floodgate

AWAY = "Unable connect to node with id %s: %s"


class Scene:
    """A handler whose clock a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.gate = Floodgate(lambda: self.now_s)
        self._text = io.StringIO()
        self.handler = CalmHandler(self._text, self.gate)
        self.handler.setFormatter(
            logging.Formatter("%(message)s left out: %(suppressed)s", defaults={"suppressed": 0})
        )

    def say(
        self, message: str, *arguments: object, name: str = "aiokafka", level: int = logging.ERROR
    ) -> None:
        self.handler.handle(logging.LogRecord(name, level, "", 0, message, arguments, None))

    @property
    def lines(self) -> list[str]:
        return self._text.getvalue().splitlines()


def test_the_first_goes_through_at_once_and_the_next_with_the_number_of_what_was_left_out() -> None:
    """One message, whatever its arguments."""
    scene = Scene()
    for node in range(5):
        scene.say(AWAY, node, "refused")
    scene.now_s = WINDOW_S
    scene.say(AWAY, 9, "refused")
    assert scene.lines == [
        "Unable connect to node with id 0: refused left out: 0",
        "Unable connect to node with id 9: refused left out: 4",
    ]


def test_another_message_another_logger_or_another_level_goes_through() -> None:
    """Only what says the same is left out."""
    scene = Scene()
    scene.say(AWAY, 1, "a")
    scene.say("Topic %s not found", "x")
    scene.say(AWAY, 1, "a", name="faust")
    scene.say(AWAY, 1, "a", level=logging.WARNING)
    assert len(scene.lines) == 4


def test_the_end_of_a_flood_is_told_before_whatever_comes_next() -> None:
    """The last of it is written too, so that every record is either there or counted."""
    scene = Scene()
    for node in range(4):
        scene.say(AWAY, node, "refused")
    scene.now_s = WINDOW_S + 1
    scene.say("connected")
    assert scene.lines[1:] == [
        "Unable connect to node with id 3: refused left out: 2",
        "connected left out: 0",
    ]


def test_a_flood_that_goes_on_is_not_over() -> None:
    """Another message in between brings no summary; the next of the flood has the number."""
    scene = Scene()
    scene.say(AWAY, 0, "refused")
    scene.now_s = WINDOW_S - 1
    scene.say(AWAY, 1, "refused")
    scene.now_s = WINDOW_S + 1
    scene.say("another")
    scene.say(AWAY, 2, "refused")
    assert scene.lines[1:] == ["another left out: 0", "Unable connect to node with id 2: refused left out: 1"]


def test_what_is_left_at_the_end_of_the_process_is_told() -> None:
    """Also when the window is not over."""
    scene = Scene()
    scene.say(AWAY, 1, "a")
    scene.say(AWAY, 2, "b")
    scene.handler.close()
    assert scene.lines[1:] == ["Unable connect to node with id 2: b left out: 0"]


def test_texts_that_are_new_each_time_do_not_fill_the_memory() -> None:
    """The oldest is forgotten."""
    scene = Scene()
    for number in range(2 * KINDS_MAX):
        scene.say(f"partition {number} is behind")
    assert len(scene.gate._floods) <= KINDS_MAX
    assert len(scene.lines) == 2 * KINDS_MAX
