"""Does a real Prometheus, looking at real operators, see what dashboards and alerts say it sees?"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from dashboardlib.cli import boards
from dashboardlib.prometheus import Window
from observability.story import Story
from support.proxy import Wire
from support.world import World

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(600)]

CHOICES = {"resource": ".*", "operator": ".*", "job_name": "llm"}


# One story for all of it: what a test of its own for each act would repeat takes longer than the act.
async def test_dashboards_show_and_alerts_tell_what_happens(world: World, wire: Wire, tmp_path: Path) -> None:
    story = Story(world, wire, tmp_path)
    await story.begin()
    try:
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


def _without_data(story: Story) -> list[str]:
    """Expressions of dashboards that had nothing to show in all that time."""
    window = Window(
        start=story.watcher.began,
        end=time.time(),
        step=1,
        scrape=1,
        choices={**CHOICES, "namespace": story.world.namespace},
    )
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
