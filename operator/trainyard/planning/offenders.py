"""Which nodes have hurt jobs again and again, told from what the jobs' statuses remember. Reports; decides nothing."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from trainyard.model.status import JobStatus
from trainyard.model.views import Instant
from trainyard.planning.restart import blames_node

WINDOW = 86_400.0
OFTEN = 3
"""So many separate times within the window."""
APART = 300.0
"""What comes within so many seconds of the last is the same time: a node that dies takes all its jobs' ranks along."""


def repeat_offenders(statuses: Iterable[JobStatus], now: Instant) -> dict[str, int]:
    """Node → how many separate times it was blamed for the end of an attempt, where that was often."""
    blamed: dict[str, list[Instant]] = {}
    for status in statuses:
        for episode in status.episodes:
            if episode.node and now - episode.at < WINDOW and blames_node(episode):
                blamed.setdefault(episode.node, []).append(episode.at)
    times = {node: _separate(instants) for node, instants in blamed.items() if len(instants) >= OFTEN}
    return {node: count for node, count in sorted(times.items()) if count >= OFTEN}


def _separate(instants: list[Instant]) -> int:
    ordered = sorted(instants)
    return 1 + sum(later - earlier >= APART for earlier, later in pairwise(ordered))
