"""Who is who in an attempt: seats in worlds, addresses, ports, the names a Service has to answer. Pure arithmetic.

A world is made of the roles of one framework, in the order of the roles. Its rank 0 is its coordinator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from trainyard.api.constants import DEFAULT_PORT
from trainyard.api.names import pod_name, service_name, uid5
from trainyard.api.types import Framework, JobSpec, Names
from trainyard.launch.settings import LaunchSettings
from trainyard.model.record import RecordDraft, RecordRole
from trainyard.model.views import JobView

_NAMED_BY_DEFAULT = (Framework.TENSORFLOW, Framework.CUSTOM)


@dataclass(frozen=True, slots=True)
class Seat:
    """One pod's place. World ranks and sizes count pods; processes are counted apart."""

    rank: int
    role: RecordRole
    index: int
    framework: Framework
    world_rank: int
    world_size: int
    processes: int
    """Training processes of this pod."""
    first_process: int
    """Processes of the world in pods before this one."""
    world_processes: int
    coordinator: RecordRole
    """Role of the world's rank 0, which is that role's index 0."""

    @property
    def plain(self) -> bool:
        """Every pod of the world runs exactly one process, so a pod's world rank is its process's rank."""
        return self.world_processes == self.world_size


def spec_of(job: JobView) -> JobSpec:
    """The parsed spec. Raises ValueError: nothing is rendered for a job that is not valid."""
    if job.spec is None:
        raise ValueError(f"{job.key}: the spec is not valid, nothing can be rendered from it")
    return job.spec


def seat(draft: RecordDraft, rank: int) -> Seat:
    """Where a rank sits. Raises IndexError outside the gang."""
    role, index = draft.locate(rank)
    before = pods_before = size = total = 0
    coordinator = None
    for other in draft.roles:
        if other.framework != role.framework:
            continue
        coordinator = coordinator or other
        if other.name == role.name:
            before, pods_before = total, size
        size += other.replicas
        total += other.replicas * other.processes
    return Seat(
        rank=rank,
        role=role,
        index=index,
        framework=Framework(role.framework),
        world_rank=pods_before + index,
        world_size=size,
        processes=role.processes,
        first_process=before + index * role.processes,
        world_processes=total,
        coordinator=coordinator or role,
    )


def members(draft: RecordDraft, framework: Framework) -> Iterator[tuple[RecordRole, int]]:
    """The world's pods in the order of their world ranks."""
    for role in draft.roles:
        if role.framework == framework:
            yield from ((role, index) for index in range(role.replicas))


def address(job: JobView, attempt: int, role: str, index: int) -> str:
    """A pod's name in DNS, short enough to hold under every cluster domain."""
    short = uid5(job.uid)
    return f"{pod_name(job.name, short, attempt, role, index)}.{service_name(job.name, short)}"


def port(job: JobView, record: RecordDraft, template: Mapping[str, Any], settings: LaunchSettings) -> int:
    """Port on which a pod of this template is met.

    In the node's network it follows the job and the attempt: two jobs rarely meet on one node, and a predecessor that
    still holds its port cannot be taken for this attempt. Its range is the record's: a gang that is half created when
    the setting changes must still meet.
    """
    declared = spec_of(job).rendezvous.port
    if declared is not None:
        return declared
    if not template["spec"].get("hostNetwork"):
        return DEFAULT_PORT
    first, last = record.host_ports or settings.host_ports
    digest = sha256(f"{job.uid}/{record.attempt}".encode()).digest()
    return first + int.from_bytes(digest[:8], "big") % (last - first + 1)


def named(job: JobView, place: Seat) -> bool:
    """Whether other pods may resolve this pod's name: only where needed, endpoints are the dearest part of a gang."""
    names = spec_of(job).rendezvous.names
    if names is None:
        names = Names.ALL if place.framework in _NAMED_BY_DEFAULT else Names.COORDINATORS
    return names is Names.ALL or place.world_rank == 0


def listens(place: Seat) -> bool:
    """Whether the pod is met at its port: the coordinator, and every pod of tensorflow."""
    return place.world_rank == 0 or place.framework is Framework.TENSORFLOW
