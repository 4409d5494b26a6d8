"""Two small charts of a what-if as SVG that stands in a page: need against capacity, and the weeks ahead.

In: `Answers`. Out: SVG text without script, font or file beside it. Colours are the page's classes, so that
light and dark are its business.
"""

import math
from collections.abc import Sequence
from html import escape

from plimsoll_cli.amounts import short
from plimsoll_cli.plan.answers import Answers, Row
from plimsoll_nodeagent.show.scale import byte_ticks

WIDTH, HEIGHT = 720, 260
LEFT, TOP, RIGHT, BOTTOM = 76, 16, 20, 40
ABOVE = 1.08  # room above the highest value
TICKS = 4  # about so many marks upward
Points = Sequence[tuple[float, float]]
Marks = Sequence[tuple[float, str]]


def by_hour(answers: Answers) -> str:
    """What all nodes need in each hour of the day against what they have."""
    rows = sorted(answers.hours, key=lambda each: _number(each, "hour"))
    series = {
        name: [(_number(each, "hour"), _number(each, f"{name}_bytes")) for each in rows]
        for name in ("mean", "need", "capacity")
    }
    plane = _Plane((0.0, 23.0), max(value for line in series.values() for _, value in line))
    hours = [(float(each), f"{each:02d}") for each in range(0, 24, 3)]
    marks = [(each, short(round(each)) if each else "0") for each in byte_ticks(plane.top, TICKS)]
    parts = [
        *plane.frame(hours, marks, f"hour of the day ({answers.fleet.source.clock})"),
        *(plane.line(series[name], name) for name in ("mean", "need", "capacity")),
    ]
    return _svg("Need against capacity by hour of the day", parts)


def by_week(answers: Answers) -> str:
    """Nodes needed in the weeks ahead with their interval, from today on; "" where they are not known."""
    if not answers.weeks:
        return ""
    now = float(answers.answer.packed.nodes)
    middle = [(0.0, now), *((_number(each, "week"), _number(each, "nodes")) for each in answers.weeks)]
    low = [(0.0, now), *((_number(each, "week"), _number(each, "nodes_low")) for each in answers.weeks)]
    high = [(0.0, now), *((_number(each, "week"), _number(each, "nodes_high")) for each in answers.weeks)]
    given = answers.question.nodes
    last = middle[-1][0]
    plane = _Plane((0.0, last), max(*(value for _, value in high), float(given or 0)))
    step = max(round(last / 12), 1)
    weeks = [(float(each), str(each) if each else "today") for each in range(0, int(last) + 1, step)]
    every = math.ceil(plane.top / TICKS)
    marks = [(float(each), str(each)) for each in range(0, int(plane.top) + 1, every)]
    parts = [
        *plane.frame(weeks, marks, "weeks from now"),
        plane.band(low, high),
        plane.line(middle, "need", dots=True),
    ]
    if given is not None:
        parts.append(plane.line([(0.0, float(given)), (last, float(given))], "capacity"))
    return _svg("Nodes needed in the weeks ahead", parts)


class _Plane:
    """Values from 0 up, over x."""

    def __init__(self, across: tuple[float, float], most: float) -> None:
        self._first, self._last = across
        self.top = max(most, 1.0) * ABOVE

    def frame(self, across: Marks, up: Marks, name: str) -> list[str]:
        """Grid, marks, and the name of the x axis."""
        out = []
        for value, text in up:
            y = self._y(value)
            out.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
            out.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>')
        for at, text in across:
            x = self._x(at)
            out.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{text}</text>')
        middle = (LEFT + WIDTH - RIGHT) / 2
        out.append(f'<text x="{middle:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{name}</text>')
        return out

    def line(self, points: Points, name: str, *, dots: bool = False) -> str:
        """A line of the class of that name."""
        drawn = f'<polyline class="{name}" points="{self._path(points)}"/>'
        if dots:
            drawn += "".join(
                f'<circle class="{name}" cx="{self._x(x):.1f}" cy="{self._y(y):.1f}" r="3"/>'
                for x, y in points
            )
        return drawn

    def band(self, low: Points, high: Points) -> str:
        """The area between two lines."""
        return f'<polygon class="band" points="{self._path([*high, *reversed(low)])}"/>'

    def _path(self, points: Points) -> str:
        return " ".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in points)

    def _x(self, at: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (at - self._first) / max(self._last - self._first, 1e-9)

    def _y(self, value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - value / self.top)


def _svg(title: str, parts: Sequence[str]) -> str:
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><title>{escape(title)}</title>'
    return "\n".join([head, *parts, "</svg>"])


def _number(row: Row, name: str) -> float:
    value = row[name]
    assert isinstance(value, int | float)
    return float(value)
