"""What must be true before room is even looked for: namespace, priority class, level, claim, backoff, directory, quota.

Ordered checks, each `(round, request) -> Obstacle or None`; the first obstacle is the reason told. What only a person
can mend comes before what passes by itself. None of them looks at free room.
"""

from __future__ import annotations

from collections.abc import Callable

from trainyard.api.constants import LABEL_JOB_UID
from trainyard.api.reasons import Reason
from trainyard.model.cluster import GangRequest
from trainyard.model.instants import format_instant
from trainyard.model.views import Key
from trainyard.scheduling.messages import Obstacle
from trainyard.scheduling.round import Round

_MANY = "ReadWriteMany"
_ONE = "ReadWriteOnce"
_ONE_POD = "ReadWriteOncePod"


def first_obstacle(round_: Round, request: GangRequest) -> Obstacle | None:
    """The first gate that is shut."""
    return next((o for gate in _GATES if (o := gate(round_, request)) is not None), None)


def _namespace(round_: Round, request: GangRequest) -> Obstacle | None:
    namespace = round_.cluster.namespaces.get(request.key.namespace)
    if namespace is None or not namespace.terminating:
        return None
    return Obstacle(
        Reason.NAMESPACE_TERMINATING,
        f"Namespace {namespace.name} is being deleted, so nothing new is created in it; apply the job in another one.",
    )


def _priority_class(round_: Round, request: GangRequest) -> Obstacle | None:
    name = request.priority_class
    if not name or name in round_.cluster.priority_classes or "priorityclasses" in round_.cluster.unseen:
        return None  # where they may not be read, the dry run tells of one that does not exist
    return Obstacle(
        Reason.UNKNOWN_PRIORITY_CLASS,
        f"PriorityClass {name} does not exist: create it, or name another. See: kubectl get priorityclasses",
    )


def _level(round_: Round, request: GangRequest) -> Obstacle | None:
    known = dict(round_.policy.levels)
    carried = round_.topology.carried()
    unknown = next((n for n in (request.required_level, request.preferred_level) if n and n not in known), "")
    if unknown:
        field, level = ("required" if unknown == request.required_level else "preferred"), unknown
        what, mend = "the operator's settings know no such level", f"use one of {', '.join(known) or 'none'}"
    elif request.required_level and request.required_level not in carried and not round_.delegated(request):
        field, level = "required", request.required_level
        what, mend = f"no node carries the label {known[level]}", "use one of them, or label the nodes"
    else:
        return None
    return Obstacle(
        Reason.NO_SUCH_TOPOLOGY_LEVEL,
        f"scheduling.topology.{field} is {level}, but {what}; levels that nodes carry: {', '.join(carried) or 'none'}. "
        f"What to do: {mend}. See: kubectl get nodes --show-labels",
    )


def _claim(round_: Round, request: GangRequest) -> Obstacle | None:
    if not request.claim:
        return None
    namespace, name = request.key.namespace, request.claim
    claim = round_.cluster.claims.get(Key(namespace, name))
    look = f"See: kubectl get pvc {name} -n {namespace}"
    if claim is None and request.claim_created:
        return None
    if claim is None:
        return Obstacle(
            Reason.CLAIM_NOT_FOUND,
            f"PersistentVolumeClaim {name} does not exist in namespace {namespace}: create it, or correct "
            f"checkpoint.volume.claimName. See: kubectl get pvc -n {namespace}",
        )
    if claim.deleting:
        return Obstacle(
            Reason.CLAIM_TERMINATING,
            f"PersistentVolumeClaim {name} is being deleted; wait for it to be gone, or name another claim. {look}",
        )
    may_bind_late = claim.wait_for_consumer or "storageclasses" in round_.cluster.unseen
    if claim.phase != "Bound" and not may_bind_late:
        return Obstacle(
            Reason.CLAIM_PENDING,
            f"PersistentVolumeClaim {name} is {claim.phase} and no pod can mount it before it is bound to a volume. "
            f"See: kubectl describe pvc {name} -n {namespace}",
        )
    if _ONE_POD in claim.access_modes and request.size > 1:
        return Obstacle(
            Reason.CLAIM_ACCESS_MODE,
            f"PersistentVolumeClaim {name} is {_ONE_POD}, which one pod alone may mount, and the gang has "
            f"{request.size}: use a {_MANY} claim. {look}",
        )
    return None


def needs_one_node(round_: Round, request: GangRequest) -> bool:
    """Its claim can be mounted on a single node only, and several pods mount it."""
    claim = round_.cluster.claims.get(Key(request.key.namespace, request.claim)) if request.claim else None
    return claim is not None and request.size > 1 and _MANY not in claim.access_modes and _ONE in claim.access_modes


def _backoff(round_: Round, request: GangRequest) -> Obstacle | None:
    if request.not_before <= round_.now:
        return None
    return Obstacle(
        Reason.BACKOFF,
        f"The next attempt ({request.attempt}) may open at {format_instant(request.not_before)}: attempts "
        f"that end badly are spaced out. Nothing need be done.",
        until=request.not_before,
    )


def _directory(round_: Round, request: GangRequest) -> Obstacle | None:
    held = round_.directory_holder(request)
    if held is None:
        return None
    if held.ending:
        state, mend = "is over there but has pods left", "Wait until they are gone (delete those that nobody needs)"
        look = f"kubectl get pods -o wide -n {held.namespace} -l {LABEL_JOB_UID}={held.job_uid}"
    else:
        state, mend = "has begun or is ahead in the queue", "Wait until that job has ended or is suspended"
        look = f"kubectl get tj {held.job} -n {held.namespace}"
    return Obstacle(
        Reason.DIRECTORY_IN_USE,
        f"Directory {request.directory} of claim {request.claim} belongs to job {held.job}, which {state}; two jobs "
        f"may not write to one. {mend}, or give this one another checkpoint.directory. See: {look}",
    )


def _quota(round_: Round, request: GangRequest) -> Obstacle | None:
    exceeded = round_.quotas.exceeded(request)
    if exceeded is not None:
        return exceeded
    backfill = round_.backfill
    ahead = round_.quotas.ahead(request, lambda waiting: backfill.passes(request, backfill.deadline(waiting)))
    if ahead is None:
        return None
    harm = "take quota that a job ahead in the namespace needs"
    return round_.behind(request, ahead, backfill.deadline(ahead), harm, for_nodes=False)


def _other_gang_binding(round_: Round, request: GangRequest) -> Obstacle | None:
    if not (request.rolled_back and round_.delegated(request)):
        return None
    others = [key for key in round_.binding if key != request.key]
    if not others:
        return None
    return Obstacle(
        Reason.OTHER_GANG_BINDING,
        f"The last start was rolled back, and the gang of {others[0]} is not wholly bound: starting both could make "
        f"each wait for nodes that the other has. This job starts once that gang is whole or has given up. "
        f"See: kubectl get tj {others[0].name} -n {others[0].namespace}",
    )


_GATES: tuple[Callable[[Round, GangRequest], Obstacle | None], ...] = (
    _namespace,
    _priority_class,
    _level,
    _claim,
    _backoff,
    _directory,
    _quota,
    _other_gang_binding,
)
