"""ResourceQuotas against whole gangs: what the API server would refuse pod by pod is refused here at once.

Grants of the same round are counted as they are given, and so are pods that are promised and not created yet. A job
that waits for room keeps its share of the quota against those behind it, as it keeps the nodes. Keys that speak of
limits, storage or other objects are left to the API server, and so are quotas by PriorityClass where nobody knows the
class.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from trainyard.api.reasons import Reason
from trainyard.model.cluster import GangRequest, Reservation
from trainyard.model.resources import format_amount
from trainyard.model.views import QuotaView, Resources
from trainyard.scheduling.messages import Obstacle, gang_words

_OBJECTS = "count/pods"
"""Counts pods that have ended, too."""
_PODS = ("pods", _OBJECTS)
_REQUESTS = "requests."

Needs = dict[str, int]
_NOTHING: Needs = {"pods": 0}


class _Pods(NamedTuple):
    """Some that are alike."""

    many: int
    resources: Resources
    """Of one."""
    terminating: bool = False
    """They have an active deadline of their own."""

    @property
    def best_effort(self) -> bool:
        """Only these resources count for what Kubernetes calls a pod's quality of service."""
        return not any(value for name, value in self.resources if name in ("cpu", "memory"))


class _Share:
    """What pods of one PriorityClass take of the quotas that count them."""

    def __init__(self, priority_class: str | None, pods: Iterable[_Pods]) -> None:
        self._class = priority_class
        self._pods = tuple(pods)
        self._whole = _total(self._pods)

    def of(self, quota: QuotaView) -> Needs | None:
        """None where the quota does not bind them."""
        if not quota.scopes and not quota.classes:
            return self._whole
        if not quota.binds(self._class):
            return None
        return _total(p for p in self._pods if quota.counts(terminating=p.terminating, best_effort=p.best_effort))


class _Short(NamedTuple):
    """A key of a quota that has no room for the whole gang."""

    quota: str
    key: str
    need: int
    taken: int
    hard: int

    @property
    def by(self) -> int:
        return self.taken + self.need - self.hard


def _total(pods: Iterable[_Pods]) -> Needs:
    total: Needs = {"pods": 0}
    for alike in pods:
        total["pods"] += alike.many
        for name, value in alike.resources:
            if name != "pods":
                total[name] = total.get(name, 0) + value * alike.many
    return total


def _counted(key: str, needs: Needs) -> int:
    """How much of a quota's key they take; 0 for a key that they do not touch."""
    return needs["pods"] if key in _PODS else needs.get(key.removeprefix(_REQUESTS), 0)


class Quotas:
    """The quotas of all namespaces as the round goes on."""

    def __init__(
        self,
        quotas: Mapping[str, tuple[QuotaView, ...]],
        reservations: Iterable[Reservation] = (),
        default_class: str | None = "",
    ) -> None:
        """Start from what the API server counts as used, and from the pods that it will count once they are created.
        `default_class` is what pods are given whose job names no PriorityClass; None where that is not known."""
        self._quotas = quotas
        self._default_class = default_class
        self._granted: dict[tuple[str, str], Needs] = {}
        """By namespace and quota."""
        for (namespace, named), pods in _promised(quotas, reservations).items():
            self._grant(namespace, _Share(named if named is None else named or default_class, pods))
        self._waiting: dict[str, list[tuple[GangRequest, _Share]]] = {}

    def _share(self, request: GangRequest) -> _Share:
        known = request.priority_class or self._default_class if request.pod_class is None else request.pod_class
        return _Share(known, (_Pods(role.replicas, role.resources, role.terminating) for role in request.roles))

    def grant(self, request: GangRequest) -> None:
        if self._quotas.get(request.key.namespace):
            self._grant(request.key.namespace, self._share(request))

    def _grant(self, namespace: str, share: _Share) -> None:
        for quota in self._quotas.get(namespace, ()):
            taken = self._granted.setdefault((namespace, quota.name), {"pods": 0})
            for name, value in (share.of(quota) or {}).items():
                taken[name] = taken.get(name, 0) + value

    def wait(self, request: GangRequest) -> None:
        if self._quotas.get(request.key.namespace):
            self._waiting.setdefault(request.key.namespace, []).append((request, self._share(request)))

    def exceeded(self, request: GangRequest) -> Obstacle | None:
        """The first key that has no room for the whole gang."""
        first: _Short | None = None
        clear_kept = True
        for short in self._short(request):
            first = first or short
            clear_kept &= short.key == _OBJECTS and short.by <= request.kept_to_be_read
        return _exceeded(request, first, clear_kept=clear_kept) if first else None

    def _short(self, request: GangRequest) -> Iterator[_Short]:
        share = self._share(request)
        for quota in self._quotas.get(request.key.namespace, ()):
            for key, hard, need, taken in self._asked(quota, share):
                if taken + need > hard:
                    yield _Short(quota.name, key, need, taken, hard)

    def ahead(self, request: GangRequest, passes: Callable[[GangRequest], bool]) -> GangRequest | None:
        """The waiting job that could no longer start if this one took its part of the quota now."""
        waiting = [w for w in self._waiting.get(request.key.namespace, ()) if not passes(w[0])]
        if not waiting:
            return None
        share = self._share(request)
        for quota in self._quotas[request.key.namespace]:
            wanted = [(job, needs) for job, wants in waiting if (needs := wants.of(quota)) is not None]
            for key, hard, need, taken in self._asked(quota, share):
                left = hard - taken - need
                for job, needs in wanted:
                    left -= _counted(key, needs)
                    if left < 0:
                        return job
        return None

    def _asked(self, quota: QuotaView, share: _Share) -> Iterator[tuple[str, int, int, int]]:
        """Each key that a share takes something of: what is allowed, what is taken now, what is taken already."""
        needs = share.of(quota)
        if needs is None:
            return
        used, granted = dict(quota.used), self._granted.get((quota.namespace, quota.name), _NOTHING)
        for key, hard in quota.hard:
            if need := _counted(key, needs):
                yield key, hard, need, used.get(key, 0) + _counted(key, granted)


def _promised(
    quotas: Mapping[str, tuple[QuotaView, ...]], reservations: Iterable[Reservation]
) -> Mapping[tuple[str, str | None], list[_Pods]]:
    """By namespace that has quotas, and by PriorityClass: what promised pods take that do not exist yet. A record does
    not tell whether they have an active deadline of their own."""
    many = Counter(
        (r.namespace, r.priority_class, r.resources) for r in reservations if not r.created and quotas.get(r.namespace)
    )
    promised: dict[tuple[str, str | None], list[_Pods]] = {}
    for (namespace, named, resources), count in many.items():
        promised.setdefault((namespace, named), []).append(_Pods(count, resources))
    return promised


def _exceeded(request: GangRequest, short: _Short, *, clear_kept: bool) -> Obstacle:
    quota, key, need, taken, hard = short
    amounts = tuple(format_amount(key, value) for value in (need, max(hard - taken, 0), hard))
    if clear_kept:
        cause = "failed pods that the job kept to be read count as well, and are deleted to make room"
    elif need > hard:
        cause = "more than the quota allows even when nothing else runs: ask for less, or have the quota raised"
    else:
        cause = "wait for other pods of the namespace to end, ask for less, or have the quota raised"
    return Obstacle(
        Reason.QUOTA_EXCEEDED,
        f"The whole gang ({gang_words(request)}) needs {amounts[0]} of {key}, and ResourceQuota {quota} has "
        f"{amounts[1]} of {amounts[2]} left; {cause}. "
        f"See: kubectl describe quota {quota} -n {request.key.namespace}",
        clear_kept=clear_kept,
    )
