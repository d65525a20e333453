"""The planner's story: guards, then the first durable decision that is due, then deletes, then creates, then words.

Per pass the first that holds wins: job gone or deleted, terminal, finishing, all completed, active deadline, failure or
disruption, suspend, spec changed, start rolled back, open. A durable decision is one status write and nothing else; its
effects are planned from what comes back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from trainyard.api.constants import MANAGER
from trainyard.api.reasons import Cause, ConditionType, Phase, Reason
from trainyard.launch import LaunchSettings, draft_record
from trainyard.model.cluster import GangRequest
from trainyard.model.plan import (
    ConfirmJobGone,
    ConfirmRecord,
    CreateClaim,
    CreateHosts,
    CreatePods,
    CreateRecord,
    CreateService,
    DeleteJob,
    DeletePods,
    EventNote,
    JobSnapshot,
    Plan,
    PlanningPolicy,
    PodRef,
    ProbeRoles,
    Step,
    WriteStatus,
)
from trainyard.model.status import AttemptRecordRef, Condition, Finishing, JobStatus
from trainyard.model.views import Instant, JobView
from trainyard.planning.cleanup import cleanup
from trainyard.planning.failure import Verdict, find_failure
from trainyard.planning.opening import MAX_ATTEMPT, Gate, build_request, check_gates, grant_fits
from trainyard.planning.restart import budget_spent, close, settle, settle_all
from trainyard.planning.situation import Situation
from trainyard.planning.starting import find_hopeless, find_refusal
from trainyard.planning.summary import Waiting, summarize

COUNTS_SETTLE_SECONDS = 1.0
"""A status that differs only in its counts is written no more often than this."""


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
    found = _decide(situation) or _act(situation)
    note = situation.note
    return replace(found, facts=frozenset(note.facts), requeue_at=min(note.wakes, default=None))


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


def _decide(now: Situation) -> Plan | None:
    """The one durable decision of this pass, or None."""
    for rule in _RULES:
        found = rule(now)
        if found is not None:
            return found
    return None


def _terminal(now: Situation) -> Plan | None:
    if not now.status.terminal:
        return None
    steps = cleanup(now)
    if steps:
        return Plan(steps)
    ttl = now.spec.ttl_seconds_after_finished if now.spec else None
    kind = ConditionType.SUCCEEDED if now.status.phase is Phase.SUCCEEDED else ConditionType.FAILED
    ended = now.status.condition(kind)
    if ttl is not None and ended is not None and now.note.expired("ended", ended.since, float(ttl)):
        return Plan((DeleteJob(now.job.uid),))
    return Plan()


def _finishing(now: Situation) -> Plan | None:
    finishing = now.status.finishing
    if finishing is None:
        return None
    steps = cleanup(now)
    if steps:
        return Plan(steps)
    if now.live or any(h.owner_uid == now.job.uid for h in now.snapshot.hosts.values()):
        return _report(now, ())
    over = replace(now.status, phase=finishing.phase)
    kind = "Normal" if finishing.phase is Phase.SUCCEEDED else "Warning"
    why = f"{finishing.phase.value}: {finishing.message}"
    return _commit(now, over, why, EventNote(kind, finishing.reason, finishing.message), live_check=True)


def _record_unknown(now: Situation) -> Plan | None:
    """The open attempt's record is not in sight: ask for it, and judge nothing until it is known."""
    ref = now.status.attempt_record
    if not now.status.open or ref is None or now.status.attempt in now.snapshot.records:
        return None
    if not now.snapshot.record_missing:
        return Plan((ConfirmRecord(ref.attempt, ref.name),))
    if now.status.gang_created:
        return None
    text = f"record {ref.name} was deleted before its gang was complete"
    return _close(now, Verdict(Cause.RECORD_LOST, Reason.RECORD_LOST, text))


def _completed(now: Situation) -> Plan | None:
    if not now.all_done:
        return None
    count = sum(1 for m in now.members if m.role.completes)
    return _finish(now, Phase.SUCCEEDED, Reason.ALL_COMPLETED, f"all {count} completing replicas exited 0")


def _deadline(now: Situation) -> Plan | None:
    limit = now.spec.active_deadline_seconds if now.spec else None
    started = now.status.started_at
    if limit is None or started is None or not now.note.expired(f"active:{started}", started, float(limit)):
        return None
    text = f"active for more than activeDeadlineSeconds={limit}, counted from its first open or last resume"
    return _finish(now, Phase.FAILED, Reason.ACTIVE_DEADLINE_EXCEEDED, text)


def _failed(now: Situation) -> Plan | None:
    hopeless = find_hopeless(now)
    if hopeless is not None:
        return _finish(now, Phase.FAILED, Reason.IMAGE_INVALID, hopeless)
    verdict = find_failure(now)
    return _close(now, verdict) if verdict is not None else None


def _spent(now: Situation) -> Plan | None:
    if now.status.open:
        return None
    text = budget_spent(now)
    if text is not None:
        return _finish(now, Phase.FAILED, Reason.MAX_RESTARTS_EXCEEDED, text)
    if now.status.attempt > MAX_ATTEMPT:
        return _finish(now, Phase.FAILED, Reason.ATTEMPTS_EXHAUSTED, "the attempt number has used up its five digits")
    return None


def _suspend(now: Situation) -> Plan | None:
    if now.spec is None or not now.spec.suspend:
        return None
    if now.status.open:
        return _close(now, Verdict(Cause.SUSPENDED, Reason.SUSPENDED, "spec.suspend was set"))
    suspended = now.status.condition(ConditionType.SUSPENDED)
    if suspended is not None and suspended.status is True:
        return None
    steps = cleanup(now)
    if steps or now.live:
        return _report(now, steps)
    # The condition is memory here: it says that a live LIST has shown no pod.
    over = replace(now.status, started_at=None, conditions=(*_without_suspended(now), _suspended_now(now)))
    note = EventNote("Normal", Reason.SUSPENDED, "suspended: the job holds no pods and no nodes")
    return _commit(now, over, "suspended", note, live_check=True)


def _without_suspended(now: Situation) -> tuple[Condition, ...]:
    return tuple(c for c in now.status.conditions if c.type is not ConditionType.SUSPENDED)


def _suspended_now(now: Situation) -> Condition:
    return Condition(ConditionType.SUSPENDED, True, Reason.SUSPENDED, since=now.now)


def _changed(now: Situation) -> Plan | None:
    record = now.record
    if record is None or now.spec is None or now.record_lost or record.spec_hash == now.job.spec_hash:
        return None
    return _close(now, Verdict(Cause.SPEC_CHANGED, Reason.SPEC_CHANGED, "the fields that shape an attempt changed"))


def _rolled_back(now: Situation) -> Plan | None:
    record = now.record
    if record is None or now.record_lost:
        return None
    if not now.status.gang_created and record.build != now.policy.build:
        text = f"build {record.build} of the operator left a half created gang; build {now.policy.build} starts it anew"
        return _close(now, Verdict(Cause.OPERATOR_UPGRADED, Reason.OPERATOR_UPGRADED, text))
    verdict = find_refusal(now)
    return _close(now, verdict) if verdict is not None else None


def _settled(now: Situation) -> Plan | None:
    """Blame is settled before anything is decided from the budget."""
    settled = settle(now)
    if settled is now.status:
        return None
    episode = next(e for e, old in zip(settled.episodes, now.status.episodes, strict=False) if e != old)
    verdict = "charged to the budget" if episode.charged else "not charged"
    return _commit(now, settled, f"episode of attempt {episode.attempt} settled: {episode.cause.value}, {verdict}")


_RULES: tuple[Callable[[Situation], Plan | None], ...] = (
    _terminal,
    _finishing,
    _record_unknown,
    _completed,
    _deadline,
    _failed,
    _settled,
    _spent,
    _suspend,
    _changed,
    _rolled_back,
)


def _commit(now: Situation, base: JobStatus, why: str, *events: EventNote, live_check: bool = False) -> Plan:
    dead = now.dead_names if live_check else ()
    write = WriteStatus(summarize(now, base), why, require_no_live_pods=live_check, dead=dead)
    return Plan((write,), events=events)


def _close(now: Situation, verdict: Verdict) -> Plan:
    why = f"attempt {now.status.attempt} closed, {verdict.cause.value}: {verdict.message}"
    kind = "Normal" if verdict.cause in (Cause.SUSPENDED, Cause.SPEC_CHANGED) else "Warning"
    return _commit(now, close(now, verdict), why, EventNote(kind, verdict.reason, why))


def _finish(now: Situation, phase: Phase, reason: Reason, message: str) -> Plan:
    text = message[:1024]
    base = replace(settle_all(now), finishing=Finishing(phase, reason, text))
    return _commit(now, base, f"finishing as {phase.value}: {text}")


def _act(now: Situation) -> Plan:
    """Effects of what is decided: deletes, else creates, else only words."""
    steps = cleanup(now)
    if steps:
        return _report(now, steps)
    if now.spec is not None and now.spec.suspend and not now.status.open:
        return _report(now, ())
    if now.status.open:
        return _go_on(now)
    return _open(now)


def _go_on(now: Situation) -> Plan:
    """The attempt is open: hosts before the first pod, pods until each rank had one, then the gang is created."""
    record = now.record
    creates: list[Step] = []
    if record is not None and not now.snapshot.namespace_terminating:
        if now.snapshot.service is None:
            creates.append(CreateService())
        if not now.record_lost and now.status.attempt not in now.snapshot.hosts:
            creates.append(CreateHosts(now.status.attempt))
        missing = tuple(m.rank for m in now.members if m.last is None and not m.done)
        if not now.status.gang_created and now.spec is not None:
            if missing:
                creates.append(CreatePods(now.status.attempt, missing))
            elif not creates:
                return _commit(now, replace(now.status, gang_created=True), f"all {record.size} pods are created")
    return _report(now, tuple(creates))


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
        return _commit(now, base, f"attempt {stored.attempt} opened with {stored.size} ranks", live_check=True)
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
    refusal = now.snapshot.refusal
    request = build_request(now)
    if refusal is not None:
        waiting = Waiting(refusal.reason, refusal.message)
    else:
        waiting = Waiting(Reason.WAITING_TO_BE_SCHEDULED, "the scheduler has not looked at the job yet")
    return replace(_report(now, (), waiting, request), drop_grant=grant is not None)


def _wait(now: Situation, gate: Gate) -> Plan:
    steps: tuple[Step, ...] = ()
    if gate.needs_claim:
        steps = (CreateClaim(),)
    elif gate.needs_probe:
        steps = (ProbeRoles(),)
    waiting = Waiting(gate.reason or Reason.WAITING_TO_BE_SCHEDULED, gate.message)
    return replace(_report(now, steps, waiting), drop_grant=now.snapshot.grant is not None)


def _report(
    now: Situation, steps: tuple[Step, ...], waiting: Waiting | None = None, request: GangRequest | None = None
) -> Plan:
    """The effects, and the summary where it is no longer true."""
    status = summarize(now, now.status, waiting)
    if status == now.status:
        return Plan(steps, request)
    if _only_counts(now.status, status) and not now.note.lasted("counts", COUNTS_SETTLE_SECONDS):
        return Plan(steps, request)
    events = _events(now.status, status)
    return Plan((*steps, WriteStatus(status, _headline(status))), request, events=events)


def _only_counts(old: JobStatus, new: JobStatus) -> bool:
    """Nothing but numbers moved: no phase, no reason, no condition's status, nothing remembered."""
    same_words = [(c.type, c.status, c.reason) for c in old.conditions] == [
        (c.type, c.status, c.reason) for c in new.conditions
    ]
    remembered = [r.completed for r in old.roles] == [r.completed for r in new.roles]
    return same_words and remembered and (old.phase, old.reason) == (new.phase, new.reason)


def _headline(status: JobStatus) -> str:
    return f"{status.phase.value}, {status.reason.value if status.reason else ''}, ready {status.ready}"


def _events(old: JobStatus, new: JobStatus) -> tuple[EventNote, ...]:
    """One event where phase or reason moved."""
    if (old.phase, old.reason) == (new.phase, new.reason) or new.reason is None:
        return ()
    placed, running = new.condition(ConditionType.PLACED), new.condition(ConditionType.RUNNING)
    shown = running if new.open else placed
    quiet = new.reason in (Reason.WAITING_TO_BE_SCHEDULED, Reason.GANG_STARTING)
    return () if quiet or shown is None else (EventNote("Normal", new.reason, shown.message),)
