"""Planning a built job, and reading what came of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from builders import JobBuilder, make_job
from builders.job import BUILD
from trainyard.api.reasons import Cause, ConditionType, Reason
from trainyard.model.plan import Plan, PlanningPolicy, WriteStatus
from trainyard.model.status import Episode, JobStatus, parse_status, render_status
from trainyard.planning import plan

POLICY = PlanningPolicy(build=BUILD, outage_seconds=0.0)
"""Silent nodes are believed dead at once; PATIENT waits as an operator does."""
PATIENT = replace(POLICY, outage_seconds=300.0)
_S = TypeVar("_S")


def planned(job: JobBuilder) -> Plan:
    return plan(job.snapshot(), job.now, POLICY)


def status_of(found: Plan) -> JobStatus:
    """The status that the plan writes; it must write exactly one."""
    (write,) = steps_of(found, WriteStatus)
    return write.status


def steps_of(found: Plan, kind: type[_S]) -> list[_S]:
    return [step for step in found.steps if isinstance(step, kind)]


def written(job: JobBuilder) -> JobBuilder:
    """Plan once, and let the status write through, as the API server would keep it."""
    status = status_of(planned(job))
    job.status = parse_status(render_status(status))
    return job


def at_rest(job: JobBuilder) -> JobBuilder:
    """Plan and write until no status write is left. Other steps are not done."""
    for _ in range(10):
        found = planned(job)
        job.noted(found.facts)
        writes = steps_of(found, WriteStatus)
        if not writes:
            return job
        job.status = parse_status(render_status(writes[0].status))
    raise AssertionError("status does not come to rest")


def last_episode(job: JobBuilder) -> Episode:
    return job.status.episodes[-1]


def running_job(replicas: int = 4, **failure_policy: object) -> JobBuilder:
    """A job whose attempt 0 runs on n0, n1, n2 ..., its status up to date."""
    job = make_job().workers(replicas)
    if failure_policy:
        job.spec(failurePolicy=failure_policy)
    job.opened().running()
    return at_rest(job)


def with_status(job: JobBuilder, **changes: object) -> JobBuilder:
    job.status = replace(job.status, **changes)  # type: ignore[arg-type]
    return job


def gate(job: JobBuilder) -> tuple[Reason | None, str]:
    """What the job says it waits for."""
    status = at_rest(job).status
    placed = status.condition(ConditionType.PLACED)
    assert placed is not None and placed.status is False and not status.open
    assert (placed.reason, status.reason) == (status.reason, placed.reason)
    return placed.reason, placed.message


def kinds(job: JobBuilder) -> list[type]:
    return [type(step) for step in planned(job).steps]


def rolled_back(job: JobBuilder) -> tuple[Reason, str]:
    written(job)
    episode = last_episode(job)
    assert episode.cause is Cause.START_ROLLED_BACK and episode.settled and not episode.charged
    assert job.status.restarts.total == 0 and not job.status.open
    return episode.reason, episode.message
