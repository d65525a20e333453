"""Whether the start of the open attempt still stands, or must be given back whole.

A start is refused where our own snapshot explains it, where kube-scheduler refuses a pinned pod for a while, or where a
deadline passes. Giving back costs no budget; only a template that can never start fails the job.
"""

from __future__ import annotations

from trainyard.api.names import service_name, uid5
from trainyard.api.reasons import Cause, ConditionType, Reason
from trainyard.launch import role_request
from trainyard.model.instants import format_span
from trainyard.model.views import INVALID_IMAGE, NodeReady, Taint, Toleration
from trainyard.planning.failure import Verdict
from trainyard.planning.opening import over_quota, refused_object, told_placing
from trainyard.planning.situation import Member, Situation
from trainyard.scheduling.filters import untolerated


def find_hopeless(now: Situation) -> str | None:
    """Why no retry can help this template: an image name that cannot be right.

    What runs is left alone, though a container beside its trainers never does.
    """
    if now.status.holds(ConditionType.RUNNING):
        return None
    for member in now.members:
        pod = member.pod
        if pod is None or pod.exited:
            continue
        for wait in pod.waits:
            if wait.reason == INVALID_IMAGE:
                told = wait if wait.message else wait._replace(message="the image name is invalid")
                return f"rank {member.rank} ({member.name}): {told}"
    return None


def find_refusal(now: Situation) -> Verdict | None:
    """Why the start is given back, or None while it stands or is complete."""
    record = now.record
    if record is None or now.all_started or now.status.holds(ConditionType.RUNNING):
        return None
    verdict = _refused_create(now) or _refused_child(now) or _name_taken(now)
    if verdict is not None:
        return verdict
    for member in now.members:
        if not member.bound:
            verdict = _refused_bind(now, member)
            if verdict is not None:
                return verdict
    return _late(now, record.created)


def _refused_create(now: Situation) -> Verdict | None:
    refusal = now.snapshot.create_refused
    if refusal is None or refusal.attempt != now.status.attempt:
        return None
    reason = Reason.QUOTA_EXCEEDED if over_quota(refusal.code, refusal.message) else Reason.POD_REFUSED
    text = f"the API server refused the pod of rank {refusal.rank} ({refusal.code}): {refusal.message}"
    return Verdict(Cause.START_ROLLED_BACK, reason, text, rank=refusal.rank)


def _refused_child(now: Situation) -> Verdict | None:
    """The attempt's hosts, or the Service: without them its pods cannot start, and hold their nodes for nothing."""
    refusal = now.snapshot.object_refused
    if refusal is None or refusal.attempt != now.status.attempt:
        return None
    lacking = {now.hosts_name} if now.lacks_hosts else set()
    if now.snapshot.service is None:
        lacking.add(service_name(now.job.name, uid5(now.job.uid)))
    if refusal.name not in lacking:
        return None
    reason, text = refused_object(now)
    return Verdict(Cause.START_ROLLED_BACK, reason, text)


def _name_taken(now: Situation) -> Verdict | None:
    """A name of this attempt is somebody else's. The next attempt has other names, but for the Service's: it waits."""
    foreign = now.snapshot.foreign_names
    taken = next((m for m in now.members if m.pod is None and m.name in foreign), None) if foreign else None
    common = (now.hosts_name, service_name(now.job.name, uid5(now.job.uid)))
    name = taken.name if taken is not None else next((n for n in common if n in foreign), "")
    if not name:
        return None
    text = f"an object named {name} belongs to somebody else; it is left alone"
    return Verdict(Cause.START_ROLLED_BACK, Reason.FOREIGN_OBJECT, text, rank=taken.rank if taken is not None else -1)


def _refused_bind(now: Situation, member: Member) -> Verdict | None:
    if member.node == "" or (member.pod is not None and member.pod.gates):
        return None  # another's choice, or another's gate: never a node's fault
    why = node_unfit(now, member)
    if why is not None:
        return _rolled_back(member, Reason.NOT_READY_NODES, why)
    pod = member.pod
    if pod is None or not pod.unschedulable:
        return None
    if now.note.lasted(f"unschedulable:{pod.uid}", now.policy.unschedulable_seconds):
        text = f"kube-scheduler refuses pod {pod.name} on {member.node}: {pod.unschedulable}"
        return _rolled_back(member, Reason.UNSCHEDULABLE, text)
    return None


def node_unfit(now: Situation, member: Member) -> str | None:
    """Why no pod may be pinned to the member's node at this moment.

    kube-scheduler retries every unschedulable pinned pod at each change of any node, so none is created in vain.
    """
    if now.nodes_unseen:
        return None
    node = now.snapshot.nodes.get(member.node)
    if node is None or node.deleting:
        return f"node {member.node} is gone"
    if node.ready is not NodeReady.TRUE:
        return f"node {member.node} is not Ready"
    taint = _repelling_taint(now, member, node.taints)
    if taint is not None:
        return f"node {member.node} carries the taint {taint.key}:{taint.effect}"
    if node.unschedulable:
        return f"node {member.node} is cordoned"
    return None


def _repelling_taint(now: Situation, member: Member, taints: tuple[Taint, ...]) -> Taint | None:
    if not taints:
        return None
    tolerations = _tolerations(now, member.role.name)
    return next((t for t in taints if untolerated((t,), tolerations)), None)


def _late(now: Situation, opened: float) -> Verdict | None:
    deadline = float(now.spec.scheduling.start_deadline_seconds) if now.spec else 600.0
    unbound = [m for m in now.members if not m.bound]
    fact = f"starting:{now.status.attempt}"
    if now.note.expired(fact, opened, deadline) and unbound:
        text = (
            f"{len(unbound)} of {len(now.members)} pods were not bound {format_span(deadline)} after the attempt opened"
        )
        return _rolled_back_late(now, unbound[0], text)
    if now.note.expired(fact, opened, 2 * deadline):
        waiting = [m for m in now.members if not m.started]
        if not waiting:
            return None
        text = (
            f"{len(waiting)} of {len(now.members)} trainers had not started {format_span(2 * deadline)} after the "
            f"attempt opened; first: {_why_not_started(waiting[0])}"
        )
        return _rolled_back_late(now, waiting[0], text)
    return None


def _why_not_started(member: Member) -> str:
    pod = member.pod
    if pod is None:
        return f"{member.name} was not created"
    why = "; ".join(str(wait) for wait in pod.waits) or "its containers are not running"
    return f"{member.name} on {pod.node}: {why}"


def _rolled_back_late(now: Situation, member: Member, text: str) -> Verdict:
    pod = member.pod
    if pod is not None and pod.gates:
        return Verdict(
            Cause.START_ROLLED_BACK,
            Reason.FOREIGN_ADMISSION,
            f"{text}; gates: {', '.join(pod.gates)}",
            rank=member.rank,
        )
    if now.status.attempt in now.shaken:
        return _rolled_back(member, Reason.NOT_READY_NODES, f"{text}; nodes of the gang had fallen silent meanwhile")
    return _rolled_back(member, Reason.START_DEADLINE_EXCEEDED, text)


def _rolled_back(member: Member, reason: Reason, text: str) -> Verdict:
    return Verdict(
        Cause.START_ROLLED_BACK,
        reason,
        text,
        rank=member.rank,
        pod=member.name,
        node=member.place,
    )


def _tolerations(now: Situation, role: str) -> tuple[Toleration, ...]:
    known = now.tolerations
    if role not in known:
        known[role] = ()
        if _has_role(now, role):
            known[role] = role_request(now.job, role, (), now.launch, told_placing(now, role)).tolerations
    return known[role]


def _has_role(now: Situation, role: str) -> bool:
    return now.spec is not None and any(r.name == role for r in now.spec.roles)
