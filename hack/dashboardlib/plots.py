"""How each kind of panel is drawn into its frame. It knows answers and colours, neither Prometheus nor the page."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dashboardlib.answers import Answer, Line, Table
from dashboardlib.model import Kind, Panel, Text
from dashboardlib.prometheus import Point, Window
from dashboardlib.svg import Drawing, cut, length
from dashboardlib.theme import Theme, color, nth
from dashboardlib.units import ticks, written

LEGEND_LINE = 15
MOST_LEGEND_LINES = 3
ROW = 19
WIDEST = 18
"""Letters that a column asks for at most."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Where to draw, with what."""

    drawing: Drawing
    theme: Theme
    x: float
    y: float
    w: float
    h: float


def draw(frame: Frame, panel: Panel, answer: Answer, window: Window, marks: Sequence[tuple[float, str]]) -> None:
    """The inside of a panel."""
    if isinstance(answer, Table):
        _table(frame, panel, answer)
    elif panel.kind is Kind.STAT:
        _stat(frame, panel, answer)
    elif not answer:
        _nothing(frame, "no data")
    elif panel.kind is Kind.STATES:
        _states(frame, panel, answer, window)
    else:
        _series(frame, panel, answer, window, marks)


def _nothing(frame: Frame, words: str) -> None:
    frame.drawing.words(frame.x + frame.w / 2, frame.y + frame.h / 2 + 4, words, frame.theme.quiet, anchor="middle")


def _shade(panel: Panel, line: Line, index: int) -> str:
    return color(panel.colors[line.name]) if line.name in panel.colors else nth(index)


# One number


def _stat(frame: Frame, panel: Panel, lines: Sequence[Line]) -> None:
    middle, base = frame.x + frame.w / 2, frame.y + frame.h / 2 + 10
    if not lines:
        frame.drawing.words(middle, base - 2, panel.empty, frame.theme.quiet, size=18, anchor="middle")
        return
    line = lines[0]
    shade = color(panel.colors[line.name]) if line.name in panel.colors else color(_step(panel, line.last))
    number = written(line.last, panel.unit, panel.decimals)
    if panel.text is Text.BOTH:
        frame.drawing.words(middle, base - 16, cut(line.name, frame.w, 13), shade, size=13, anchor="middle")
        base += 10
    shown = line.name if panel.text is Text.NAME else number
    frame.drawing.words(middle, base, shown, shade, size=27 if len(shown) < 11 else 22, anchor="middle", bold=True)


def _step(panel: Panel, value: float) -> str:
    return next((name for bound, name in reversed(panel.steps) if value >= bound), panel.good)


# Rows and columns


def _table(frame: Frame, panel: Panel, table: Table) -> None:
    if not table.rows:
        _nothing(frame, "no data")
        return
    names = [query.legend for query in panel.queries if query.legend]
    heads = [*panel.columns, *names]
    needs = [
        min(max(len(head), *(len(t) for t in _column(panel, table, i))), WIDEST) + 2 for i, head in enumerate(heads)
    ]
    at, spans = frame.x, [frame.w * need / sum(needs) for need in needs]
    room = int((frame.h - ROW) / ROW)
    for i, (head, span) in enumerate(zip(heads, spans, strict=True)):
        frame.drawing.words(at + 4, frame.y + 12, cut(head, span), frame.theme.quiet, bold=True)
        for row, text in enumerate(_column(panel, table, i)[:room]):
            number = i - len(panel.columns)
            steps = panel.steps and number >= 0 and _step(panel, table.rows[row][1][number]) != panel.good
            shade = color(_step(panel, table.rows[row][1][number])) if steps else frame.theme.text
            frame.drawing.words(at + 4, frame.y + 12 + ROW * (row + 1), cut(text, span - 6), shade)
        at += span
    for row in range(min(len(table.rows), room)):
        y = frame.y + 17 + ROW * row
        frame.drawing.line([(frame.x, y), (frame.x + frame.w, y)], frame.theme.grid, width=1)


def _column(panel: Panel, table: Table, index: int) -> list[str]:
    number = index - len(panel.columns)
    if number < 0:
        return [texts[index] for texts, _ in table.rows]
    return [written(values[number], panel.unit, panel.decimals) for _, values in table.rows]


# Over time


def _across(frame: Frame, left: float, window: Window) -> Callable[[float], float]:
    return lambda at: left + (at - window.start) / (window.end - window.start) * (frame.x + frame.w - left)


def _clock(frame: Frame, left: float, x: Callable[[float], float], bottom: float, window: Window) -> None:
    span = window.end - window.start
    step = next(s for s in (15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400) if span / s <= frame.w / 64)
    at = math.ceil(window.start / step) * step
    while at <= window.end:
        told = time.strftime("%H:%M:%S" if step < 60 else "%H:%M", time.gmtime(at))
        if left + 14 < x(at) < frame.x + frame.w - 14:
            frame.drawing.words(x(at), bottom + 13, told, frame.theme.quiet, size=10, anchor="middle")
        at += step


def _states(frame: Frame, panel: Panel, lines: Sequence[Line], window: Window) -> None:
    left, bottom = frame.x + max(length(line.name) for line in lines) + 10, frame.y + frame.h - 18
    x, tall = _across(frame, left, window), (bottom - frame.y) / len(lines)
    for i, line in enumerate(lines):
        y = frame.y + i * tall
        frame.drawing.words(left - 6, y + tall / 2 + 4, line.name, frame.theme.text, anchor="end")
        frame.drawing.box(left, y + tall * 0.12, frame.x + frame.w - left, tall * 0.76, frame.theme.page)
        for part in _parts(line.points, window.step):
            end = min(part[-1][0] + window.step, window.end)
            shade = _shade(panel, line, i)
            frame.drawing.box(x(part[0][0]), y + tall * 0.12, x(end) - x(part[0][0]), tall * 0.76, shade)
    _clock(frame, left, x, bottom, window)


def _parts(points: Sequence[Point], step: float) -> Iterator[list[Point]]:
    """Runs of points without a gap."""
    part: list[Point] = []
    for point in points:
        if part and point[0] - part[-1][0] > 1.5 * step:
            yield part
            part = []
        part.append(point)
    if part:
        yield part


def _series(
    frame: Frame, panel: Panel, lines: Sequence[Line], window: Window, marks: Sequence[tuple[float, str]]
) -> None:
    rows = _legend_rows(frame, panel, lines)
    bottom = frame.y + frame.h - 18 - LEGEND_LINE * len(rows)
    layers = _stack(lines) if panel.stacked else [(line, {}) for line in lines]
    top = max((line.most for line, _ in layers), default=0.0)
    marked = [bound for bound, _ in panel.steps if top and bound <= 1.5 * top]
    scale = ticks(max([top, *marked]), panel.unit)
    labels = [written(tick, panel.unit) for tick in scale]
    left = frame.x + max(map(length, labels)) + 8
    x = _across(frame, left, window)

    def y(value: float) -> float:
        return bottom - value / scale[-1] * (bottom - frame.y - 4)

    for tick, label in zip(scale, labels, strict=True):
        frame.drawing.line([(left, y(tick)), (frame.x + frame.w, y(tick))], frame.theme.grid, width=1)
        frame.drawing.words(left - 6, y(tick) + 4, label, frame.theme.quiet, size=10, anchor="end")
    _clock(frame, left, x, bottom, window)
    for at, name in marks:
        frame.drawing.line([(x(at), frame.y), (x(at), bottom)], color(name), width=1, dashed=True)
    for i, (line, below) in reversed(list(enumerate(layers))):
        shade = _shade(panel, line, i)
        if panel.bars:
            _bars(frame, line, below, shade, x, y, window)
        else:
            _curve(frame, line, below if panel.stacked else None, shade, x, y, window)
    for bound, name in panel.steps:
        if bound <= scale[-1]:
            frame.drawing.line([(left, y(bound)), (frame.x + frame.w, y(bound))], color(name), width=1, dashed=True)
    _legend(frame, panel, lines, rows, bottom + 20)


def _stack(lines: Sequence[Line]) -> list[tuple[Line, dict[float, float]]]:
    """Each line on top of those before it, and what it stands on."""
    height: dict[float, float] = {}
    out = []
    for line in lines:
        below = {at: height.get(at, 0.0) for at, _ in line.points}
        raised = tuple((at, value + below[at]) for at, value in line.points)
        height |= dict(raised)
        out.append((Line(line.name, raised), below))
    return out


def _bars(
    frame: Frame, line: Line, below: dict[float, float], shade: str,
    x: Callable[[float], float], y: Callable[[float], float], window: Window,
) -> None:  # fmt: skip
    wide = max((x(window.start + window.step) - x(window.start)) * 0.8, 1.5)
    for at, value in line.points:
        base = y(below.get(at, 0.0))
        if base - y(value) > 0:
            frame.drawing.box(x(at) - wide / 2, y(value), wide, base - y(value), shade)


def _curve(
    frame: Frame, line: Line, below: dict[float, float] | None, shade: str,
    x: Callable[[float], float], y: Callable[[float], float], window: Window,
) -> None:  # fmt: skip
    for part in _parts(line.points, window.step):
        upper = [(x(at), y(value)) for at, value in part]
        if len(upper) == 1:
            upper.append((upper[0][0] + 2, upper[0][1]))
        elif below is not None:
            lower = [(x(at), y(below[at])) for at, _ in reversed(part)]
            frame.drawing.area([*upper, *lower], shade, frame.theme.strong)
        frame.drawing.line(_thinned(upper), shade)


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Without the points in the middle of level stretches: they would be most of the file."""
    middle = [
        b for (a, b), (_, c) in zip(pairwise(points), pairwise(points[1:]), strict=False) if not a[1] == b[1] == c[1]
    ]
    return [points[0], *middle, points[-1]]


def _entry(panel: Panel, line: Line) -> str:
    return f"{line.name}  {written(line.last, panel.unit, panel.decimals)}"


def _legend_rows(frame: Frame, panel: Panel, lines: Sequence[Line]) -> list[list[int]]:
    """Which lines stand in which row of the legend."""
    rows: list[list[int]] = [[]]
    used = 0.0
    for i, line in enumerate(lines):
        need = length(_entry(panel, line), 10.5) + 24
        if rows[-1] and used + need > frame.w:
            rows.append([])
            used = 0
        rows[-1].append(i)
        used += need
    return rows[:MOST_LEGEND_LINES]


def _legend(frame: Frame, panel: Panel, lines: Sequence[Line], rows: list[list[int]], top: float) -> None:
    for row, entries in enumerate(rows):
        x, y = frame.x, top + LEGEND_LINE * (row + 1)
        for i in entries:
            frame.drawing.box(x, y - 5, 12, 3, _shade(panel, lines[i], i), round_=1)
            text = cut(_entry(panel, lines[i]), frame.w - 18, 10.5)
            frame.drawing.words(x + 16, y, text, frame.theme.text, size=10.5)
            x += length(text, 10.5) + 24
