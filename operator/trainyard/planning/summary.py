"""The status that tells what is true now: the one place where phase, counts and conditions are computed.

Memory (attempt, episodes, counters ...) is taken as given; only summary is made here, and `completed` is added to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from trainyard.api.effective import effective_roles, total_gpus
from trainyard.api.reasons import Cause, ConditionType, Phase, Reason
from trainyard.api.types import Placement
from trainyard.launch import overridden
from trainyard.model.instants import format_instant
from trainyard.model.status import Condition, JobStatus, RoleStatus
from trainyard.model.views import ITS_TURN
from trainyard.planning.opening import ending_message, invalid_message
from trainyard.planning.silence import Doubt, Why
from trainyard.planning.situation import Member, Situation
from trainyard.planning.transitions import check_transition

_MESSAGE_LIMIT = 2048
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why the next attempt is not open, where that is so."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class _State:
    """Phase and reason with their words, before the conditions are cut from them."""

    phase: Phase
    reason: Reason
    message: str


def summarize(now: Situation, base: JobStatus, waiting: Waiting | None = None) -> JobStatus:
    """`base` (memory, perhaps just decided) with all summary brought up to date."""
    members = now.members if base.attempt == now.status.attempt and base.open else ()
    state = _state(now, base, members, waiting)
    roles = _roles(now, base, members)
    return replace(
        base,
        phase=check_transition(now.status.phase, state.phase),
        reason=state.reason,
        ready=_ready(base, members, roles),
        gpus=total_gpus(now.spec) if now.spec else base.gpus,
        observed_generation=now.job.generation,
        roles=roles,
        conditions=_conditions(now, base, state, waiting),
    )


def _state(now: Situation, base: JobStatus, members: tuple[Member, ...], waiting: Waiting | None) -> _State:
    if base.terminal and base.finishing is not None:
        return _State(base.phase, base.finishing.reason, base.finishing.message)
    if base.finishing is not None:
        return _State(now.status.phase, Reason.FINISHING, _finishing_message(now, base))
    if base.open:
        return _open_state(now, base, members)
    if now.job.suspend:
        suspended = base.holds(ConditionType.SUSPENDED)
        if suspended:
            return _State(Phase.SUSPENDED, Reason.SUSPENDED, "the job is suspended and holds nothing")
        return _State(Phase.SUSPENDING, Reason.SUSPENDING, _ending(now, "the job was suspended"))
    return _closed_state(base, waiting)


def _finishing_message(now: Situation, base: JobStatus) -> str:
    outcome = base.finishing.message if base.finishing else ""
    return f"{outcome}; {_ending(now, 'cleaning up')}"


def _ending(now: Situation, fallback: str) -> str:
    return ending_message(now, now.live) if now.live else fallback


def _open_state(now: Situation, base: JobStatus, members: tuple[Member, ...]) -> _State:
    if not members and now.record_lost:
        text = "the attempt's record was deleted and the spec cannot be read, so no rank is judged: mend the spec"
        return _State(now.status.phase, Reason.RECORD_LOST, text)
    running = bool(members) and base.gang_created and (now.all_started or base.holds(ConditionType.RUNNING))
    if members and now.doubt is not None and now.doubt.why is not Why.MOMENT:
        phase = Phase.RUNNING if running else Phase.STARTING
        return _State(phase, Reason.NODES_SILENT, _silence(now, now.doubt))
    if running:
        done = sum(1 for m in members if m.done)
        text = f"all {len(members)} ranks have started" + (f"; {done} have completed" if done else "")
        return _State(Phase.RUNNING, Reason.ALL_RANKS_RUNNING, text)
    gated = sorted({gate for m in members if m.pod is not None for gate in m.pod.gates})
    if gated:
        text = f"the pods are held back by a scheduling gate of another controller: {', '.join(gated)}"
        return _State(Phase.STARTING, Reason.FOREIGN_ADMISSION, text)
    created = sum(1 for m in members if m.last is not None or m.done)
    bound = sum(1 for m in members if m.bound)
    started = sum(1 for m in members if m.started)
    text = f"of {len(members)} ranks {created} are created, {bound} bound, {started} started"
    return _State(Phase.STARTING, Reason.GANG_STARTING, text + _slow(members))


def _silence(now: Situation, doubt: Doubt) -> str:
    """Hardly any numbers: they would move with every node that is marked."""
    until = f"until {format_instant(doubt.until)} at the latest"
    if doubt.why is Why.MOST:
        return (
            "nodes of this gang and most others of the cluster stopped answering together, as they do where the "
            "control plane or the network to it fails and the ranks train on: unless a rank fails or is taken away, "
            f"the gang is left alone {until}"
        )
    names = sorted(now.silent_nodes)
    told = ", ".join(names[:_NAMED]) + (" ..." if len(names) > _NAMED else "")
    if doubt.why is Why.ENDING:
        return f"nodes of this gang do not answer yet ({told}) while others do again: they have time {until}"
    return (
        f"nodes of this gang stopped answering ({told}); they may be cut off and train on, and no other attempt could "
        f"open beside them, so the gang is left alone {until}. If such a node is off for good, say so: "
        f"kubectl delete node {names[0]}"
    )


def _slow(members: tuple[Member, ...]) -> str:
    """The first rank that waits for more than its turn, else the first that waits, and for what."""
    waits = [(m.name, wait) for m in members if m.pod is not None and not m.started for wait in m.pod.waits]
    if not waits:
        return ""
    name, wait = next((w for w in waits if w[1].reason not in ITS_TURN), waits[0])
    return f"; {name}: {wait}"


def _closed_state(base: JobStatus, waiting: Waiting | None) -> _State:
    last = base.last_close
    failed = last is not None and last.cause in _RESTARTS
    phase = Phase.RESTARTING if failed else Phase.PENDING
    if waiting is not None:
        return _State(phase, waiting.reason, waiting.message)
    if last is not None:
        return _State(phase, Reason.RESTARTING if failed else last.reason, last.message)
    return _State(phase, Reason.WAITING_TO_BE_SCHEDULED, "the scheduler has not looked at the job yet")


_RESTARTS = (Cause.APPLICATION_FAILURE, Cause.DISRUPTION)


def _roles(now: Situation, base: JobStatus, members: tuple[Member, ...]) -> tuple[RoleStatus, ...]:
    if members:
        return tuple(_role(name, group) for name, group in _grouped(members).items())
    desired = {r.name: r.replicas for r in effective_roles(now.spec)} if now.spec else {}
    if base.terminal or base.finishing is not None or not desired:
        return base.roles
    return tuple(RoleStatus(name, count) for name, count in desired.items())


def _grouped(members: tuple[Member, ...]) -> Mapping[str, list[Member]]:
    groups: dict[str, list[Member]] = {}
    for member in members:
        groups.setdefault(member.role.name, []).append(member)
    return groups


def _role(name: str, members: list[Member]) -> RoleStatus:
    created = [m for m in members if m.last is not None or m.done]
    busy = [m.last for m in created if m.last is not None and not m.done]
    return RoleStatus(
        name=name,
        desired=len(members),
        created=len(created),
        scheduled=sum(1 for m in created if m.bound),
        ready=sum(1 for m in created if not m.done and m.pod is not None and m.pod.ready),
        failed=sum(1 for pod in busy if pod.exited),
        completed=frozenset(m.index for m in created if m.done),
    )


def _ready(base: JobStatus, members: tuple[Member, ...], roles: tuple[RoleStatus, ...]) -> str:
    if base.finishing is not None and not members:
        return base.ready
    ready = sum(r.good for r in roles)
    return f"{ready}/{sum(r.desired for r in roles)}"


def _conditions(now: Situation, base: JobStatus, state: _State, waiting: Waiting | None) -> tuple[Condition, ...]:
    wanted = (
        _valid(now),
        _placed(now, base, state, waiting),
        (ConditionType.RUNNING, state.phase is Phase.RUNNING and base.finishing is None, state.reason, state.message),
        _suspended(now, state),
        _outcome(ConditionType.SUCCEEDED, Phase.SUCCEEDED, base),
        _outcome(ConditionType.FAILED, Phase.FAILED, base),
    )
    return tuple(_dated(now, *condition) for condition in wanted)


_Wanted = tuple[ConditionType, bool, Reason, str]


def _valid(now: Situation) -> _Wanted:
    if now.spec is None:
        return ConditionType.VALID, False, Reason.INVALID_SPEC, invalid_message(now)
    won = [
        f"{role.name}: {', '.join(names)}"
        for role in effective_roles(now.spec)
        if (names := overridden(now.job, role.name, now.launch))
    ]
    text = f"the template's own values win over Trainyard's for {'; '.join(won)}" if won else "the spec is understood"
    return ConditionType.VALID, True, Reason.SPEC_ACCEPTED, text


def _placed(now: Situation, base: JobStatus, state: _State, waiting: Waiting | None) -> _Wanted:
    if not base.open or base.finishing is not None:
        reason, message = (waiting.reason, waiting.message) if waiting else (state.reason, state.message)
        return ConditionType.PLACED, False, reason, message
    if now.record_lost:
        text = "the attempt's record was deleted by hand; the gang runs on, judged by its pods' labels"
        return ConditionType.PLACED, True, Reason.RECORD_LOST, text
    if now.snapshot.shared_nodes:
        text = f"accelerator pods of others run on nodes of this gang: {', '.join(now.snapshot.shared_nodes[:5])}"
        return ConditionType.PLACED, True, Reason.SHARED_NODES, text
    record = now.snapshot.records.get(base.attempt)
    if record is not None and not any(record.nodes):
        return ConditionType.PLACED, True, *_delegated(now, base)
    nodes = len(set(record.nodes)) if record is not None else 0
    return ConditionType.PLACED, True, Reason.GANG_PLACED, f"attempt {base.attempt} has its place on {nodes} nodes"


def _delegated(now: Situation, base: JobStatus) -> tuple[Reason, str]:
    """Why the cluster's scheduler chooses the nodes."""
    if now.spec is None or now.spec.scheduling.placement is not Placement.BUILTIN:
        return Reason.GANG_DELEGATED, f"attempt {base.attempt} is open; the cluster's scheduler chooses the nodes"
    backed = now.policy.device_backed
    if any(r.claims_devices or (r.gpus and r.accelerator.resource in backed) for r in effective_roles(now.spec)):
        text = "accelerators served by dynamic resource allocation cannot be counted; left to the cluster's scheduler"
        return Reason.DEVICE_BACKED, text
    text = (
        "when it opened, the operator could not read the cluster's nodes and the pods of all namespaces, so what is "
        "free could not be judged; left to the cluster's scheduler"
    )
    return Reason.LIMITED_VIEW, text


def _suspended(now: Situation, state: _State) -> _Wanted:
    if state.phase is Phase.SUSPENDED:
        return ConditionType.SUSPENDED, True, Reason.SUSPENDED, state.message
    if state.phase is Phase.SUSPENDING:
        return ConditionType.SUSPENDED, False, Reason.SUSPENDING, state.message
    before = now.status.condition(ConditionType.SUSPENDED)
    resumed = before is not None and (before.status is True or before.reason is Reason.RESUMED)
    if resumed:
        return ConditionType.SUSPENDED, False, Reason.RESUMED, "the job was resumed"
    return ConditionType.SUSPENDED, False, Reason.NOT_SUSPENDED, "spec.suspend is false"


def _outcome(kind: ConditionType, phase: Phase, base: JobStatus) -> _Wanted:
    if base.terminal and base.finishing is not None:
        return kind, base.phase is phase, base.finishing.reason, base.finishing.message
    return kind, False, Reason.NOT_FINISHED, "the outcome is open"


def _dated(now: Situation, kind: ConditionType, status: bool, reason: Reason, message: str) -> Condition:
    before = now.status.condition(kind)
    changed = before is None or before.status is not status
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message[:_MESSAGE_LIMIT],
        observed_generation=now.job.generation,
        since=float(int(now.now)) if changed or before is None else before.since,
    )
