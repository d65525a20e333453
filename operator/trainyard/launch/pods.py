"""The manifests of an attempt's pods, from the job's templates and the attempt's record. Pure: sees no client.

The template is never rewritten: ours is laid underneath, and where both speak the template wins, visibly
(`overridden`).
Results share structure with the template, so they are to be encoded, not changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trainyard.api.constants import (
    API_VERSION,
    CHECKPOINT_VOLUME,
    HOSTS_VOLUME,
    KIND,
    LABEL_ATTEMPT,
    LABEL_INDEX,
    LABEL_JOB,
    LABEL_JOB_UID,
    LABEL_NAMED,
    LABEL_RANK,
    LABEL_ROLE,
)
from trainyard.api.effective import EffectiveRole, effective_roles, trainer_index
from trainyard.api.names import hosts_name, pod_name, service_name, uid5
from trainyard.api.types import Framework, JobSpec, Placement
from trainyard.launch.affinity import among, avoiding, disliking, pinned, together
from trainyard.launch.claims import checkpoint_path, claim_name
from trainyard.launch.place import HOSTS_KEY, LIST_KEY, Place
from trainyard.launch.settings import LaunchSettings
from trainyard.launch.trainer import (
    HOSTS_PATH,
    SHM_PATH,
    SHM_VOLUME,
    Wants,
    mounted,
    telling,
    trainer,
)
from trainyard.launch.worlds import Seat, address, listens, named, port, seat, spec_of
from trainyard.model.cluster import NOTHING_AVOIDED, Avoided
from trainyard.model.record import RecordDraft
from trainyard.model.views import JobView

Raw = Mapping[str, Any]
Json = dict[str, Any]

UNDISTURBED: Mapping[str, str] = {
    "karpenter.sh/do-not-disrupt": "true",
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
}
"""Autoscalers do not move a rank to save a node."""


@dataclass(frozen=True, slots=True)
class Gang:
    """One attempt of a job, looked up once for all of its pods."""

    job: JobView
    spec: JobSpec
    roles: Mapping[str, EffectiveRole]
    draft: RecordDraft
    settings: LaunchSettings
    short: str
    avoid: Avoided


def gang(
    job: JobView,
    draft: RecordDraft,
    settings: LaunchSettings,
    avoid: Avoided = NOTHING_AVOIDED,
    *,
    roles: Iterable[EffectiveRole] | None = None,
) -> Gang:
    """Raises ValueError for a job that is not valid, or a record of other roles than the job's."""
    spec = spec_of(job)
    by_name = {role.name: role for role in (effective_roles(spec) if roles is None else roles)}
    if unknown := [role.name for role in draft.roles if role.name not in by_name]:
        raise ValueError(f"{job.key}: the record of attempt {draft.attempt} has roles that the spec has not: {unknown}")
    return Gang(job, spec, by_name, draft, settings, uid5(job.uid), avoid)


def render_pods(
    job: JobView, record: RecordDraft, ranks: Iterable[int], settings: LaunchSettings, avoid: Avoided = NOTHING_AVOIDED
) -> Iterator[Json]:
    """The pods of these ranks. `avoid` names nodes that a Delegated gang keeps off."""
    all_of_it = gang(job, record, settings, avoid)
    for rank in ranks:
        yield pod(all_of_it, seat(record, rank), [])


def render_pod(
    job: JobView, record: RecordDraft, rank: int, settings: LaunchSettings, avoid: Avoided = NOTHING_AVOIDED
) -> Json:
    """The pod of one rank."""
    return next(render_pods(job, record, (rank,), settings, avoid))


def pod(of: Gang, place: Seat, won: list[str]) -> Json:
    """One pod; what its template overrides is noted in `won`."""
    role = of.roles[place.role.name]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _metadata(of, place, role.template, won),
        "spec": _spec(of, place, role, won),
    }


def owner_reference(job: JobView) -> Json:
    """Ours to control and to collect, and no obstacle to the job's deletion."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": job.name,
        "uid": job.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def inherited(source: Mapping[str, str], keys: Iterable[str]) -> dict[str, str]:
    """The job's labels or annotations that the settings name."""
    return {key: source[key] for key in keys if key in source}


def _metadata(of: Gang, place: Seat, template: Raw, won: list[str]) -> Json:
    own = template.get("metadata") or {}
    notes = own.get("annotations") or {}
    won.extend(f"annotation {key}" for key, value in UNDISTURBED.items() if notes.get(key, value) != value)
    labels = {
        **inherited(of.job.labels, of.settings.inherit_labels),
        **(own.get("labels") or {}),
        LABEL_JOB: of.job.name,
        LABEL_JOB_UID: of.job.uid,
        LABEL_ROLE: place.role.name,
        LABEL_INDEX: str(place.index),
        LABEL_RANK: str(place.rank),
        LABEL_ATTEMPT: str(of.draft.attempt),
    }
    if named(of.job, place):
        labels[LABEL_NAMED] = "true"
    return {
        "name": pod_name(of.job.name, of.short, of.draft.attempt, place.role.name, place.index),
        "namespace": of.job.namespace,
        "labels": labels,
        "annotations": {
            **UNDISTURBED,
            **inherited(of.job.annotations, of.settings.inherit_annotations),
            **notes,
        },
        "ownerReferences": [owner_reference(of.job)],
    }


def _spec(of: Gang, place: Seat, role: EffectiveRole, won: list[str]) -> Json:
    own: Raw = role.template["spec"]
    wants = _wants(of, place, role, won)
    spec: Json = {
        **own,
        "hostname": pod_name(of.job.name, of.short, of.draft.attempt, role.name, place.index),
        "subdomain": service_name(of.job.name, of.short),
        "restartPolicy": "Never",
        "containers": _containers(own, role, wants, won),
        "volumes": [*(own.get("volumes") or ()), *_volumes(of, wants)],
    }
    if inits := own.get("initContainers"):
        spec["initContainers"] = [telling(container, won) for container in inits]
    _settle(spec, "automountServiceAccountToken", False, won)
    if own.get("hostNetwork"):
        _settle(spec, "dnsPolicy", "ClusterFirstWithHostNet", won)
    if of.spec.scheduling.priority_class_name:
        spec["priorityClassName"] = of.spec.scheduling.priority_class_name
    if affinity := _affinity(of, place, own.get("affinity") or {}):
        spec["affinity"] = affinity
    if role.gpus:
        _to_accelerators(spec, role, won)
    return spec


def _settle(spec: Json, key: str, value: Any, won: list[str]) -> None:
    if spec.setdefault(key, value) != value:
        won.append(key)


def _wants(of: Gang, place: Seat, role: EffectiveRole, won: list[str]) -> Wants:
    own: Raw = role.template["spec"]
    container = own["containers"][trainer_index(role.template)]
    checkpoints = checkpoint_path(of.job)
    shm, volume = not own.get("hostIPC") and not mounted(container, SHM_PATH), not mounted(container, checkpoints)
    won.extend(f"volume at {path}" for path, ours in ((SHM_PATH, shm), (checkpoints, volume)) if not ours)
    met_at = port(of.job, of.draft, role.template, of.settings)
    in_node_network = bool(own.get("hostNetwork")) and listens(place)
    return Wants(
        role=role,
        place=_place(of, place),
        host_port=met_at if in_node_network else 0,
        checkpoint_path=checkpoints if volume else "",
        shm=shm,
    )


def _place(of: Gang, place: Seat) -> Place:
    job, attempt = of.job, of.draft.attempt
    checkpoint = of.spec.checkpoint
    listed = place.framework is Framework.CUSTOM
    return Place(
        seat=place,
        job=job.name,
        job_uid=job.uid,
        namespace=job.namespace,
        attempt=attempt,
        restarts=of.draft.restarts,
        size=of.draft.size,
        coordinator=address(job, attempt, place.coordinator.name, 0),
        coordinator_port=port(job, of.draft, of.roles[place.coordinator.name].template, of.settings),
        run_id=f"{job.uid}-{attempt}",
        hosts_map=hosts_name(job.name, of.short, attempt),
        hosts_file=f"{HOSTS_PATH}/{LIST_KEY if listed else HOSTS_KEY}",
        checkpoint_dir=f"{checkpoint_path(job).rstrip('/')}/{checkpoint.directory or job.name}" if checkpoint else "",
    )


def _containers(own: Raw, role: EffectiveRole, wants: Wants, won: list[str]) -> list[Json]:
    at = trainer_index(role.template)
    containers = [telling(container, won) for container in own["containers"]]
    containers[at] = trainer(containers[at], wants, won)
    return containers


def _volumes(of: Gang, wants: Wants) -> list[Json]:
    # Not optional: a pod made late, for an attempt that is closed already, must never start.
    hosts = {"name": wants.place.hosts_map, "optional": False}
    volumes: list[Json] = [{"name": HOSTS_VOLUME, "configMap": hosts}]
    if wants.shm:
        volumes.append({"name": SHM_VOLUME, "emptyDir": {"medium": "Memory"}})
    if wants.checkpoint_path:
        volumes.append({"name": CHECKPOINT_VOLUME, "persistentVolumeClaim": {"claimName": claim_name(of.job)}})
    return volumes


def _affinity(of: Gang, place: Seat, own: Raw) -> Json:
    node = of.draft.nodes[place.rank] if of.draft.nodes else ""
    if node:
        return pinned(own, node)
    # Placed by another: what our scheduler would have seen to is said to theirs.
    affinity = disliking(avoiding(own, of.avoid.failed), of.avoid.away)
    if of.spec.scheduling.placement is Placement.BUILTIN:
        affinity = among(affinity, of.settings.owned_nodes)
    topology = of.spec.scheduling.topology
    if topology is not None:
        keys = dict(of.settings.levels)
        mates = {LABEL_JOB_UID: of.job.uid, LABEL_ATTEMPT: str(of.draft.attempt)}
        required, preferred = topology.required or "", topology.preferred or ""
        # A level that the settings do not know is taken for a node's label: nothing is dropped in silence.
        affinity = together(affinity, mates, keys.get(required, required), keys.get(preferred, preferred))
    return affinity


def _to_accelerators(spec: Json, role: EffectiveRole, won: list[str]) -> None:
    selector = role.accelerator.node_selector or {}
    own = spec.get("nodeSelector") or {}
    won.extend(f"nodeSelector {key}" for key in selector if own.get(key, selector[key]) != selector[key])
    if selector:
        spec["nodeSelector"] = {**selector, **own}
    present = list(spec.get("tolerations") or ())
    ours = [t.model_dump(mode="json", by_alias=True, exclude_none=True) for t in role.accelerator.tolerations or ()]
    if ours:
        spec["tolerations"] = present + [toleration for toleration in ours if toleration not in present]
