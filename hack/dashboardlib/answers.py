"""What a panel's queries came to: lines with names, or rows of a table. It asks Prometheus once and draws nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from dashboardlib.model import Board, Kind, Panel
from dashboardlib.prometheus import Api, Point, Window


@dataclass(frozen=True, slots=True)
class Line:
    """One series as it is shown."""

    name: str
    points: tuple[Point, ...]

    @property
    def last(self) -> float:
        return self.points[-1][1]

    @property
    def most(self) -> float:
        return max(value for _, value in self.points)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts and of numbers."""

    rows: tuple[tuple[tuple[str, ...], tuple[float, ...]], ...]


Answer = tuple[Line, ...] | Table


@dataclass(frozen=True, slots=True)
class Answers:
    """Everything that a board shows in one window of time."""

    board: Board
    window: Window
    panels: Mapping[str, Answer]
    marks: tuple[tuple[float, str], ...]
    """Instants with their colour."""


def ask(board: Board, api: Api, window: Window) -> Answers:
    """Put every query of a board to a Prometheus."""
    marks = [
        (at, marker.color)
        for marker in board.markers
        for series in api.range(marker.expr, window)
        for at, _ in series.points
    ]
    panels = {
        p.title: _rows(p, api, window) if p.kind is Kind.TABLE else _lines(p, api, window) for p in board.panels()
    }
    return Answers(board, window, panels, tuple(marks))


def _lines(panel: Panel, api: Api, window: Window) -> tuple[Line, ...]:
    instant = panel.kind is Kind.STAT
    found = []
    for query in panel.queries:
        for series in (api.instant if instant else api.range)(query.expr, window):
            points = tuple(point for point in series.points if math.isfinite(point[1]))
            if points:
                found.append(Line(_named(query.legend, series.labels), points))
    return tuple(sorted(found, key=lambda line: _order(panel, line.name)))


def _order(panel: Panel, name: str) -> tuple[int, str]:
    known = list(panel.colors)
    return (known.index(name) if name in known else len(known), name)


def _rows(panel: Panel, api: Api, window: Window) -> Table:
    valued = [query for query in panel.queries if query.legend]
    cells: dict[tuple[str, ...], list[float]] = {}
    for i, query in enumerate(panel.queries):
        for series in api.instant(query.expr, window):
            key = tuple(series.labels.get(column, "") for column in panel.columns)
            values = cells.setdefault(key, [math.nan] * len(valued))
            if query.legend:
                values[i] = series.points[0][1]
    rows = [(key, tuple(values)) for key, values in cells.items()]
    rows.sort(key=lambda row: ([-v for v in row[1][:1]], [_natural(text) for text in row[0]]))
    return Table(tuple(rows))


def _natural(text: str) -> tuple[int, str]:
    return (int(text), "") if text.isdigit() else (0, text)


def _named(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), legend).strip()
