"""How a decision or a change is told: the one status write of a pass, and the Kubernetes events that go with it."""

from __future__ import annotations

from trainyard.api.reasons import ConditionType, Reason
from trainyard.model.cluster import GangRequest
from trainyard.model.plan import EventNote, Plan, Step, WriteStatus
from trainyard.model.status import JobStatus
from trainyard.planning.situation import Situation
from trainyard.planning.summary import Waiting, summarize

COUNTS_SETTLE_SECONDS = 1.0
"""A status that differs only in its counts and words is written no more often than this."""
WAITING_SETTLE_SECONDS = 30.0
"""The same while the scheduler refuses the job: its numbers change whenever the cluster does."""


def commit(
    now: Situation, base: JobStatus, why: str, *events: EventNote, live_check: bool = False, absent_pod: str = ""
) -> Plan:
    """A durable decision: this status write, and nothing before what it brings back is planned again."""
    dead = now.dead_names if live_check else ()
    status = summarize(now, base)
    write = WriteStatus(status, why, require_no_live_pods=live_check, dead=dead, absent_pod=absent_pod)
    return Plan((write,), events=events)


def report(
    now: Situation, steps: tuple[Step, ...], waiting: Waiting | None = None, request: GangRequest | None = None
) -> Plan:
    """The effects, and the summary where it is no longer true."""
    status = summarize(now, now.status, waiting)
    if status == now.status:
        now.note.facts.add(_since_last_write(now))
        return Plan(steps, request)
    if _only_counts(now.status, status) and not _counts_settled(now, status):
        return Plan(steps, request)
    events = _events(now.status, status)
    return Plan((*steps, WriteStatus(status, _headline(status))), request, events=events)


def _counts_settled(now: Situation, status: JobStatus) -> bool:
    """Counted from the last write: numbers that never rest are still written at a steady pace, and the first that moves
    after a rest at once. That all are ready at last is waited for by people, and is not held up by how busy we are."""
    seconds = COUNTS_SETTLE_SECONDS
    if not now.status.open and now.snapshot.refusal is not None:
        seconds = WAITING_SETTLE_SECONDS
    elif any(r.good < r.desired for r in status.roles):
        seconds = max(seconds, now.snapshot.pace)
    return now.note.lasted(_since_last_write(now), seconds)


def _since_last_write(now: Situation) -> str:
    return f"counts:{now.job.resource_version}"


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
    kind = "Warning" if new.reason is Reason.NODES_SILENT else "Normal"
    return () if quiet or shown is None else (EventNote(kind, new.reason, shown.message),)
