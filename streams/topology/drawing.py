"""Draws the flow of records through stages and topics as one SVG picture.

Pure and deterministic: the same topology gives the same bytes, which is how docs/topology.svg is kept true.
Sources stand left, every step one column further right; an arrow that leads back is dashed. What every stage
writes besides (the shards' own state, dead letters) stands in the last line. Tested in
tests/topology/test_drawing.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from streams.topology.model import Topology

_COLUMN_WIDTH = 200
_ROW_HEIGHT = 64
_BOX_WIDTH = 152
_BOX_HEIGHT = 40
_MARGIN = 24
_TITLE_HEIGHT = 40
_BOW = 44

_FILLS = {
    "stage": "#1f3a5f",
    "ingest": "#cfe8d5",
    "answers": "#f3e3b3",
    "internal": "#e4e4ea",
    "queue": "#d5dff5",
    "delivery": "#f8d7c4",
    "state": "#eee6f5",
    "dead_letters": "#f2c6cb",
}


_HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"
     font-family="sans-serif" font-size="13">
  <title>How records flow through Lockstep</title>
  <defs>
    <marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">
      <path d="M0,0 L8,4 L0,8 z" fill="#555"/>
    </marker>
  </defs>
  <rect width="{width}" height="{height}" fill="#ffffff"/>"""


class Node(NamedTuple):
    """A stage or a topic; both may bear the same name."""

    kind: str
    name: str


class Place(NamedTuple):
    """Where a node stands, in columns and rows from 0."""

    column: int
    row: int


Arrow = tuple[Node, Node]


def draw(topology: Topology) -> str:
    """Return the SVG text of a topology's data flow."""
    arrows = _arrows(topology)
    layout = _Layout(topology, arrows)
    topics = [Node(topic.role, name) for name, topic in topology.topics.items()]
    aside = [node for node in topics if node not in layout.places]
    aside_row = max(place.row for place in layout.places.values()) + 2
    places = layout.places | {node: Place(column, aside_row) for column, node in enumerate(aside)}
    width = _x(max(place.column for place in places.values())) + _BOX_WIDTH + _MARGIN
    height = _y(aside_row) + _BOX_HEIGHT + _MARGIN
    title = f"Lockstep: {topology.shards} shards; dark boxes are stages, light ones topics"
    lines = [
        _HEAD.format(width=width, height=height),
        *_text(_MARGIN, _MARGIN + 12, title),
        *(line for arrow in arrows for line in _arrow(arrow, places, is_back=arrow in layout.back)),
        *_text(_MARGIN, _y(aside_row) - 12, "Besides, every stage writes in the same transaction:"),
        *(line for node, place in places.items() for line in _box(node, place)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _arrows(topology: Topology) -> list[Arrow]:
    def topic(name: str) -> Node:
        return Node(topology.topics[name].role, name)

    found: list[Arrow] = []
    for name, stage in topology.stages.items():
        here = Node("stage", name)
        found += [(topic(read), here) for read in stage.reads]
        if stage.after is not None:
            found.append((Node("stage", stage.after), here))
        found += [(here, topic(written)) for written in topology.outputs_of(name)]
    return found


class _Layout:
    """Where each node stands, and which arrows lead back."""

    def __init__(self, topology: Topology, arrows: list[Arrow]) -> None:
        self.places: dict[Node, Place] = {}
        self.back: set[Arrow] = set()
        self._following: dict[Node, list[Node]] = defaultdict(list)
        self._columns: dict[Node, int] = {}
        self._taken: dict[int, int] = defaultdict(int)
        for source, target in arrows:
            self._following[source].append(target)
        targets = {target for _, target in arrows}
        topics = [Node(topic.role, name) for name, topic in topology.topics.items()]
        sources = [node for node in topics if node in self._following and node not in targets]
        sources += [node for node, _ in arrows]  # for a circle that no source leads into
        for source in sources:
            if source not in self.places:
                self._set_column(source, 0, ())
                self._set_row(source, max(self._taken.values(), default=0))

    def _set_column(self, node: Node, column: int, way: tuple[Node, ...]) -> None:
        """Give a node the longest way from a source; an arrow to a node on the way here leads back."""
        if self._columns.get(node, -1) >= column:
            return
        self._columns[node] = column
        for target in self._following[node]:
            if target in (*way, node):
                self.back.add((node, target))
            else:
                self._set_column(target, column + 1, (*way, node))

    def _set_row(self, node: Node, row_min: int) -> None:
        """Give a node the first free row of its column that is not above the node it follows."""
        if node in self.places:
            return
        column = self._columns[node]
        row = max(row_min, self._taken[column])
        self._taken[column] = row + 1
        self.places[node] = Place(column, row)
        for target in self._following[node]:
            self._set_row(target, row)


def _x(column: int) -> int:
    return _MARGIN + column * _COLUMN_WIDTH


def _y(row: int) -> int:
    return _MARGIN + _TITLE_HEIGHT + row * _ROW_HEIGHT


def _text(x: int, y: int, text: str) -> Iterator[str]:
    yield f'  <text x="{x}" y="{y}" fill="#333">{escape(text)}</text>'


def _box(node: Node, place: Place) -> Iterator[str]:
    x, y = _x(place.column), _y(place.row)
    radius, colour = (4, "#ffffff") if node.kind == "stage" else (_BOX_HEIGHT // 2, "#222222")
    yield (
        f'  <rect x="{x}" y="{y}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="{radius}" '
        f'fill="{_FILLS[node.kind]}" stroke="#8a8a94"/>'
    )
    yield (
        f'  <text x="{x + _BOX_WIDTH // 2}" y="{y + _BOX_HEIGHT // 2 + 5}" text-anchor="middle" '
        f'fill="{colour}">{escape(node.name)}</text>'
    )


def _arrow(arrow: Arrow, places: dict[Node, Place], *, is_back: bool) -> Iterator[str]:
    source, target = (places[node] for node in arrow)
    if is_back:
        x1, y1 = _x(source.column) + _BOX_WIDTH // 2, _y(source.row) + _BOX_HEIGHT
        x2, y2 = _x(target.column) + _BOX_WIDTH // 2, _y(target.row) + _BOX_HEIGHT
        deep = max(y1, y2) + _BOW
        path, dash = f"M{x1},{y1} C{x1},{deep} {x2},{deep} {x2},{y2}", ' stroke-dasharray="5 4"'
    else:
        x1, y1 = _x(source.column) + _BOX_WIDTH, _y(source.row) + _BOX_HEIGHT // 2
        x2, y2 = _x(target.column), _y(target.row) + _BOX_HEIGHT // 2
        middle = x2 - (_COLUMN_WIDTH - _BOX_WIDTH) // 2
        path, dash = f"M{x1},{y1} L{middle - 20},{y1} C{middle},{y1} {middle},{y2} {x2},{y2}", ""
    yield f'  <path d="{path}" fill="none" stroke="#555"{dash} marker-end="url(#tip)"/>'
