"""A whole board as one picture, laid out as Grafana lays it out. It asks nobody: the answers are there."""

from __future__ import annotations

from collections.abc import Iterator

from dashboardlib.answers import Answers
from dashboardlib.model import Board, Panel
from dashboardlib.plots import Frame, draw
from dashboardlib.svg import Drawing, cut
from dashboardlib.theme import Theme

COLUMN, LINE, GAP = 54, 27, 7
COLUMNS = 24
WIDTH = COLUMNS * COLUMN + GAP
HEAD = 44
ROW_TITLE = 28

Place = tuple[Panel, float, float]


def picture(answers: Answers, theme: Theme) -> str:
    """The SVG."""
    board = answers.board
    places, titles, height = _layout(board)
    drawing = Drawing(WIDTH, round(height) + GAP, theme.page)
    drawing.words(GAP + 4, 28, board.title, theme.text, size=18, bold=True)
    drawing.words(WIDTH - GAP - 4, 28, cut(board.description, WIDTH / 2), theme.quiet, anchor="end")
    for title, y in titles:
        drawing.words(GAP + 4, y + 19, f"▾ {title}", theme.text, size=13, bold=True)
    for panel, x, y in places:
        wide, tall = panel.width * COLUMN - GAP, panel.height * LINE - GAP
        drawing.box(x, y, wide, tall, theme.panel, edge=theme.border, round_=3)
        drawing.words(x + 9, y + 18, cut(panel.title, wide - 18, 12), theme.text, size=12, bold=True)
        inside = Frame(drawing, theme, x + 9, y + 28, wide - 18, tall - 34)
        draw(inside, panel, answers.panels[panel.title], answers.window, answers.marks)
    return drawing.text()


def _layout(board: Board) -> tuple[list[Place], list[tuple[str, float]], float]:
    """Where every panel and every row's title stands, and how tall it all is."""
    places: list[Place] = []
    titles: list[tuple[str, float]] = []
    y = float(HEAD)
    for row in board.rows:
        titles.append((row.title, y))
        y += ROW_TITLE
        for line in _lines(row.panels):
            x = float(GAP)
            for panel in line:
                places.append((panel, x, y))
                x += panel.width * COLUMN
            y += max(panel.height for panel in line) * LINE
    return places, titles, y


def _lines(panels: tuple[Panel, ...]) -> Iterator[list[Panel]]:
    """Panels side by side, as many as fit."""
    line: list[Panel] = []
    for panel in panels:
        if sum(p.width for p in line) + panel.width > COLUMNS:
            yield line
            line = []
        line.append(panel)
    if line:
        yield line
