"""Does a real Prometheus, looking at real operators, see what dashboards and alerts say it sees?"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from dashboardlib.answers import Table, ask
from dashboardlib.cli import boards
from dashboardlib.picture import picture
from dashboardlib.prometheus import Window
from dashboardlib.theme import THEMES
from observability.story import Story
from support.proxy import Wire
from support.world import World

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(600)]

CHOICES = {"resource": ".*", "operator": ".*", "job_name": "llm"}
MOST_BYTES = 300_000
MAY_BE_EMPTY = {"Waits for"}
"""Panels whose emptiness is good news at the end of the story."""


# One story for all of it: what a test of its own for each act would repeat takes longer than the act.
async def test_dashboards_show_and_alerts_tell_what_happens(world: World, wire: Wire, tmp_path: Path) -> None:
    story = Story(world, wire, tmp_path)
    try:
        await story.begin()
        await story.jobs_come()
        await story.some_are_beyond_help()
        await story.one_crashes_again_and_again()
        await story.one_is_disrupted()
        await story.a_node_dies()
        await story.the_leader_dies()
        await story.the_api_server_is_cut_off()
        assert await asyncio.to_thread(_without_data, story) == []
        await story.nobody_is_left()
        _read_well(story)
    finally:
        await story.end()


@pytest.mark.slow
@pytest.mark.parametrize("world", ["research"], indirect=True)
async def test_panels_show_something_when_a_person_looks(world: World, wire: Wire, tmp_path: Path) -> None:
    """Minutes of it, at a person's pace; then every panel must have something to show, and is drawn.

    With TRAINYARD_PICTURES the pictures are written there: `TRAINYARD_PICTURES=docs/images` renews the documents'.
    """
    story = Story(world, wire, tmp_path, pause=15, every="2s")
    try:
        await story.begin()
        await story.jobs_come()
        await story.some_are_beyond_help()
        await asyncio.gather(story.one_crashes_again_and_again(), story.others_come_and_go())
        await story.one_is_disrupted()
        await story.one_pauses()
        await story.a_node_dies()
        await story.the_leader_dies()
        folder = Path(os.environ.get("TRAINYARD_PICTURES", tmp_path / "pictures"))
        empty = await asyncio.to_thread(_draw, story, folder)
    finally:
        await story.end()
    assert empty == MAY_BE_EMPTY


def _draw(story: Story, folder: Path) -> set[str]:
    """Draws every board in every theme; the titles of the panels that show nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    window = _window(story, step=4, scrape=2)
    empty: set[str] = set()
    for board in boards():
        answers = ask(board, story.watcher.api, window)
        empty |= {title for title, answer in answers.panels.items() if answer in ((), Table(()))}
        for theme in THEMES:
            text = picture(answers, theme)
            assert len(text) < MOST_BYTES, f"the picture of {board.uid} has {len(text)} bytes"
            (folder / f"{board.uid}-{theme.name}.svg").write_text(text, encoding="utf-8")
    return empty


def _window(story: Story, step: float, scrape: float) -> Window:
    choices = {**CHOICES, "namespace": story.world.namespace}
    return Window(start=story.watcher.began, end=time.time(), step=step, scrape=scrape, choices=choices)


def _without_data(story: Story) -> list[str]:
    """Expressions of dashboards that had nothing to show in all that time."""
    window = _window(story, step=1, scrape=1)
    return [
        f"{board.uid}: {expr}"
        for board in boards()
        for expr in board.expressions()
        if not story.watcher.api.range(expr, window)
    ]


def _read_well(story: Story) -> None:
    """What the alerts say has its values filled in."""
    for name, alert in story.watcher.fired.items():
        said = alert["annotations"]["description"]
        assert "<no value>" not in said and "error" not in said and "{{" not in said, f"{name}: {said}"
