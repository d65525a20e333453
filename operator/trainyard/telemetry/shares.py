"""Which accelerators a job asks for, holds and holds idle, by role and resource.

What a role asks for is worked out once for each spec. Pods are looked at only where an attempt is closed and its pods
are still ending; an open attempt holds what its record says, created or not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trainyard.api.effective import effective_roles
from trainyard.api.reasons import Phase
from trainyard.api.types import JobSpec
from trainyard.model.record import Record
from trainyard.model.views import JobView, PodView, Resources
from trainyard.telemetry.waiting import suspended

RoleResource = tuple[str, str]


@dataclass(slots=True)
class Share:
    """Of one role and one resource."""

    requested: int = 0
    held: int = 0
    idle: int = 0


Shares = dict[RoleResource, Share]


class Requests:
    """What each job's roles ask for, kept for as long as its spec is the same."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[JobSpec, tuple[tuple[RoleResource, int], ...]]] = {}

    def of(self, job: JobView) -> tuple[tuple[RoleResource, int], ...]:
        if job.spec is None:
            return ()
        known = self._known.get(job.uid)
        if known is None or known[0] is not job.spec:
            known = self._known[job.uid] = (job.spec, _asked(job.spec))
        return known[1]

    def forget_others(self, jobs: Iterable[JobView]) -> None:
        """Only these are still there."""
        uids = {job.uid for job in jobs}
        for uid in self._known.keys() - uids:
            del self._known[uid]


def _asked(spec: JobSpec) -> tuple[tuple[RoleResource, int], ...]:
    return tuple(
        ((role.name, role.accelerator.resource), role.replicas * role.gpus)
        for role in effective_roles(spec)
        if role.gpus > 0
    )


def shares_of(
    job: JobView,
    requests: Requests,
    record: Record | None,
    ending: Iterable[PodView],
    accelerators: frozenset[str],
) -> Shares:
    """Of an unfinished job, and of a finished one's pods that are still ending."""
    shares: Shares = {}
    status = job.status
    if not status.terminal and not suspended(job):
        for key, count in requests.of(job):
            shares.setdefault(key, Share()).requested += count
    if status.open and not status.terminal:
        runs = status.phase is Phase.RUNNING and status.finishing is None
        for key, count in _gang(job, record, requests, accelerators):
            share = shares.setdefault(key, Share())
            share.held += count
            share.idle += 0 if runs else count
    for pod in ending:
        for resource, count in counted(pod.resources, accelerators):
            share = shares.setdefault((pod.role, resource), Share())
            share.held += count
            share.idle += count
    return shares


def _gang(
    job: JobView, record: Record | None, requests: Requests, accelerators: frozenset[str]
) -> Iterable[tuple[RoleResource, int]]:
    """What those ranks of the open attempt hold that have not completed; without its record, what the spec says."""
    if record is None:
        yield from requests.of(job)
        return
    for role in record.roles:
        ranks = role.replicas - len(job.status.completed(role.name))
        for resource, count in counted(role.resources, accelerators):
            yield (role.name, resource), ranks * count


def counted(resources: Resources, accelerators: frozenset[str]) -> list[tuple[str, int]]:
    """The accelerators among them."""
    return [(name, count) for name, count in resources if count and name in accelerators]
