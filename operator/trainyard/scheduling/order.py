"""Who is ahead of whom: priority, then age, then name. Decides no placement."""

from __future__ import annotations

from collections.abc import Iterable

from trainyard.model.cluster import ClusterSnapshot, GangRequest


def priority_of(request: GangRequest, cluster: ClusterSnapshot) -> int:
    """Value of the job's PriorityClass, else of the default class, else 0, as Kubernetes does for pods."""
    if request.priority_class:
        named = cluster.priority_classes.get(request.priority_class)
        return named.value if named else 0
    return max((c.value for c in cluster.priority_classes.values() if c.is_default), default=0)


def in_order(requests: Iterable[GangRequest], cluster: ClusterSnapshot) -> list[GangRequest]:
    """The queue. Name and UID come last only so that equal jobs do not change places from round to round."""
    return sorted(requests, key=lambda r: (-priority_of(r, cluster), r.queued, r.key, r.uid))
