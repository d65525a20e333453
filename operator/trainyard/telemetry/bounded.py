"""Keeps the values of one label few, for as long as the process lives."""

from __future__ import annotations

from collections.abc import Callable

from trainyard.model.views import Instant
from trainyard.telemetry.sums_text import OTHER

STILL = 86400.0
"""Seconds after which a value that has not come again may lose its place: longer than any rule looks back."""


class Bounded:
    """Lets so many different values through; the others become one. Where a new one finds no place, that which has not
    come for longest makes room, and `forget` is told of it; but only after a day. Were it sooner, counters that move
    would vanish before they are scraped."""

    def __init__(self, most: int, forget: Callable[[str], None]) -> None:
        self._most = most
        self._forget = forget
        self._came: dict[str, Instant] = {}
        """When each came last, in that order."""

    def __call__(self, value: str, at: Instant) -> str:
        known = self._came.pop(value, None) is not None
        if not known and len(self._came) >= self._most and not self._makes_room(at):
            return OTHER
        self._came[value] = at
        return value

    def _makes_room(self, at: Instant) -> bool:
        oldest, came = next(iter(self._came.items()))
        if at - came < STILL:
            return False
        del self._came[oldest]
        self._forget(oldest)
        return True
