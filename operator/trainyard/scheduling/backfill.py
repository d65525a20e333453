"""Who may pass a job that waits for room, so that no waiting job is delayed beyond a declared bound.

The rule. A job J that waits for room marks every node that it could use if nothing else ran (its *useful* nodes:
suitable, healthy, and in a domain that would hold the whole gang). A job behind J may start in one of two ways only:

1. it takes none of J's useful nodes, or
2. it is sure to end in time: now + its activeDeadlineSeconds (its first opening + that, where it has begun already)
   <= J's creation + the bound.

Why this bounds the delay. By (1) such a job never stands where J could. By (2) every job that passed J onto its
useful nodes has ended by creation(J) + bound, whenever it passed and however many did. So if J could have started at
an instant s had nobody passed it, it starts at the latest at max(s, creation(J) + bound), and since s is not before
its creation, the delay is at most the bound. Nothing needs remembering from round to round. (Nodes that are added, or
become healthy, after a job has passed are no part of the promise: nobody could have waited for them.) A job older
than the bound, such as one that ran for days and now restarts, is passed by nobody on its useful nodes.

A job that could not start even if everything else ended (nodes not Ready, too large) holds nobody up, nor does one
that waits for a quota, a claim or its backoff.

Separately, nodes that a restarting job left are *held* for it until an instant: room for its kept ranks is closed to
jobs behind it. This file keeps the marks; the scheduler asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trainyard.model.cluster import GangRequest
from trainyard.model.views import Instant

Marks = int
"""A set of nodes as the bits of a number."""


def marks(nodes: Iterable[int], size: int) -> Marks:
    """The set as bits."""
    bits = bytearray(b"0") * (size + 1)
    for i in nodes:
        bits[size - i] = 49
    return int(bits, 2)


def unmarked(nodes: Sequence[int], marked: Marks) -> Sequence[int]:
    """The nodes that are not in the set, in order."""
    if not marked:
        return nodes
    bits = format(marked, "b")[::-1]
    size = len(bits)
    return [i for i in nodes if i >= size or bits[i] == "0"]


@dataclass(slots=True)
class Mark:
    """Nodes closed for all who do not end in time, by the job that is first in the queue for them."""

    nodes: Marks
    deadline: Instant
    """The earliest creation + bound among the jobs that wait for exactly these nodes."""
    first: GangRequest


@dataclass(frozen=True, slots=True)
class Hold:
    """Nodes kept for a restarting job."""

    request: GangRequest
    nodes: frozenset[int]


class Backfill:
    """The marks and holds of one round, in order of the queue."""

    def __init__(self, now: Instant, bound: float) -> None:
        """Begin with an empty queue."""
        self._now = now
        self._bound = bound
        self._marks: dict[Marks, Mark] = {}
        self._all: Marks = 0
        self.holds: list[Hold] = []

    def deadline(self, waiting: GangRequest) -> Instant:
        """When everybody who passed this job has ended."""
        return waiting.queued + self._bound

    def passes(self, request: GangRequest, deadline: Instant) -> bool:
        """It is sure to end by then."""
        if request.ends_by is not None:
            return request.ends_by <= deadline
        return request.duration_bound is not None and self._now + request.duration_bound <= deadline

    def wait(self, request: GangRequest, useful: Marks) -> None:
        """Mark the nodes of a job that waits for room."""
        if not useful:
            return
        deadline = self.deadline(request)
        mark = self._marks.setdefault(useful, Mark(useful, deadline, request))
        mark.deadline = min(mark.deadline, deadline)
        self._all |= useful

    def closed(self, request: GangRequest) -> Marks:
        """Nodes that this job must not take."""
        if request.duration_bound is None:
            return self._all
        closed: Marks = 0
        for mark in self._marks.values():
            if not self.passes(request, mark.deadline):
                closed |= mark.nodes
        return closed

    def in_the_way(self, request: GangRequest, nodes: Iterable[int], size: int) -> tuple[GangRequest, Instant] | None:
        """Whose marks forbid these nodes: the job that is first in the queue, and by when one would have to end."""
        wanted = marks(nodes, size)
        shut = [m for m in self._marks.values() if m.nodes & wanted and not self.passes(request, m.deadline)]
        return (shut[0].first, min(m.deadline for m in shut)) if shut else None

    def holder(self, nodes: Iterable[int]) -> GangRequest | None:
        """The job for which some of these nodes are held."""
        wanted = set(nodes)
        return next((h.request for h in self.holds if not h.nodes.isdisjoint(wanted)), None)
