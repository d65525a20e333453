"""A raw pod as a frozen view: most of what the operator ever hears is this, so it is read with care for every cycle."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from sys import intern
from typing import NamedTuple

from trainyard.api.constants import HOSTS_VOLUME, LABEL_ATTEMPT, LABEL_INDEX, LABEL_JOB, LABEL_RANK, LABEL_ROLE, TRAINER
from trainyard.model.podspec import checkpoint_place, host_ports, node_terms, pinned_node, pod_resources
from trainyard.model.raw import NONE, Raw, instant, left_behind, number, owner_uid
from trainyard.model.views import (
    INVALID_IMAGE,
    ITS_TURN,
    ContainerWait,
    PodPhase,
    PodView,
    Resources,
    TrainerState,
)

MAX_TEXT = 1024
MAX_WORD = 253
MAX_NAMES = 16
MAX_PORTS = 64
MIRROR = "kubernetes.io/config.mirror"

_NOT_STARTED = TrainerState()
_RUNNING = TrainerState(started=True)
_PHASES = {phase.value: phase for phase in PodPhase}


def pod_view(raw: Raw, previous: PodView | None = None) -> PodView:
    """Any pod. Trainer, role and rank are read only where a TrainingJob controls it: strangers' labels mean nothing.

    `previous` saves reading a packed spec that is still the same.
    """
    meta, status = raw["metadata"], raw.get("status") or NONE
    spec = _pod_spec(raw["spec"], previous)
    labels = meta.get("labels") or NONE
    job_uid = owner_uid(meta)
    ready, disruption, unschedulable = _pod_conditions(status.get("conditions") or ())
    deletion = meta.get("deletionTimestamp")
    finalizers = meta.get("finalizers")
    phase = _PHASES.get(status.get("phase", ""), PodPhase.PENDING)
    return PodView(
        namespace=intern(meta["namespace"]),
        name=meta["name"],
        uid=meta.get("uid", ""),
        resource_version=number(meta.get("resourceVersion"), 0),
        job=intern(labels.get(LABEL_JOB, "")),
        job_uid=job_uid,
        left_behind="" if job_uid else left_behind(meta),
        role=intern(labels.get(LABEL_ROLE, "")) if job_uid else "",
        index=number(labels.get(LABEL_INDEX), -1) if job_uid else -1,
        rank=number(labels.get(LABEL_RANK), -1) if job_uid else -1,
        incarnation=number(labels.get(LABEL_ATTEMPT), -1) if job_uid else -1,
        phase=phase,
        node=spec.node,
        nominated=intern(status.get("nominatedNodeName") or ""),
        created=instant(meta.get("creationTimestamp")),
        deletion=instant(deletion) if deletion else None,
        deletion_grace=meta.get("deletionGracePeriodSeconds") or 0,
        ready=ready,
        trainer=_trainer(spec.trainer_name, status) if job_uid else _NOT_STARTED,
        held_up=_held_up(spec.trainer_name, status) if job_uid and phase is PodPhase.PENDING else None,
        disruption=disruption,
        reason=intern((status.get("reason") or "")[:MAX_WORD]),
        message=(status.get("message") or "")[:MAX_TEXT],
        unschedulable=unschedulable,
        gates=spec.gates,
        finalizers=tuple(finalizers[:MAX_NAMES]) if finalizers else (),
        resources=spec.resources,
        pinned=spec.pinned,
        claim=spec.claim,
        directory=spec.directory,
        host_ports=spec.host_ports,
        resident=not job_uid and _is_resident(meta),
        trainer_name=spec.trainer_name,
        spec_hash=spec.spec_hash,
    )


def _is_resident(meta: Raw) -> bool:
    """A DaemonSet's pod, or the mirror of a static one: it is there for as long as its node."""
    if MIRROR in (meta.get("annotations") or NONE):
        return True
    owners = meta.get("ownerReferences") or ()
    return any(o.get("controller") and o.get("kind") in ("DaemonSet", "Node") for o in owners)


def _pod_conditions(conditions: Iterable[Raw]) -> tuple[bool, str, str]:
    ready, disruption, unschedulable = False, "", ""
    for condition in conditions:
        kind, truth = condition.get("type"), condition.get("status")
        if kind == "Ready":
            ready = truth == "True"
        elif kind == "DisruptionTarget" and truth == "True":
            disruption = (condition.get("reason") or "Unknown")[:MAX_WORD]
        elif kind == "PodScheduled" and truth == "False" and condition.get("reason") == "Unschedulable":
            unschedulable = (condition.get("message") or "Unschedulable")[:MAX_TEXT]
    return ready, disruption, unschedulable


class _PodSpec(NamedTuple):
    """What a pod's view holds of its spec, under the same names, so that a view can stand in for it."""

    node: str
    gates: tuple[str, ...]
    resources: Resources
    pinned: str
    claim: str
    directory: str
    host_ports: tuple[int, ...]
    trainer_name: str
    spec_hash: int


def _pod_spec(raw: Raw | bytes, previous: PodView | None) -> _PodSpec | PodView:
    packed = hash(raw) if isinstance(raw, bytes) else 0
    if packed and previous is not None and previous.spec_hash == packed:
        return previous
    spec: Raw = json.loads(raw) if isinstance(raw, bytes) else raw
    affinity, gates = spec.get("affinity"), spec.get("schedulingGates")
    trainer = _trainer_name(spec.get("containers") or ())
    claim, directory = checkpoint_place(spec, trainer)
    return _PodSpec(
        node=intern(spec.get("nodeName") or ""),
        gates=tuple(g["name"] for g in gates[:MAX_NAMES]) if gates else (),
        resources=pod_resources(spec),
        pinned=intern(pinned_node(node_terms(affinity))) if affinity else "",
        claim=intern(claim),
        directory=intern(directory),
        host_ports=host_ports(spec)[:MAX_PORTS],
        trainer_name=trainer,
        spec_hash=packed,
    )


def _trainer_name(containers: Sequence[Raw]) -> str:
    """The one that was given the gang's hosts; by the template's rule where none was. A webhook may have put a
    container of its own before it."""
    for container in containers:
        if any(mount.get("name") == HOSTS_VOLUME for mount in container.get("volumeMounts") or ()):
            return intern(container["name"])
    names = [container["name"] for container in containers]
    return TRAINER if TRAINER in names else intern(names[0]) if names else ""


def _trainer(name: str, status: Raw) -> TrainerState:
    for container in status.get("containerStatuses") or ():
        if container.get("name") == name:
            return _trainer_state(container.get("state") or NONE, container.get("lastState") or NONE)
    return _NOT_STARTED


def _held_up(trainer: str, status: Raw) -> ContainerWait | None:
    """Asked of pending pods alone: until every container has started once, its pod is one."""
    found: ContainerWait | None = None
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (container.get("state") or NONE).get("waiting") or NONE
        reason, name = waiting.get("reason"), container.get("name") or ""
        if not reason or reason in ITS_TURN or name == trainer:
            continue
        wait = ContainerWait(intern(name[:MAX_WORD]), *_words(waiting))
        if reason == INVALID_IMAGE:
            return wait
        found = found or wait
    return found


def _trainer_state(state: Raw, last: Raw) -> TrainerState:
    if "running" in state:
        return _RUNNING
    ended = state.get("terminated")
    if ended:
        # A container that never came up is told as terminated with no start, or one at the epoch.
        started = bool(ended.get("startedAt")) and not ended["startedAt"].startswith("1970-")
        return TrainerState(started, ended.get("exitCode", 0), *_words(ended))
    waiting = state.get("waiting")
    return TrainerState("terminated" in last, None, *_words(waiting)) if waiting else _NOT_STARTED


def _words(state: Raw) -> tuple[str, str]:
    return intern((state.get("reason") or "")[:MAX_WORD]), (state.get("message") or "")[:MAX_TEXT]
