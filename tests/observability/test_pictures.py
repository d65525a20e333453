"""Do pictures show the numbers that Prometheus gave, with their units, in light and in dark?"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import pairwise

import pytest

from dashboardlib.answers import Answers, Line, Table
from dashboardlib.cli import boards
from dashboardlib.model import Board, Kind, Unit
from dashboardlib.picture import picture
from dashboardlib.prometheus import Window
from dashboardlib.theme import DARK, LIGHT, THEMES
from dashboardlib.units import ticks, written

BOARDS = {board.uid: board for board in boards()}
WINDOW = Window(start=1_000_000, end=1_003_600, step=60, scrape=30, choices={"namespace": "ml", "job_name": "llm"})


def answers(board: Board) -> Answers:
    """Something in every panel."""
    points = tuple((WINDOW.start + 60.0 * i, float(i % 7)) for i in range(60))
    panels = {
        panel.title: Table(((tuple(f"{c}-1" for c in panel.columns), (3.0,) * len(panel.queries)),))
        if panel.kind is Kind.TABLE
        else tuple(Line(name, points) for name in (*panel.colors, "another")[:3])
        for panel in board.panels()
    }
    return Answers(board, WINDOW, panels, ((WINDOW.start + 600, "blue"),))


def words(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_a_picture_has_every_panel(board: Board, theme: object) -> None:
    said = words(picture(answers(board), LIGHT if theme is LIGHT else DARK))
    assert {panel.title for panel in board.panels()} <= set(said)
    assert "no data" not in said


def test_a_panel_without_data_says_so() -> None:
    board = BOARDS["trainyard-fleet"]
    empty = replace(answers(board), panels={panel.title: () for panel in board.panels()})
    said = words(picture(empty, DARK))
    assert "no data" in said and "nobody waits" in said


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, Unit.SECONDS, "0 s"),
        (0.0123, Unit.SECONDS, "12.3 ms"),
        (90, Unit.SECONDS, "1.5 min"),
        (0.5, Unit.RATIO, "50%"),
        (2048, Unit.MEBIBYTES, "2 GiB"),
        (1536, Unit.BYTES, "1.5 KiB"),
        (12_500, Unit.COUNT, "12.5 k"),
        (0.25, Unit.PER_SECOND, "0.25 ops/s"),
    ],
)
def test_numbers_are_written_with_their_unit(value: float, unit: Unit, text: str) -> None:
    assert written(value, unit) == text


@pytest.mark.parametrize("unit", Unit)
@pytest.mark.parametrize("top", [0.003, 0.9, 7, 61, 3599, 250_000])
def test_an_axis_has_a_few_even_steps_and_reaches_the_top(unit: Unit, top: float) -> None:
    marks = ticks(top, unit)
    assert marks[0] == 0 and marks[-1] >= top * 0.999
    assert 2 <= len(marks) <= 7
    assert {round((b - a) / marks[1], 6) for a, b in pairwise(marks)} == {1.0}


def test_expressions_are_filled_in_as_grafana_does() -> None:
    filled = WINDOW.fill('rate(x{namespace="$namespace"}[$__rate_interval]) / increase(x[$__range]) + y[$__interval]')
    assert filled == 'rate(x{namespace="ml"}[120s]) / increase(x[3600s]) + y[60s]'
