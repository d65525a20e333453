"""The planner's story: guards, then the first durable decision that is due, then deletes, then creates, then words.

A durable decision is one status write and nothing else; its effects are planned from what comes back.
"""

from __future__ import annotations

from dataclasses import replace

from trainyard.api.constants import MANAGER
from trainyard.api.reasons import Reason
from trainyard.launch import LaunchSettings, draft_record
from trainyard.model.cluster import NOTHING_AVOIDED
from trainyard.model.plan import (
    ConfirmJobGone,
    ConfirmRecord,
    CreateClaim,
    CreateHosts,
    CreatePods,
    CreateRecord,
    CreateService,
    DeletePods,
    DeleteRecord,
    JobSnapshot,
    Plan,
    PlanningPolicy,
    PodRef,
    ProbeRoles,
    Step,
    WriteStatus,
)
from trainyard.model.status import AttemptRecordRef
from trainyard.model.views import Instant, JobView
from trainyard.planning.cleanup import cleanup
from trainyard.planning.decisions import decide
from trainyard.planning.opening import (
    Gate,
    build_request,
    check_gates,
    grant_fits,
    hold_request,
    refused_object,
    rests_after_refusal,
    standing_request,
)
from trainyard.planning.reporting import commit, report
from trainyard.planning.restart import avoided_nodes
from trainyard.planning.situation import Situation
from trainyard.planning.summary import Waiting

_DEFAULT_LAUNCH = LaunchSettings()


def plan(snapshot: JobSnapshot, now: Instant, policy: PlanningPolicy, launch: LaunchSettings = _DEFAULT_LAUNCH) -> Plan:
    """What to do about one job now. The snapshot is never changed; the same arguments give the same plan."""
    job = snapshot.job
    if job is None:
        return _gone(snapshot)
    if job.deletion is not None:
        return _deleted(snapshot, job)
    if job.managed_by not in ("", MANAGER):
        return Plan()
    situation = Situation(snapshot, job, now, policy, launch)
    note = situation.note
    decided = decide(situation)
    if decided is not None and situation.waits and all(_waits_on(step) for step in decided.steps):
        decided = replace(decided, request=standing_request(situation))
    found = decided or _act(situation)
    if found.steps and all(isinstance(step, WriteStatus | ConfirmRecord) for step in found.steps):
        # A decision looks no further: what it did not look at goes on until the pass that follows it at once.
        note.facts.update(snapshot.seen)
    return replace(found, facts=frozenset(note.facts), requeue_at=min(note.wakes, default=None))


def _waits_on(step: Step) -> bool:
    """After this decision the job still wants its next attempt."""
    return not isinstance(step, WriteStatus) or (not step.status.open and step.status.finishing is None)


def _gone(snapshot: JobSnapshot) -> Plan:
    """Absent is not gone: only a live GET may say so, and only then its pods are deleted."""
    left = tuple(PodRef(p.name, p.uid) for p in snapshot.pods if p.deletion is None)
    if not left:
        return Plan()
    return Plan((ConfirmJobGone(snapshot.uid), DeletePods(left, None, "their job is gone")))


def _deleted(snapshot: JobSnapshot, job: JobView) -> Plan:
    """Being deleted in the foreground: pods go now; orphaned children are left alone."""
    left = tuple(PodRef(p.name, p.uid) for p in snapshot.pods if p.deletion is None)
    if job.orphan or not left:
        return Plan()
    return Plan((DeletePods(left, None, "their job is being deleted"),))


def _act(now: Situation) -> Plan:
    """Effects of what is decided: deletes, else creates, else only words."""
    steps = cleanup(now)
    if steps:
        return report(now, steps, request=standing_request(now) if now.waits else None)
    if now.job.suspend and not now.status.open:
        return report(now, ())
    if now.status.open:
        return _go_on(now)
    return _open(now)


def _go_on(now: Situation) -> Plan:
    """The attempt is open: hosts before the first pod, pods until each rank had one, then the gang is created."""
    record = now.record
    creates: list[Step] = []
    if record is not None and not now.snapshot.namespace_terminating and not rests_after_refusal(now):
        if now.snapshot.service is None:
            creates.append(CreateService())
        if now.lacks_hosts:
            creates.append(CreateHosts(now.status.attempt))
        missing = tuple(m.rank for m in now.members if m.last is None and not m.done)
        if not now.status.gang_created:
            if missing and now.spec is not None:
                avoid = NOTHING_AVOIDED if all(record.nodes) else avoided_nodes(now)
                creates.append(CreatePods(now.status.attempt, missing, avoid))
            elif not missing and not creates:
                return commit(now, replace(now.status, gang_created=True), f"all {record.size} pods are created")
    return report(now, tuple(creates))


def _open(now: Situation) -> Plan:
    """No attempt is open and nothing is left of the last: pass the gates, ask for a place, commit the grant."""
    gate = check_gates(now)
    if gate.reason is not None:
        return _wait(now, gate)
    stored = now.snapshot.records.get(now.status.attempt)
    if stored is not None and not stored.deleting:
        ref = AttemptRecordRef(stored.name, stored.uid, stored.attempt)
        started = now.status.started_at if now.status.started_at is not None else now.now
        base = replace(now.status, attempt_record=ref, gang_created=False, started_at=started)
        return commit(now, base, f"attempt {stored.attempt} opened with {stored.size} ranks", live_check=True)
    grant = now.snapshot.grant
    if grant is not None and grant_fits(now, grant):
        draft = draft_record(
            now.job,
            grant,
            now.snapshot.probe,
            build=now.policy.build,
            dead=now.dead_names,
            settings=now.launch,
        )
        return Plan((CreateRecord(draft),), request=build_request(now))
    request = build_request(now)
    refusal = now.snapshot.refusal
    if refusal is not None and refusal.reason is Reason.BACKOFF and request.not_before <= now.now:
        refusal = None  # an answer to the request that only held the nodes
    if refusal is not None:
        waiting = Waiting(refusal.reason, refusal.message)
    elif now.snapshot.object_refused is not None and now.snapshot.object_refused.attempt == now.status.attempt:
        waiting = Waiting(*refused_object(now))  # until the record that is asked for again is there, or is not
    else:
        waiting = Waiting(Reason.WAITING_TO_BE_SCHEDULED, "the scheduler has not looked at the job yet")
    return replace(report(now, (), waiting, request), drop_grant=grant is not None)


_HOLDS = (Reason.EARLIER_ATTEMPT_ENDING, Reason.AWAITING_CAUSE)
"""Waits of a job that is about to go on where it was: its nodes are held for it."""


UNNAMED_SECONDS = 30.0
"""So long a record that no status has named may keep the nodes of a job that may not open. It is made again after a new
grant; a forged one is gone."""


def _wait(now: Situation, gate: Gate) -> Plan:
    steps: tuple[Step, ...] = ()
    if gate.needs_claim:
        steps = (CreateClaim(),)
    elif gate.needs_probe:
        steps = (ProbeRoles(),)
    stored = now.snapshot.records.get(now.status.attempt)
    if stored is not None and not stored.deleting and now.note.lasted(f"unnamed:{stored.uid}", UNNAMED_SECONDS):
        steps = (DeleteRecord(stored.attempt, stored.name, stored.uid), *steps)
    waiting = Waiting(gate.reason or Reason.WAITING_TO_BE_SCHEDULED, gate.message)
    request = hold_request(now) if gate.needs_probe or gate.reason in _HOLDS else None
    return replace(report(now, steps, waiting, request), drop_grant=now.snapshot.grant is not None)
