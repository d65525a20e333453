"""The durable decisions, in their order of precedence: the first that holds is this pass's, one status write.

None of them acts: what follows from a decision is planned from the status that comes back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from trainyard.api.reasons import Cause, ConditionType, Phase, Reason
from trainyard.model.plan import ConfirmRecord, DeleteJob, EventNote, Plan
from trainyard.model.status import Condition, Finishing
from trainyard.planning.cleanup import cleanup
from trainyard.planning.failure import Verdict, find_failure
from trainyard.planning.opening import MAX_ATTEMPT
from trainyard.planning.reporting import commit, report
from trainyard.planning.restart import budget_spent, close, settle, settle_all
from trainyard.planning.situation import Situation
from trainyard.planning.starting import find_hopeless, find_refusal


def decide(now: Situation) -> Plan | None:
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
    if now.live or now.hosts_left:
        return report(now, ())
    over = replace(now.status, phase=finishing.phase)
    kind = "Normal" if finishing.phase is Phase.SUCCEEDED else "Warning"
    why = f"{finishing.phase.value}: {finishing.message}"
    return commit(now, over, why, EventNote(kind, finishing.reason, finishing.message), live_check=True)


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
    if now.job.suspend and not now.status.open:
        return None  # its time has ended with the suspension, however long its last pods take
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
    if not now.job.suspend:
        return None
    if now.status.open:
        return _close(now, Verdict(Cause.SUSPENDED, Reason.SUSPENDED, "spec.suspend was set"))
    if now.status.holds(ConditionType.SUSPENDED):
        return None
    steps = cleanup(now)
    if steps or now.live or now.hosts_left:
        return report(now, steps)
    # The condition is memory here: it says that a live LIST has shown no pod.
    over = replace(now.status, started_at=None, conditions=(*_without_suspended(now), _suspended_now(now)))
    note = EventNote("Normal", Reason.SUSPENDED, "suspended: the job holds no pods and no nodes")
    return commit(now, over, "suspended", note, live_check=True)


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
    return commit(now, settled, f"episode of attempt {episode.attempt} settled: {episode.cause.value}, {verdict}")


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


def _close(now: Situation, verdict: Verdict) -> Plan:
    why = f"attempt {now.status.attempt} closed, {verdict.cause.value}: {verdict.message}"
    kind = "Normal" if verdict.cause in (Cause.SUSPENDED, Cause.SPEC_CHANGED) else "Warning"
    # Nobody saw this pod end, so it is absence alone that speaks against it.
    absent = verdict.pod if verdict.reason is Reason.POD_LOST else ""
    return commit(now, close(now, verdict), why, EventNote(kind, verdict.reason, why), absent_pod=absent)


def _finish(now: Situation, phase: Phase, reason: Reason, message: str) -> Plan:
    text = message[:1024]
    base = replace(settle_all(now), finishing=Finishing(phase, reason, text))
    return commit(now, base, f"finishing as {phase.value}: {text}")
