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

    def lately(self, fact: str, seconds: float, holds: bool) -> bool:
        """The fact holds, or has held within the last seconds, as far as this leader has seen. To be asked in every
        pass, or it is forgotten."""
        before = f"{fact}, before"
        if holds:
            self.facts.add(fact)
            return True
        if fact not in self.seen and before not in self.seen:
            return False
        if self.lasted(before, seconds):
            self.facts.discard(before)
            return False
        return True

    def once(self, fact: str, holds: bool) -> bool:
        """The fact holds, or has held in a pass since which it was asked for in every pass."""
        if holds or fact in self.seen:
            self.facts.add(fact)
        return fact in self.facts

    def borne(self, fact: str, seconds: float) -> Instant | None:
        """Until when the fact, which holds now, is borne: so many seconds from this leader's own first sight of it, by
        its monotonic clock, told as an instant that does not move from pass to pass. None once that is over."""
        stem = f"{fact} since "
        named = next((known for known in self.seen if known.startswith(stem)), f"{stem}{int(self.now)}")
        return None if self.lasted(named, seconds) else float(named.removeprefix(stem)) + seconds

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
