"""What the operator is not allowed to read, by its informers' word.

A refusal counts once it has lasted: an API server that is just starting refuses for a moment what it will permit, and a
gang placed blindly because of that would stay where it is. It only tells; what follows is for planner and scheduler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from trainyard.kube.clock import steady
from trainyard.kube.informer import Informer

LASTING = 3.0
"""How long a kind that was never listed must be refused before it counts as unseen. One that was listed before is
believed for as long as the informer's own grace for a stream that is down."""


class Sight:
    """Over the informers that an installation may refuse."""

    def __init__(self, informers: Iterable[Informer[Any]], clock: Callable[[], float] = steady) -> None:
        self._optional = [i for i in informers if not i.required]
        self._clock = clock
        self._refused_since: dict[Informer[Any], float] = {}

    def unseen(self) -> frozenset[str]:
        """Plural names of the kinds that may not be read."""
        return frozenset(i.resource.plural for i in self._optional if self._lasts(i))

    def settled(self) -> bool:
        """Each of them was given over whole, or is refused for good."""
        return all(i.synced or self._lasts(i) for i in self._optional)

    def _lasts(self, informer: Informer[Any]) -> bool:
        if informer.refused is None:
            self._refused_since.pop(informer, None)
            return False
        now = self._clock()
        since = self._refused_since.setdefault(informer, now)
        return now - since >= LASTING and not informer.healthy(now)
