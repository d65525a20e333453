"""What a job asks for before it runs: the dry run's pods, its roles for the scheduler, the record to open with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from trainyard.api.effective import EffectiveRole, effective_roles, total_pods
from trainyard.launch.affinity import keeps_apart
from trainyard.launch.claims import checkpoint_directory, claim_name
from trainyard.launch.pods import Json, gang, pod
from trainyard.launch.settings import LaunchSettings
from trainyard.launch.worlds import seat, spec_of
from trainyard.model.cluster import Grant, RoleRequest
from trainyard.model.plan import ProbeResult
from trainyard.model.podspec import host_ports, placing, pod_resources
from trainyard.model.record import RecordDraft, RecordRole
from trainyard.model.views import JobView, Placing, Resources

Ports = tuple[tuple[int, ...], tuple[int, ...]]
"""Ports of a node that every pod of a role takes, and those that only its replica 0 takes besides."""

_NO_PORTS: Ports = ((), ())

PROBE_ATTEMPT = 99_999
"""The attempt in a probe's name: the last that names have room for, so that it meets no living pod."""


def render_probe_pod(job: JobView, role: str, settings: LaunchSettings) -> Json:
    """A role's pod as it would be created, to be sent with dryRun=All and never otherwise."""
    return _sample(job, role, settings, PROBE_ATTEMPT, [])


def overridden(job: JobView, role: str, settings: LaunchSettings) -> tuple[str, ...]:
    """What a role's template says otherwise than the job would have it, in words for a condition's message."""
    won: list[str] = []
    _sample(job, role, settings, PROBE_ATTEMPT, won)
    return tuple(dict.fromkeys(won))


def template_resources(job: JobView, role: str, settings: LaunchSettings) -> Resources:
    """What one pod asks for as far as its template tells: an estimate, for where dry runs are refused."""
    return pod_resources(render_probe_pod(job, role, settings)["spec"])


def role_request(
    job: JobView, role: str, resources: Resources, settings: LaunchSettings, told: Placing | None = None
) -> RoleRequest:
    """A role as far as placing it needs. `told`: where its pods may stand, if that is known better than by the
    template. Raises ValueError for an unknown role."""
    sample = _sample(job, role, settings, job.status.attempt, [])
    spec, affinity = sample["spec"], sample["spec"].get("affinity") or {}
    where = told or placing(spec)
    effective = _effective(job, effective_roles(spec_of(job)), role)
    ports, coordinator_ports = _ports(job, effective, settings, job.status.attempt)
    return RoleRequest(
        name=role,
        replicas=effective.replicas,
        first_rank=effective.offset,
        resources=resources,
        accelerator=effective.accelerator.resource if effective.gpus else "",
        gpus=effective.gpus,
        node_selector=where.node_selector,
        terms=where.terms,
        tolerations=where.tolerations,
        host_ports=ports,
        coordinator_ports=coordinator_ports,
        claims_devices=effective.claims_devices,
        spread_hosts=bool(ports) or keeps_apart(affinity, sample["metadata"]["labels"]),
        terminating=spec.get("activeDeadlineSeconds") is not None,
    )


def draft_record(
    job: JobView,
    grant: Grant,
    probe: ProbeResult | None,
    *,
    build: str,
    dead: Iterable[str],
    settings: LaunchSettings,
) -> RecordDraft:
    """The record with which the granted attempt opens."""
    told = probe.resources if probe else {}
    resources = {
        role.name: told[role.name] if role.name in told else template_resources(job, role.name, settings)
        for role in spec_of(job).roles
    }
    ports = {role.name: _ports(job, role, settings, grant.attempt) for role in effective_roles(spec_of(job))}
    return RecordDraft(
        job_uid=job.uid,
        attempt=grant.attempt,
        roles=_record_roles(effective_roles(spec_of(job)), resources, ports),
        nodes=grant.nodes or ("",) * total_pods(spec_of(job)),
        spec_hash=job.spec_hash,
        build=build,
        restarts=job.status.restarts.total,
        dead=tuple(sorted(dead)),
        host_ports=settings.host_ports,
        claim=claim_name(job),
        directory=checkpoint_directory(job),
    )


def _sample(job: JobView, role: str, settings: LaunchSettings, attempt: int, won: list[str], *, index: int = 0) -> Json:
    roles = effective_roles(spec_of(job))
    draft = RecordDraft(job.uid, attempt, _record_roles(roles, {}, {}), (), job.spec_hash, "")
    rank = _effective(job, roles, role).rank(index)
    return pod(gang(job, draft, settings, roles=roles), seat(draft, rank), won)


def _ports(job: JobView, role: EffectiveRole, settings: LaunchSettings, attempt: int) -> Ports:
    """What the role's pods take of their nodes. Only replica 0 may listen for all; the others are like its last."""
    first = host_ports(_sample(job, role.name, settings, attempt, [])["spec"])
    if not first or role.replicas == 1:
        return first, ()
    each = host_ports(_sample(job, role.name, settings, attempt, [], index=role.replicas - 1)["spec"])
    return each, tuple(port for port in first if port not in each)


def _effective(job: JobView, roles: Iterable[EffectiveRole], name: str) -> EffectiveRole:
    for role in roles:
        if role.name == name:
            return role
    raise ValueError(f"{job.key}: there is no role {name}")


def _record_roles(
    roles: Iterable[EffectiveRole],
    resources: Mapping[str, Resources],
    ports: Mapping[str, Ports],
) -> tuple[RecordRole, ...]:
    return tuple(
        RecordRole(
            name=role.name,
            replicas=role.replicas,
            completes=role.completes,
            trainer=role.trainer,
            framework=role.framework.value,
            gpus=role.gpus,
            processes=role.processes_per_pod,
            resources=resources.get(role.name, ()),
            host_ports=ports.get(role.name, _NO_PORTS)[0],
            coordinator_ports=ports.get(role.name, _NO_PORTS)[1],
        )
        for role in roles
    )
