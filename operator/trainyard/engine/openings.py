"""Which ranks of open attempts are promised a place and not yet seen there: a node, and a share of the quotas.

What is promised in a record counts as used from the moment the record exists, or two gangs could be given one node in
the time between a record and its pods. Kept incrementally; decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trainyard.model.cluster import Reservation
from trainyard.model.record import Record
from trainyard.model.status import JobStatus
from trainyard.model.views import PodView


@dataclass(slots=True)
class _Opening:
    record: Record
    namespace: str
    priority_class: str | None
    unbound: dict[int, str]
    """Rank → promised node; empty where the cluster's scheduler chooses."""
    uncreated: set[int]
    """Ranks whose pod was never seen."""


class Openings:
    """By owner UID, the current attempt's promises."""

    def __init__(self) -> None:
        self._openings: dict[str, _Opening] = {}

    def track(
        self,
        uid: str,
        namespace: str,
        record: Record | None,
        status: JobStatus | None,
        pods: Iterable[PodView],
        *,
        priority_class: str | None = None,
    ) -> bool:
        """Take in a record or a status that changed. True where a promise was withdrawn. `priority_class` is what the
        job names as the attempt opens, None where it cannot be read."""
        before = self._openings.get(uid)
        if record is None or status is None or not _promises(record, status):
            self._openings.pop(uid, None)
            return before is not None
        if before is not None and before.record == record:
            if status.gang_created:
                before.uncreated.clear()
            return False
        unbound = dict(enumerate(record.nodes))
        for role in record.roles:
            first = record.first_rank(role.name)
            for index in status.completed(role.name):
                unbound.pop(first + index, None)
        uncreated = set() if status.gang_created else set(unbound)
        self._openings[uid] = _Opening(record, namespace, priority_class, unbound, uncreated)
        for pod in pods:
            self.saw(uid, pod)
        return False

    def saw(self, uid: str, pod: PodView) -> bool:
        """A pod that is bound, or over, needs its promise no longer: usage counts it by itself. True with the last pod
        that was to be created."""
        opening = self._openings.get(uid)
        if opening is None or pod.incarnation != opening.record.attempt:
            return False
        if pod.node or pod.terminal:
            opening.unbound.pop(pod.rank, None)
        if pod.rank not in opening.uncreated:
            return False
        opening.uncreated.discard(pod.rank)
        return not opening.uncreated

    def forget(self, uid: str) -> None:
        self._openings.pop(uid, None)

    def promised(self) -> list[tuple[Record, tuple[int, ...]]]:
        """Each record with the ranks that are not seen on their nodes yet."""
        return [(opening.record, tuple(opening.unbound)) for opening in self._openings.values() if opening.unbound]

    def reservations(self) -> list[Reservation]:
        return [
            Reservation(
                uid,
                node,
                role.resources,
                opening.namespace,
                rank not in opening.uncreated,
                role.ports_of(index),
                opening.priority_class,
            )
            for uid, opening in self._openings.items()
            for rank, node in opening.unbound.items()
            if node or rank in opening.uncreated
            for role, index in (opening.record.locate(rank),)
        ]


def _promises(record: Record, status: JobStatus) -> bool:
    """The record of the attempt that is open, or about to be: a record may be answered before the status names it."""
    return record.attempt == status.attempt and not status.terminal and status.finishing is None
