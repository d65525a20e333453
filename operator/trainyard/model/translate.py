"""Raw objects of the API server as frozen views: each is translated once and dropped. Pure; decides nothing.

Strings that thousands of objects share are interned and texts are cut, so that a store of 10,000 pods stays small
whatever tenants write into them. What is odd is read as absent; only a record, or a job's status, that cannot be read
raises (ValueError), because guessing there would rewrite history.
"""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from sys import intern
from typing import Any, NamedTuple

from trainyard.api.constants import (
    GROUP,
    KIND,
    LABEL_ATTEMPT,
    LABEL_INDEX,
    LABEL_JOB,
    LABEL_JOB_UID,
    LABEL_RANK,
    LABEL_ROLE,
    TRAINER,
)
from trainyard.api.hashing import attempt_fields_hash
from trainyard.api.types import JobSpec
from trainyard.api.validation import InvalidSpec, read_job
from trainyard.model.instants import parse_instant
from trainyard.model.podspec import (
    host_ports,
    node_terms,
    pinned_node,
    pod_resources,
    selector_terms,
    tolerations,
)
from trainyard.model.record import RECORD_KEY, Record, decode_record
from trainyard.model.resources import resources
from trainyard.model.status import parse_status
from trainyard.model.views import (
    ChildView,
    ClaimView,
    Instant,
    JobView,
    NamespaceView,
    NodeReady,
    NodeView,
    PodPhase,
    PodView,
    PriorityClassView,
    Problem,
    QuotaView,
    Resources,
    Taint,
    TrainerState,
    VolumeView,
)

__all__ = [
    "binds_late",
    "child_view",
    "claim_view",
    "job_view",
    "namespace_view",
    "node_terms",
    "node_view",
    "pod_view",
    "priority_class_view",
    "quota_view",
    "record_view",
    "tolerations",
    "volume_view",
]

Raw = Mapping[str, Any]

MAX_TEXT = 1024
MAX_WORD = 253
MAX_NAMES = 16
MAX_PORTS = 64
MIRROR = "kubernetes.io/config.mirror"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

_NONE: Raw = {}
_NOT_STARTED = TrainerState()
_RUNNING = TrainerState(started=True)
_PHASES = {phase.value: phase for phase in PodPhase}
# A quota with this scope still binds every pod for what makes a pod be of it; the count of pods it does not.
_NOT_BEST_EFFORT_KEYS = frozenset(("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"))


def pod_view(raw: Raw, previous: PodView | None = None) -> PodView:
    """Any pod. Trainer, role and rank are read only where a TrainingJob controls it: strangers' labels mean nothing.

    `previous` saves reading a packed spec that is still the same.
    """
    meta, status = raw["metadata"], raw.get("status") or _NONE
    spec = _pod_spec(raw["spec"], previous)
    labels = meta.get("labels") or _NONE
    job_uid = _owner_uid(meta)
    ready, disruption, unschedulable, since = _pod_conditions(status.get("conditions") or ())
    deletion = meta.get("deletionTimestamp")
    finalizers = meta.get("finalizers")
    return PodView(
        namespace=intern(meta["namespace"]),
        name=meta["name"],
        uid=meta.get("uid", ""),
        resource_version=_number(meta.get("resourceVersion"), 0),
        job=intern(labels.get(LABEL_JOB, "")),
        job_uid=job_uid,
        left_behind="" if job_uid else _left_behind(meta),
        role=intern(labels.get(LABEL_ROLE, "")) if job_uid else "",
        index=_number(labels.get(LABEL_INDEX), -1) if job_uid else -1,
        rank=_number(labels.get(LABEL_RANK), -1) if job_uid else -1,
        incarnation=_number(labels.get(LABEL_ATTEMPT), -1) if job_uid else -1,
        phase=_PHASES.get(status.get("phase", ""), PodPhase.PENDING),
        node=spec.node,
        nominated=intern(status.get("nominatedNodeName") or ""),
        created=_instant(meta.get("creationTimestamp")),
        deletion=_instant(deletion) if deletion else None,
        deletion_grace=meta.get("deletionGracePeriodSeconds") or 0,
        ready=ready,
        trainer=_trainer(spec.trainer_name, status) if job_uid else _NOT_STARTED,
        disruption=disruption,
        reason=intern((status.get("reason") or "")[:MAX_WORD]),
        message=(status.get("message") or "")[:MAX_TEXT],
        unschedulable=unschedulable,
        unschedulable_since=since,
        gates=spec.gates,
        finalizers=tuple(finalizers[:MAX_NAMES]) if finalizers else (),
        resources=spec.resources,
        priority=spec.priority,
        pinned=spec.pinned,
        host_ports=spec.host_ports,
        resident=not job_uid and _is_resident(meta),
        trainer_name=spec.trainer_name,
        spec_hash=spec.spec_hash,
    )


def node_view(raw: Raw) -> NodeView:
    """A node. One that has not told yet whether it is ready counts as unknown."""
    meta, spec, status = raw["metadata"], raw.get("spec") or _NONE, raw.get("status") or _NONE
    told = next((c.get("status") for c in status.get("conditions") or () if c.get("type") == "Ready"), None)
    return NodeView(
        name=intern(meta["name"]),
        uid=meta.get("uid", ""),
        labels={intern(k): intern(v) for k, v in (meta.get("labels") or _NONE).items()},
        taints=tuple(
            Taint(intern(t["key"]), t.get("value") or "", intern(t["effect"])) for t in spec.get("taints") or ()
        ),
        unschedulable=bool(spec.get("unschedulable")),
        ready={"True": NodeReady.TRUE, "False": NodeReady.FALSE}.get(told or "", NodeReady.UNKNOWN),
        allocatable=_shared_vector(tuple((status.get("allocatable") or _NONE).items())),
        deleting="deletionTimestamp" in meta,
    )


def claim_view(raw: Raw, late_classes: frozenset[str] = frozenset()) -> ClaimView:
    """A PersistentVolumeClaim; `late_classes` names the storage classes that bind at the first consumer."""
    meta, spec, status = raw["metadata"], raw.get("spec") or _NONE, raw.get("status") or _NONE
    phase = status.get("phase") or "Pending"
    return ClaimView(
        namespace=intern(meta["namespace"]),
        name=meta["name"],
        uid=meta.get("uid", ""),
        owner_uid=next((o["uid"] for o in meta.get("ownerReferences") or () if o.get("controller")), ""),
        phase=phase,
        volume=spec.get("volumeName") or "",
        access_modes=tuple(spec.get("accessModes") or ()),
        deleting="deletionTimestamp" in meta,
        wait_for_consumer=phase == "Pending" and spec.get("storageClassName") in late_classes,
    )


def binds_late(raw: Raw) -> bool:
    """Whether a StorageClass binds its claims only at their first consumer."""
    return bool(raw.get("volumeBindingMode") == "WaitForFirstConsumer")


def volume_view(raw: Raw) -> VolumeView:
    """A PersistentVolume."""
    selector = ((raw.get("spec") or _NONE).get("nodeAffinity") or _NONE).get("required")
    return VolumeView(raw["metadata"]["name"], selector_terms(selector) if selector else ())


def child_view(raw: Raw) -> ChildView:
    """A ConfigMap or Service, whole or metadata only."""
    meta = raw["metadata"]
    return ChildView(
        namespace=intern(meta["namespace"]),
        name=meta["name"],
        uid=meta.get("uid", ""),
        owner_uid=_owner_uid(meta),
        attempt=_number((meta.get("labels") or _NONE).get(LABEL_ATTEMPT), -1),
        deleting="deletionTimestamp" in meta,
        left_behind=_left_behind(meta),
    )


def record_view(raw: Raw) -> Record:
    """The record in a ConfigMap. Raises ValueError where it is not readable: it is never guessed."""
    meta = raw["metadata"]
    packed = (raw.get("binaryData") or _NONE).get(RECORD_KEY)
    if packed is None:
        raise ValueError(f"record {meta['name']} is not readable: it has no {RECORD_KEY}")
    try:
        data = b64decode(packed, validate=True)
    except binascii.Error as error:
        raise ValueError(f"record {meta['name']} is not readable: {error!r}") from error
    return decode_record(
        data,
        name=meta["name"],
        uid=meta.get("uid", ""),
        created=_instant(meta.get("creationTimestamp")),
        deleting="deletionTimestamp" in meta,
    )


def quota_view(raw: Raw) -> QuotaView | None:
    """A ResourceQuota as far as it binds every pod of a job; None where its scopes choose among pods."""
    meta, spec, status = raw["metadata"], raw.get("spec") or _NONE, raw.get("status") or _NONE
    selector = (spec.get("scopeSelector") or _NONE).get("matchExpressions") or ()
    scopes = {*(spec.get("scopes") or ()), *(s.get("scopeName") for s in selector)}
    if not scopes <= {"NotTerminating", "NotBestEffort"}:
        return None
    hard, used = status.get("hard") or spec.get("hard") or _NONE, status.get("used") or _NONE
    if "NotBestEffort" in scopes:
        hard = {name: value for name, value in hard.items() if name in _NOT_BEST_EFFORT_KEYS}
    return QuotaView(
        namespace=meta["namespace"],
        name=meta["name"],
        hard=resources(hard),
        used=resources({name: value for name, value in used.items() if name in hard}),
    )


def priority_class_view(raw: Raw) -> PriorityClassView:
    return PriorityClassView(raw["metadata"]["name"], raw.get("value") or 0, bool(raw.get("globalDefault")))


def namespace_view(raw: Raw) -> NamespaceView:
    meta = raw["metadata"]
    terminating = "deletionTimestamp" in meta or (raw.get("status") or _NONE).get("phase") == "Terminating"
    return NamespaceView(intern(meta["name"]), terminating)


def job_view(raw: Raw, previous: JobView | None = None) -> JobView:
    """A TrainingJob. An unsound spec becomes problems; a status that cannot be read raises ValueError.

    `previous` saves judging the spec again: the same UID and generation have the same spec.
    """
    meta, spec = raw["metadata"], raw.get("spec") or _NONE
    generation = meta.get("generation") or 0
    uid = meta.get("uid", "")
    if previous is not None and (previous.uid, previous.generation) == (uid, generation):
        parsed, spec_hash, problems = previous.spec, previous.spec_hash, previous.problems
    else:
        parsed, spec_hash, problems = _read_spec(meta["name"], spec)
    try:
        status = parse_status(raw.get("status") or _NONE)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"status of {meta['namespace']}/{meta['name']} is not readable: {error!r}") from error
    deletion = meta.get("deletionTimestamp")
    return JobView(
        namespace=intern(meta["namespace"]),
        name=meta["name"],
        uid=uid,
        resource_version=meta.get("resourceVersion", ""),
        generation=generation,
        created=_instant(meta.get("creationTimestamp")),
        spec=parsed,
        status=status,
        spec_hash=spec_hash,
        problems=problems,
        deletion=_instant(deletion) if deletion else None,
        orphan="orphan" in (meta.get("finalizers") or ()),
        labels=dict(meta.get("labels") or _NONE),
        annotations={k: v for k, v in (meta.get("annotations") or _NONE).items() if k != LAST_APPLIED},
        managed_by=managed if isinstance(managed := spec.get("managedBy"), str) else "",
        suspend=spec.get("suspend") is True,
    )


def _read_spec(name: str, spec: Raw) -> tuple[JobSpec | None, str, tuple[Problem, ...]]:
    try:
        parsed = read_job(name, spec)
    except InvalidSpec as error:
        return None, "", tuple(Problem(p.path, f"{p.what}; {p.mend}" if p.mend else p.what) for p in error.problems)
    return parsed, attempt_fields_hash(parsed), ()


def _owner_uid(meta: Raw) -> str:
    """UID of the controller owner, where that is a TrainingJob."""
    for owner in meta.get("ownerReferences") or ():
        if owner.get("controller"):
            ours = owner.get("kind") == KIND and owner.get("apiVersion", "").partition("/")[0] == GROUP
            return intern(owner["uid"]) if ours else ""
    return ""


def _left_behind(meta: Raw) -> str:
    """The label with the UID of its job, where nobody controls the object any more."""
    labels = meta.get("labels") or _NONE
    if LABEL_JOB not in labels or any(owner.get("controller") for owner in meta.get("ownerReferences") or ()):
        return ""
    return intern(labels.get(LABEL_JOB_UID, ""))


def _is_resident(meta: Raw) -> bool:
    """A DaemonSet's pod, or the mirror of a static one: it is there for as long as its node."""
    if MIRROR in (meta.get("annotations") or _NONE):
        return True
    owners = meta.get("ownerReferences") or ()
    return any(o.get("controller") and o.get("kind") in ("DaemonSet", "Node") for o in owners)


def _pod_conditions(conditions: Iterable[Raw]) -> tuple[bool, str, str, Instant | None]:
    ready, disruption, unschedulable, since = False, "", "", None
    for condition in conditions:
        kind, truth = condition.get("type"), condition.get("status")
        if kind == "Ready":
            ready = truth == "True"
        elif kind == "DisruptionTarget" and truth == "True":
            disruption = (condition.get("reason") or "Unknown")[:MAX_WORD]
        elif kind == "PodScheduled" and truth == "False" and condition.get("reason") == "Unschedulable":
            unschedulable = (condition.get("message") or "Unschedulable")[:MAX_TEXT]
            since = _instant(condition.get("lastTransitionTime"))
    return ready, disruption, unschedulable, since


class _PodSpec(NamedTuple):
    """What a pod's view holds of its spec, under the same names, so that a view can stand in for it."""

    node: str
    gates: tuple[str, ...]
    resources: Resources
    priority: int
    pinned: str
    host_ports: tuple[int, ...]
    trainer_name: str
    spec_hash: int


def _pod_spec(raw: Raw | bytes, previous: PodView | None) -> _PodSpec | PodView:
    packed = hash(raw) if isinstance(raw, bytes) else 0
    if packed and previous is not None and previous.spec_hash == packed:
        return previous
    spec: Raw = json.loads(raw) if isinstance(raw, bytes) else raw
    affinity, gates = spec.get("affinity"), spec.get("schedulingGates")
    return _PodSpec(
        node=intern(spec.get("nodeName") or ""),
        gates=tuple(g["name"] for g in gates[:MAX_NAMES]) if gates else (),
        resources=pod_resources(spec),
        priority=spec.get("priority") or 0,
        pinned=intern(pinned_node(node_terms(affinity))) if affinity else "",
        host_ports=host_ports(spec)[:MAX_PORTS],
        trainer_name=_trainer_name(spec.get("containers") or ()),
        spec_hash=packed,
    )


def _trainer_name(containers: Sequence[Raw]) -> str:
    names = [container["name"] for container in containers]
    return TRAINER if TRAINER in names else intern(names[0]) if names else ""


def _trainer(name: str, status: Raw) -> TrainerState:
    for container in status.get("containerStatuses") or ():
        if container.get("name") == name:
            return _trainer_state(container.get("state") or _NONE, container.get("lastState") or _NONE)
    return _NOT_STARTED


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


def _number(text: Any, absent: int) -> int:
    # Labels are the tenants' to spoil: only plain short decimals are numbers.
    if isinstance(text, str) and len(text) <= 20 and text.isascii() and text.isdigit():
        return int(text)
    return absent


@lru_cache(maxsize=4096)
def _shared_vector(items: tuple[tuple[str, str], ...]) -> Resources:
    return resources(dict(items))


@lru_cache(maxsize=4096)
def _instant(text: str | None) -> Instant:
    return parse_instant(text) if text else 0.0
