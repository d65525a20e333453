"""What a pass asks of time: durations seen to last, and when the next pass is due."""

from __future__ import annotations

from dataclasses import dataclass, field

from trainyard.model.views import Instant

LASTING = 30.0
"""A timeout that destroys must also have been seen to last this long by this leader, or wholly if it is shorter."""


@dataclass(slots=True)
class Notebook:
    """Collects, over one pass, which durations are asked for and when the next pass is due."""

    now: Instant
    seen: dict[str, float]
    facts: set[str] = field(default_factory=set)
    wakes: list[Instant] = field(default_factory=list)

    def lasted(self, fact: str, seconds: float) -> bool:
        """The fact, which holds now, has been seen for that long by this leader."""
        self.facts.add(fact)
        left = seconds - self.seen.get(fact, 0.0)
        if left <= 0:
            return True
        self.wakes.append(self.now + left)
        return False

    def due(self, instant: Instant) -> bool:
        """The instant has come; if not, a pass is due then."""
        if self.now >= instant:
            return True
        self.wakes.append(instant)
        return False

    def expired(self, fact: str, since: Instant, seconds: float) -> bool:
        """A timeout that destroys: over by the API server's clock, and seen to last by this leader."""
        over = self.due(since + seconds)
        return self.lasted(fact, min(seconds, LASTING)) and over
