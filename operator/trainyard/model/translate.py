"""Raw objects of the API server as frozen views: each is translated once and dropped. Pure; decides nothing.

Strings that thousands of objects share are interned and texts are cut, so that a store of 10,000 pods stays small
whatever tenants write into them. What is odd is read as absent; only a record, or a job's status, that cannot be read
raises (ValueError), because guessing there would rewrite history.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from functools import lru_cache
from sys import intern

from trainyard.api.constants import LABEL_ATTEMPT
from trainyard.api.hashing import attempt_fields_hash
from trainyard.api.types import JobSpec
from trainyard.api.validation import InvalidSpec, read_job
from trainyard.model.podspec import node_terms, selector_terms, tolerations
from trainyard.model.raw import NONE, Raw, instant, left_behind, number, owner_uid
from trainyard.model.record import RECORD_KEY, Record, decode_record
from trainyard.model.resources import resources
from trainyard.model.status import parse_status
from trainyard.model.translate_pod import pod_view
from trainyard.model.views import (
    ChildView,
    ClaimView,
    ClassTerm,
    JobView,
    NamespaceView,
    NodeReady,
    NodeView,
    PriorityClassView,
    Problem,
    QuotaView,
    Resources,
    Taint,
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

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

_PRIORITY_CLASS = "PriorityClass"
_KINDS = frozenset(("Terminating", "NotTerminating", "BestEffort", "NotBestEffort"))


def node_view(raw: Raw) -> NodeView:
    """A node. One that has not told yet whether it is ready counts as unknown."""
    meta, spec, status = raw["metadata"], raw.get("spec") or NONE, raw.get("status") or NONE
    told = next((c for c in status.get("conditions") or () if c.get("type") == "Ready"), NONE)
    ready = {"True": NodeReady.TRUE, "False": NodeReady.FALSE}.get(told.get("status") or "", NodeReady.UNKNOWN)
    return NodeView(
        name=intern(meta["name"]),
        uid=meta.get("uid", ""),
        labels={intern(k): intern(v) for k, v in (meta.get("labels") or NONE).items()},
        taints=tuple(
            Taint(intern(t["key"]), t.get("value") or "", intern(t["effect"])) for t in spec.get("taints") or ()
        ),
        unschedulable=bool(spec.get("unschedulable")),
        ready=ready,
        silent_since=instant(told.get("lastTransitionTime")) if ready is NodeReady.UNKNOWN else 0.0,
        allocatable=_shared_vector(tuple((status.get("allocatable") or NONE).items())),
        deleting="deletionTimestamp" in meta,
    )


def claim_view(raw: Raw) -> ClaimView:
    """A PersistentVolumeClaim. Whether it waits for its first consumer is not written in it."""
    meta, spec, status = raw["metadata"], raw.get("spec") or NONE, raw.get("status") or NONE
    return ClaimView(
        namespace=intern(meta["namespace"]),
        name=meta["name"],
        uid=meta.get("uid", ""),
        owner_uid=next((o["uid"] for o in meta.get("ownerReferences") or () if o.get("controller")), ""),
        phase=status.get("phase") or "Pending",
        volume=spec.get("volumeName") or "",
        access_modes=tuple(spec.get("accessModes") or ()),
        deleting="deletionTimestamp" in meta,
        storage_class=spec.get("storageClassName") or "",
        resource_version=number(meta.get("resourceVersion"), 0),
    )


def binds_late(raw: Raw) -> bool:
    """Whether a StorageClass binds its claims only at their first consumer."""
    return bool(raw.get("volumeBindingMode") == "WaitForFirstConsumer")


def volume_view(raw: Raw) -> VolumeView:
    """A PersistentVolume."""
    selector = ((raw.get("spec") or NONE).get("nodeAffinity") or NONE).get("required")
    return VolumeView(raw["metadata"]["name"], selector_terms(selector) if selector else ())


def child_view(raw: Raw) -> ChildView:
    """A ConfigMap or Service, whole or metadata only."""
    meta = raw["metadata"]
    return ChildView(
        namespace=intern(meta["namespace"]),
        name=meta["name"],
        uid=meta.get("uid", ""),
        owner_uid=owner_uid(meta),
        attempt=number((meta.get("labels") or NONE).get(LABEL_ATTEMPT), -1),
        deleting="deletionTimestamp" in meta,
        left_behind=left_behind(meta),
        resource_version=number(meta.get("resourceVersion"), 0),
    )


def record_view(raw: Raw) -> Record:
    """The record in a ConfigMap. Raises ValueError where it is not readable: it is never guessed."""
    meta = raw["metadata"]
    packed = (raw.get("binaryData") or NONE).get(RECORD_KEY)
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
        created=instant(meta.get("creationTimestamp")),
        deleting="deletionTimestamp" in meta,
    )


def quota_view(raw: Raw) -> QuotaView | None:
    """A ResourceQuota; None where it has a scope that cannot be judged from here."""
    meta, spec, status = raw["metadata"], raw.get("spec") or NONE, raw.get("status") or NONE
    selector = (spec.get("scopeSelector") or NONE).get("matchExpressions") or ()
    terms = [*({"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()), *selector]
    scopes = frozenset(term.get("scopeName") for term in terms)
    if not scopes <= {*_KINDS, _PRIORITY_CLASS}:
        return None
    hard, used = status.get("hard") or spec.get("hard") or NONE, status.get("used") or NONE
    return QuotaView(
        namespace=meta["namespace"],
        name=meta["name"],
        hard=resources(hard),
        used=resources({name: value for name, value in used.items() if name in hard}),
        scopes=scopes & _KINDS,
        classes=tuple(
            ClassTerm(term["operator"], tuple(term.get("values") or ()))
            for term in terms
            if term["scopeName"] == _PRIORITY_CLASS
        ),
    )


def priority_class_view(raw: Raw) -> PriorityClassView:
    return PriorityClassView(raw["metadata"]["name"], raw.get("value") or 0, bool(raw.get("globalDefault")))


def namespace_view(raw: Raw) -> NamespaceView:
    meta = raw["metadata"]
    terminating = "deletionTimestamp" in meta or (raw.get("status") or NONE).get("phase") == "Terminating"
    return NamespaceView(intern(meta["name"]), terminating)


def job_view(raw: Raw, previous: JobView | None = None) -> JobView:
    """A TrainingJob. An unsound spec becomes problems; a status that cannot be read raises ValueError.

    `previous` saves judging the spec again: the same UID and generation have the same spec.
    """
    meta, spec = raw["metadata"], raw.get("spec") or NONE
    generation = meta.get("generation") or 0
    uid = meta.get("uid", "")
    if previous is not None and (previous.uid, previous.generation) == (uid, generation):
        parsed, spec_hash, problems = previous.spec, previous.spec_hash, previous.problems
    else:
        parsed, spec_hash, problems = _read_spec(meta["name"], spec)
    try:
        status = parse_status(raw.get("status") or NONE)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"status of {meta['namespace']}/{meta['name']} is not readable: {error!r}") from error
    deletion = meta.get("deletionTimestamp")
    return JobView(
        namespace=intern(meta["namespace"]),
        name=meta["name"],
        uid=uid,
        resource_version=meta.get("resourceVersion", ""),
        generation=generation,
        created=instant(meta.get("creationTimestamp")),
        spec=parsed,
        status=status,
        spec_hash=spec_hash,
        problems=problems,
        deletion=instant(deletion) if deletion else None,
        orphan="orphan" in (meta.get("finalizers") or ()),
        labels=dict(meta.get("labels") or NONE),
        annotations={k: v for k, v in (meta.get("annotations") or NONE).items() if k != LAST_APPLIED},
        managed_by=managed if isinstance(managed := spec.get("managedBy"), str) else "",
        suspend=spec.get("suspend") is True,
    )


def _read_spec(name: str, spec: Raw) -> tuple[JobSpec | None, str, tuple[Problem, ...]]:
    try:
        parsed = read_job(name, spec)
    except InvalidSpec as error:
        return None, "", tuple(Problem(p.path, f"{p.what}; {p.mend}" if p.mend else p.what) for p in error.problems)
    return parsed, attempt_fields_hash(parsed), ()


@lru_cache(maxsize=4096)
def _shared_vector(items: tuple[tuple[str, str], ...]) -> Resources:
    return resources(dict(items))
