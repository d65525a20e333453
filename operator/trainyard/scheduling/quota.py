"""ResourceQuotas against whole gangs: what the API server would refuse pod by pod is refused here at once.

Grants of the same round are counted as they are given, and so are pods that are promised and not created yet. A job
that waits for room keeps its share of the quota against those behind it, as it keeps the nodes. Keys that speak of
limits, storage or other objects are left to the API server, and so are quotas for pods that end by themselves or ask
for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from trainyard.api.reasons import Reason
from trainyard.model.cluster import GangRequest, Reservation
from trainyard.model.resources import format_amount
from trainyard.model.views import QuotaView
from trainyard.scheduling.messages import Obstacle, gang_words

_OBJECTS = "count/pods"
"""Counts pods that have ended, too."""
_PODS = ("pods", _OBJECTS)
_REQUESTS = "requests."

Needs = dict[str, int]


class _Share(NamedTuple):
    """What pods of one PriorityClass take of the quotas that bind them."""

    priority_class: str | None
    needs: Needs

    def of(self, quota: QuotaView, key: str) -> int:
        return counted(key, self.needs) if quota.binds(self.priority_class) else 0


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


def needs_of(request: GangRequest) -> Needs:
    """The gang's total by resource, and its number of pods."""
    total: Needs = {"pods": request.size}
    for role in request.roles:
        for name, value in role.resources:
            if name != "pods":
                total[name] = total.get(name, 0) + value * role.replicas
    return total


def counted(key: str, needs: Needs) -> int:
    """How much of a quota's key the gang takes; 0 for a key that it does not touch."""
    return needs["pods"] if key in _PODS else needs.get(key.removeprefix(_REQUESTS), 0)


class Quotas:
    """The quotas of all namespaces as the round goes on."""

    def __init__(
        self,
        quotas: Mapping[str, tuple[QuotaView, ...]],
        reservations: Iterable[Reservation] = (),
        default_class: str = "",
    ) -> None:
        """Start from what the API server counts as used, and from the pods that it will count once they are created.
        `default_class` is what pods are given whose job names no PriorityClass."""
        self._quotas = quotas
        self._default_class = default_class
        self._granted: dict[str, list[_Share]] = {}
        for (namespace, named), needs in _promised(quotas, reservations).items():
            share = _Share(None if named is None else named or default_class, needs)
            self._granted.setdefault(namespace, []).append(share)
        self._waiting: dict[str, list[tuple[GangRequest, _Share]]] = {}

    def _share(self, request: GangRequest) -> _Share:
        return _Share(request.priority_class or self._default_class, needs_of(request))

    def grant(self, request: GangRequest) -> None:
        if self._quotas.get(request.key.namespace):
            self._granted.setdefault(request.key.namespace, []).append(self._share(request))

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
            used = dict(quota.used)
            for key, hard in quota.hard:
                need = share.of(quota, key)
                taken = used.get(key, 0) + self._granted_of(quota, key)
                if need and taken + need > hard:
                    yield _Short(quota.name, key, need, taken, hard)

    def ahead(self, request: GangRequest, passes: Callable[[GangRequest], bool]) -> GangRequest | None:
        """The waiting job that could no longer start if this one took its part of the quota now."""
        waiting = [w for w in self._waiting.get(request.key.namespace, ()) if not passes(w[0])]
        if not waiting:
            return None
        share = self._share(request)
        for quota in self._quotas[request.key.namespace]:
            used = dict(quota.used)
            for key, hard in quota.hard:
                need = share.of(quota, key)
                left = hard - used.get(key, 0) - self._granted_of(quota, key) - need
                for job, wants in waiting if need else ():
                    left -= wants.of(quota, key)
                    if left < 0:
                        return job
        return None

    def _granted_of(self, quota: QuotaView, key: str) -> int:
        return sum(share.of(quota, key) for share in self._granted.get(quota.namespace, ()))


def _promised(
    quotas: Mapping[str, tuple[QuotaView, ...]], reservations: Iterable[Reservation]
) -> Mapping[tuple[str, str | None], Needs]:
    """By namespace that has quotas, and by the PriorityClass that is named: what promised pods take that do not exist
    yet."""
    promised: dict[tuple[str, str | None], Needs] = {}
    for reservation in reservations:
        if reservation.created or not quotas.get(reservation.namespace):
            continue
        needs = promised.setdefault((reservation.namespace, reservation.priority_class), {"pods": 0})
        needs["pods"] += 1
        for name, value in reservation.resources:
            if name != "pods":
                needs[name] = needs.get(name, 0) + value
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
