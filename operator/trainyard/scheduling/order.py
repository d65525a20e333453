"""Who is ahead of whom: priority, then age, then name. Decides no placement."""

from __future__ import annotations

from collections.abc import Iterable

from trainyard.model.cluster import ClusterSnapshot, GangRequest


def priority_of(request: GangRequest, cluster: ClusterSnapshot) -> int:
    """Value of the job's PriorityClass, else of the default class, else 0, as Kubernetes does for pods."""
    named = cluster.priority_classes.get(request.priority_class or default_class(cluster))
    return named.value if named else 0


def default_class(cluster: ClusterSnapshot) -> str:
    """Name of the PriorityClass that a pod without one is given: of several defaults the lowest. Empty without any."""
    defaults = [c for c in cluster.priority_classes.values() if c.is_default]
    return min(defaults, key=lambda c: c.value).name if defaults else ""


def in_order(requests: Iterable[GangRequest], cluster: ClusterSnapshot) -> list[GangRequest]:
    """The queue. Name and UID come last only so that equal jobs do not change places from round to round."""
    return sorted(requests, key=lambda r: (-priority_of(r, cluster), r.queued, r.key, r.uid))
