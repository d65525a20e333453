"""Whether the job may ask for its next attempt, what it asks the scheduler for, and what it still waits for.

Ordered gates: the first that is shut names the reason. A gate that is shut always says what opens it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

from trainyard.api.constants import ATTEMPT_DIGITS
from trainyard.api.effective import EffectiveRole, effective_roles
from trainyard.api.names import hosts_name, record_name, service_name, uid5
from trainyard.api.reasons import Cause, Reason
from trainyard.api.types import JobSpec, Placement
from trainyard.launch import checkpoint_directory, claim_created, claim_name, role_request
from trainyard.model.cluster import GangRequest, Grant
from trainyard.model.plan import ProbeResult
from trainyard.model.record import Record
from trainyard.model.views import Instant, NodeReady, Placing, PodView, Resources
from trainyard.planning.cleanup import kept_to_be_read
from trainyard.planning.pod_security import beyond_level
from trainyard.planning.restart import avoided_nodes, awaits_cause, next_open_at
from trainyard.planning.situation import Situation

MAX_ATTEMPT = 10**ATTEMPT_DIGITS - 1
PROBE_AGAIN_SECONDS = 30.0
FOREIGN_AGAIN_SECONDS = 10.0
REFUSED_AGAIN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Gate:
    """Why the next attempt does not open yet; empty `reason` where all gates are open."""

    reason: Reason | None = None
    message: str = ""
    needs_probe: bool = False
    needs_claim: bool = False


def check_gates(now: Situation) -> Gate:
    """The first gate that is shut. The job is neither open nor suspended nor over."""
    for gate in _GATES:
        found = gate(now)
        if found is not None:
            return found
    return Gate()


def _valid(now: Situation) -> Gate | None:
    if now.spec is not None:
        return None
    return Gate(Reason.INVALID_SPEC, invalid_message(now))


def _pod_security(now: Situation) -> Gate | None:
    found = beyond_level(now)
    return Gate(*found) if found else None


def invalid_message(now: Situation) -> str:
    """What is wrong with the spec, for the Valid condition."""
    problems = now.job.problems
    more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
    return "; ".join(f"{p.path}: {p.message}" if p.path else p.message for p in problems[:3]) + more


def _namespace(now: Situation) -> Gate | None:
    if not now.snapshot.namespace_terminating:
        return None
    return Gate(
        Reason.NAMESPACE_TERMINATING, f"namespace {now.job.namespace} is being deleted; nothing is created in it"
    )


def _own_pods(now: Situation) -> Gate | None:
    if now.blocking:
        foreign = _held_by_finalizers(now)
        if foreign:
            return Gate(Reason.FOREIGN_ADMISSION, foreign)
        return Gate(Reason.EARLIER_ATTEMPT_ENDING, ending_message(now, now.blocking))
    if now.hosts_left:
        text = (
            f"the host list {now.hosts_left[0]} of an earlier attempt is being deleted; with it, a late pod could start"
        )
        return Gate(Reason.EARLIER_ATTEMPT_ENDING, text)
    return None


def _held_by_finalizers(now: Situation) -> str | None:
    """Words for pods that have had their grace and exist only because another controller's finalizer keeps them."""
    held = [p for p in now.blocking if p.finalizers and p.deletion is not None and now.note.due(p.deletion)]
    if not held or len(held) < len(now.blocking):
        return None
    first = min(held, key=lambda p: p.name)
    return (
        f"{len(held)} pods of an earlier attempt are kept by finalizers of another controller; first: {first.name}, "
        f"{', '.join(first.finalizers)}. Ask that controller, or see: "
        f"kubectl get pod -n {now.job.namespace} {first.name} -o yaml"
    )


def ending_message(now: Situation, pods: tuple[PodView, ...]) -> str:
    """How many pods are still ending, which first, and what to do where their node does not answer."""
    first = min(pods, key=lambda p: p.name)
    text = f"{len(pods)} pods of an earlier attempt are still ending; first: {first.name} on {first.node or 'no node'}"
    text += _silence(now, pods)
    late = [p for p in pods if now.nodes_unseen and p.node and p.deletion is not None and now.note.due(p.deletion)]
    if late:
        text += (
            f"; its time is over, and the operator may not read nodes, so it cannot tell whether {late[0].node} still "
            f"answers. See: kubectl get node {late[0].node}"
        )
    return text


def _silence(now: Situation, pods: tuple[PodView, ...]) -> str:
    """Words for pods whose node does not answer, or nothing."""
    node = next((p.node for p in pods if now.node_unreachable(p.node)), "")
    if not node:
        return ""
    return (
        f"; node {node} does not answer, so nobody knows whether its pods still run: bring it back, or make sure "
        f"it is off and then: kubectl delete node {node}"
    )


def _strangers(now: Situation) -> Gate | None:
    strangers = now.blocking_strangers
    if not strangers:
        return None
    left = [p for p in strangers if p.left_behind]
    if left:
        return Gate(Reason.EARLIER_JOB_ENDING, _left_behind_words(now, left))
    first = min(strangers, key=lambda p: p.name)
    text = (
        f"{len(strangers)} pods of an earlier job named {now.job.name} are still ending, first {first.name} on "
        f"{first.node or 'no node'}; two jobs must not share a checkpoint directory{_silence(now, strangers)}. "
        f"See: kubectl get pods -n {now.job.namespace} -l trainyard.dev/job={now.job.name}"
    )
    return Gate(Reason.EARLIER_JOB_ENDING, text)


def _left_behind_words(now: Situation, left: list[PodView]) -> str:
    """Only a person knows whether they still write; nothing ends them but their own end or that person."""
    first = min(left, key=lambda p: p.name)
    several = f"{len(left)} pods of an earlier job" if len(left) > 1 else "A pod of an earlier job"
    return (
        f"{several} named {now.job.name} run on and belong to nobody (--cascade=orphan), first {first.name} on "
        f"{first.node or 'no node'}; two jobs must not share a checkpoint directory. They are left alone: wait until "
        f"they have ended, end them, or give this job another name. To end them: kubectl delete pods "
        f"-n {now.job.namespace} -l trainyard.dev/job-uid={first.left_behind}"
    )


def _cause(now: Situation) -> Gate | None:
    text = awaits_cause(now)
    return Gate(Reason.AWAITING_CAUSE, text) if text else None


def _foreign(now: Situation) -> Gate | None:
    short = uid5(now.job.uid)
    service = now.snapshot.service
    strange = {service.name} if service is not None and service.owner_uid != now.job.uid else set()
    ours = {service_name(now.job.name, short), claim_name(now.job), *_attempt_names(now, short)}
    taken = sorted(strange | (ours & now.snapshot.foreign_names))
    if not taken:
        return None
    now.note.due(now.now + FOREIGN_AGAIN_SECONDS)  # nobody tells when a stranger's object goes
    text = (
        f"an object named {taken[0]} exists in namespace {now.job.namespace} and belongs to somebody else; "
        f"it is left alone. Delete or rename it, or make the job again under another name"
    )
    return Gate(Reason.FOREIGN_OBJECT, text)


def _attempt_names(now: Situation, short: str) -> tuple[str, str]:
    attempt = now.status.attempt
    return record_name(now.job.name, short, attempt), hosts_name(now.job.name, short, attempt)


def _object_refused(now: Situation) -> Gate | None:
    return Gate(*refused_object(now)) if rests_after_refusal(now) else None


def rests_after_refusal(now: Situation) -> bool:
    """An object was refused so short a time ago that none is asked for."""
    refusal = now.snapshot.object_refused
    return refusal is not None and not now.note.due(refusal.at + REFUSED_AGAIN_SECONDS)


def refused_object(now: Situation) -> tuple[Reason, str]:
    """The words for an object that was refused."""
    refusal = now.snapshot.object_refused
    assert refusal is not None, "nothing was refused"
    words = f"{refusal.kind} {refusal.name} was refused ({refusal.code}): {refusal.message}"
    again = f"asked again every {REFUSED_AGAIN_SECONDS:.0f} s"
    if over_quota(refusal.code, refusal.message):
        return Reason.QUOTA_EXCEEDED, f"{words}; {again}. See: kubectl describe quota -n {now.job.namespace}"
    return Reason.OBJECT_REFUSED, f"{words}; {again}"


def _claim(now: Situation) -> Gate | None:
    if not claim_created(now.job):
        return None
    claim = now.snapshot.claim
    if claim is None:
        return Gate(Reason.WAITING_TO_BE_SCHEDULED, "the checkpoint claim is being created", needs_claim=True)
    if claim.deleting:
        text = f"claim {claim.name} is being deleted; the job waits until it is gone and makes a new one"
        return Gate(Reason.CLAIM_TERMINATING, text)
    if claim.owner_uid not in ("", now.job.uid):
        text = (
            f"claim {claim.name} is controlled by another object and is left alone; rename this job, or name a claim "
            f"in checkpoint.volume.claimName. See: kubectl get pvc {claim.name} -n {now.job.namespace} -o yaml"
        )
        return Gate(Reason.FOREIGN_OBJECT, text)
    return None


def _probe(now: Situation) -> Gate | None:
    probe = now.snapshot.probe
    waiting = Gate(
        Reason.WAITING_TO_BE_SCHEDULED, "the API server is asked what the pods really need", needs_probe=True
    )
    if probe is None or probe.spec_hash != now.job.spec_hash or probe.attempt != now.status.attempt:
        return waiting
    if not probe.refused_code:
        return None
    again = now.note.due(probe.at + PROBE_AGAIN_SECONDS)
    reason, text = _refused_probe(now, probe)
    return Gate(reason, f"{text}; asked again every {PROBE_AGAIN_SECONDS:.0f} s", needs_probe=again)


def _refused_probe(now: Situation, probe: ProbeResult) -> tuple[Reason, str]:
    words = f"a dry run of role {probe.refused_role}'s pod was refused ({probe.refused_code}): {probe.refused_message}"
    if probe.refused_code == 403 and "no PriorityClass" in probe.refused_message:
        name = now.spec.scheduling.priority_class_name if now.spec else ""
        text = f"there is no PriorityClass {name}; see: kubectl get priorityclasses. The API server's words: {words}"
        return Reason.UNKNOWN_PRIORITY_CLASS, text
    if over_quota(probe.refused_code, probe.refused_message):
        return Reason.QUOTA_EXCEEDED, f"{words}. See: kubectl describe quota -n {now.job.namespace}"
    return Reason.POD_REFUSED, words


def over_quota(code: int, message: str) -> bool:
    """A refusal by a ResourceQuota, which ends when there is room again."""
    return code == 403 and "exceeded quota" in message


_GATES = (
    _valid,
    _pod_security,
    _namespace,
    _own_pods,
    _strangers,
    _cause,
    _foreign,
    _object_refused,
    _claim,
    _probe,
)


def build_request(now: Situation) -> GangRequest:
    """What the scheduler should place. All gates are open, so spec and probe are there."""
    spec, job, status = cast(JobSpec, now.spec), now.job, now.status
    measured = _measured(now) or {}
    avoid, last = avoided_nodes(now), status.last_close
    topology = spec.scheduling.topology
    return GangRequest(
        key=job.key,
        uid=job.uid,
        attempt=status.attempt,
        spec_hash=job.spec_hash,
        queued=job.created,
        roles=tuple(
            role_request(job, role.name, measured.get(role.name, ()), now.launch, told_placing(now, role.name))
            for role in effective_roles(spec)
        ),
        placement=spec.scheduling.placement,
        priority_class=spec.scheduling.priority_class_name or "",
        pod_class=_pod_class(now),
        required_level=(topology.required or "") if topology else "",
        preferred_level=(topology.preferred or "") if topology else "",
        claim=claim_name(job),
        claim_created=claim_created(job),
        directory=checkpoint_directory(job),
        avoid=avoid,
        keep=_kept(now, avoid.nodes),
        held_until=last.at + now.policy.hold_seconds if last is not None else 0.0,
        not_before=next_open_at(now),
        rolled_back=last is not None and last.cause is Cause.START_ROLLED_BACK,
        duration_bound=spec.active_deadline_seconds,
        ends_by=_ends_by(now),
        kept_to_be_read=len(kept_to_be_read(now)),
    )


def _ends_by(now: Situation) -> Instant | None:
    """Restarts do not move the active deadline of a job that has begun."""
    limit, started = now.spec.active_deadline_seconds if now.spec else None, now.status.started_at
    return None if limit is None or started is None else started + limit


def standing_request(now: Situation) -> GangRequest | None:
    """What a pass that does not come to the gates leaves in the queue: what is asked for already, else a hold.

    The last pods of a closed attempt may vanish while it deletes them: somebody younger would get the nodes.
    """
    asked = now.snapshot.request
    if asked is not None and asked.attempt == now.status.attempt and asked.spec_hash == now.job.spec_hash:
        return asked
    return hold_request(now)


def hold_request(now: Situation) -> GangRequest | None:
    """No grant yet, but the nodes that the closed attempt left are to be kept; None where nothing is to be kept."""
    if now.spec is None or _measured(now) is None:
        return None
    request = build_request(now)
    if request.held_until <= now.now or not request.keep:
        return None
    return replace(request, not_before=max(request.not_before, request.held_until))


def _measured(now: Situation) -> Mapping[str, Resources] | None:
    """What one pod of each role asks for: as the dry run told, else as the record of the last attempt has it, which a
    new process knows too. None where nothing is known, or the dry run was refused."""
    probe = now.snapshot.probe
    if probe is not None and probe.spec_hash == now.job.spec_hash:
        return None if probe.refused_code else probe.resources
    record = now.snapshot.records.get(now.status.attempt - 1)
    if record is None or record.spec_hash != now.job.spec_hash:
        return None
    return {role.name: role.resources for role in record.roles}


def _pod_class(now: Situation) -> str | None:
    """PriorityClass of the job's pods, as far as a dry run of this spec has told."""
    probe = now.snapshot.probe
    return probe.priority_class if probe is not None and probe.spec_hash == now.job.spec_hash else None


def told_placing(now: Situation, role: str) -> Placing | None:
    """Where pods of the role may stand, as far as a dry run of this spec has told."""
    probe = now.snapshot.probe
    return probe.placing.get(role) if probe is not None and probe.spec_hash == now.job.spec_hash else None


def _kept(now: Situation, avoid: frozenset[str]) -> dict[int, str]:
    """Ranks that stay on their nodes: those of the last attempt whose node is well, if the gang has kept its shape."""
    record = now.snapshot.records.get(now.status.attempt - 1)
    if record is None or now.spec is None or not _same_shape(record, effective_roles(now.spec)):
        return {}
    well = {
        name
        for name in set(record.nodes)
        if name not in avoid
        and (node := now.snapshot.nodes.get(name)) is not None
        and node.ready is NodeReady.TRUE
        and not node.unschedulable
    }
    return {rank: name for rank, name in enumerate(record.nodes) if name in well}


def _same_shape(record: Record, roles: tuple[EffectiveRole, ...]) -> bool:
    return [(r.name, r.replicas) for r in record.roles] == [(r.name, r.replicas) for r in roles]


def grant_fits(now: Situation, grant: Grant) -> bool:
    """The grant is for this very attempt of this very spec, fresh, and its nodes are still well."""
    fresh: Instant = grant.at + now.policy.grant_seconds
    if grant.uid != now.job.uid or grant.attempt != now.status.attempt or grant.spec_hash != now.job.spec_hash:
        return False
    if grant.placement is not Placement.BUILTIN:
        return now.now <= fresh
    nodes = now.snapshot.nodes
    return now.now <= fresh and all(
        n in nodes and nodes[n].ready is NodeReady.TRUE and not nodes[n].unschedulable for n in set(grant.nodes)
    )
