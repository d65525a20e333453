"""What a status must say, worked out anew from the pods that are there: a second opinion on every value (I10).

Plain counting over the builder's objects, by the words of the API reference; it shares no code with the planner.
"""

from __future__ import annotations

from collections.abc import Iterator

from builders import JobBuilder
from trainyard.api.names import pod_name
from trainyard.api.reasons import Cause, ConditionType, Phase
from trainyard.model.record import Record, RecordRole
from trainyard.model.status import JobStatus, RoleStatus
from trainyard.model.views import PodView

_MOST_EPISODES = 20
_ENDED = (Phase.SUCCEEDED, Phase.FAILED)
_CLOSED = (Phase.PENDING, Phase.RESTARTING, Phase.SUSPENDING, Phase.SUSPENDED)


def untruths(job: JobBuilder, new: JobStatus) -> list[str]:
    """What the status that is being written says wrongly; the job's own status is still the one before."""
    return [*_sums(job, new), *_roles(job, new), *_phase(job, new), *_conditions(job, new), *_counters(new)]


def _sums(job: JobBuilder, new: JobStatus) -> Iterator[str]:
    if new.observed_generation != job.generation:
        yield f"observedGeneration {new.observed_generation}, and the generation is {job.generation}"
    gpus = sum(role.gpus * role.replicas for role in job.roles)
    if new.gpus != gpus:
        yield f"{new.gpus} GPUs, and the spec asks for {gpus}"
    ready = sum(role.ready + len(role.completed) for role in new.roles)
    wanted = sum(role.desired for role in new.roles)
    if new.ready != f"{ready}/{wanted}":
        yield f"ready {new.ready}, and the roles say {ready}/{wanted}"


def _pods(job: JobBuilder, role: RecordRole, attempt: int) -> list[tuple[PodView | None, PodView | None]]:
    """By replica: the pod that is there, and the pod's last state whether or not it is."""
    names = [pod_name(job.name, job.uid5, attempt, role.name, index) for index in range(role.replicas)]
    return [(job.pods.get(name), job.pods.get(name) or job.collected.get(name)) for name in names]


def _roles(job: JobBuilder, new: JobStatus) -> Iterator[str]:
    record = job.records.get(new.attempt)
    if not new.open:
        if any(role != RoleStatus(role.name, role.desired) for role in new.roles):
            yield f"pods are counted though no attempt is open: {new.roles}"
        return
    assert record is not None, "an attempt is open whose record is lost: not part of these lives"
    for role in record.roles:
        told = next(r for r in new.roles if r.name == role.name)
        pods = _pods(job, role, new.attempt)
        before = job.status.completed(role.name) if job.status.attempt == new.attempt else frozenset()
        served = _served(record, role, new)
        yield from _completed(role.name, told, [_ended_well(role, served, last) for _, last in pods], before)
        others = [pair for index, pair in enumerate(pods) if index not in told.completed]
        right = RoleStatus(
            role.name,
            role.replicas,
            created=len(told.completed) + sum(last is not None for _, last in others),
            scheduled=len(told.completed) + sum(pod is not None and pod.node != "" for pod, _ in others),
            ready=sum(pod is not None and pod.ready for pod, _ in others),
            failed=sum(last is not None and last.exited for _, last in others),
            completed=told.completed,
        )
        if told != right:
            yield f"{told}, and the pods say {right}"


def _served(record: Record, server: RecordRole, new: JobStatus) -> bool:
    """Whether one of those that it serves is told as completed."""
    trained = [role for role in record.roles if role.completes]
    own = [role for role in trained if role.framework == server.framework]
    return any(new.completed(role.name) for role in own or trained)


def _ended_well(role: RecordRole, served: bool, last: PodView | None) -> bool | None:
    """None where somebody may have had a hand in its end, which is left to more careful eyes."""
    if last is None or not (last.exited_zero if role.completes else served and last.exited):
        return False
    helped = last.deletion is not None or last.disruption or (last.reason and not role.completes)
    return None if helped else True


def _completed(name: str, told: RoleStatus, well: list[bool | None], before: frozenset[int]) -> Iterator[str]:
    if not before <= told.completed:
        yield f"{name} {sorted(before - told.completed)} had completed, and that is forgotten"
    for index, right in enumerate(well):
        if right is True and index not in told.completed:
            yield f"{name} {index} ended as it may, and is not told as completed"
        if right is False and index in told.completed - before:
            yield f"{name} {index} is told as completed, and its pod does not say so"


def _phase(job: JobBuilder, new: JobStatus) -> Iterator[str]:
    suspended = job.parsed.suspend
    if new.phase in _CLOSED and new.open:
        yield f"{new.phase} while an attempt is open"
    if new.phase in (Phase.STARTING, Phase.RUNNING) and not new.open:
        yield f"{new.phase} while no attempt is open"
    if (new.phase in (Phase.SUSPENDING, Phase.SUSPENDED)) != (suspended and new.phase in _CLOSED):
        yield f"{new.phase}, and spec.suspend is {suspended}"
    if new.phase is Phase.RUNNING and new.finishing is None and not _ran(job, new):
        yield "Running, and a trainer has not started"
    if (new.phase in _ENDED) != (new.finishing is not None and new.phase is new.finishing.phase):
        yield f"{new.phase}, and what was decided is {new.finishing}"


def _ran(job: JobBuilder, new: JobStatus) -> bool:
    """Every rank of the attempt has started, now or when it was told so."""
    told = job.status.condition(ConditionType.RUNNING)
    if job.status.attempt == new.attempt and told is not None and told.status is True:
        return True
    return all(
        index in new.completed(role.name) or (last is not None and last.trainer.started)
        for role in job.records[new.attempt].roles
        for index, (_, last) in enumerate(_pods(job, role, new.attempt))
    )


def _conditions(job: JobBuilder, new: JobStatus) -> Iterator[str]:
    going_on = new.open and new.finishing is None
    right = {
        ConditionType.VALID: not job.problems,
        ConditionType.PLACED: going_on,
        ConditionType.RUNNING: going_on and new.phase is Phase.RUNNING,
        ConditionType.SUSPENDED: new.phase is Phase.SUSPENDED,
        ConditionType.SUCCEEDED: new.phase is Phase.SUCCEEDED,
        ConditionType.FAILED: new.phase is Phase.FAILED,
    }
    told = {condition.type: condition for condition in new.conditions}
    if set(told) != set(right):
        yield f"conditions {sorted(told)}"
    for kind, condition in told.items():
        if condition.status is not right[kind]:
            yield f"{kind} is {condition.status}"
        if condition.observed_generation != job.generation:
            yield f"{kind} is of generation {condition.observed_generation}"
        before = job.status.condition(kind)
        moved = before is None or before.status is not condition.status
        since = float(int(job.now)) if moved or before is None else before.since
        if condition.since != since:
            yield f"{kind} is dated {condition.since}, and moved at {since}"


def _counters(new: JobStatus) -> Iterator[str]:
    if len(new.episodes) >= _MOST_EPISODES:
        return  # the oldest are told no longer, and count all the same
    causes = [(e.cause, e.settled) for e in new.episodes]
    disruptions = sum(cause is Cause.DISRUPTION for cause, _ in causes)
    failures = [settled for cause, settled in causes if cause is Cause.APPLICATION_FAILURE]
    right = (disruptions + len(failures), sum(failures), disruptions)
    told = (new.restarts.total, new.restarts.application, new.restarts.disruption)
    if told != right:
        yield f"restarts (total, application, disruption) {told}, and the episodes say {right}"
    if strange := set(new.restarts.charged) - {e.at for e in new.episodes if e.charged}:
        yield f"charged at {strange}, when no episode was"
