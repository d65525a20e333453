"""Whether a job waits for an attempt to open, since when, and why, read from the job alone.

All of it is durable, so that every leader tells the same. It decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainyard.api.constants import MANAGER
from trainyard.api.reasons import Cause, ConditionType, Reason
from trainyard.model.status import Episode, JobStatus
from trainyard.model.views import Instant, JobView

RESTART_CAUSES = frozenset({Cause.APPLICATION_FAILURE, Cause.DISRUPTION, Cause.START_ROLLED_BACK})
"""Closes after which the same attempt is tried again, as opposed to those that somebody asked for."""


@dataclass(frozen=True, slots=True)
class Wait:
    since: Instant
    reason: Reason
    start: str
    """`first` or `restart`."""


def ours(job: JobView) -> bool:
    """No other controller's."""
    return job.managed_by in ("", MANAGER)


def suspended(job: JobView) -> bool:
    return job.suspend


def wait_of(job: JobView) -> Wait | None:
    """How the job waits; None where it does not: it is open, over, ending, or not meant to run."""
    status = job.status
    if status.terminal or status.finishing is not None or status.open or job.deletion is not None or suspended(job):
        return None
    placed = status.condition(ConditionType.PLACED)
    reason = placed.reason if placed is not None and placed.status is False else status.reason
    return Wait(_since(job), reason or Reason.WAITING_TO_BE_SCHEDULED, start_of(status))


def start_of(status: JobStatus) -> str:
    """`restart` where the attempt before this one was closed by anything but a suspension, else `first`."""
    last = last_close(status)
    return "restart" if last is not None and last.cause is not Cause.SUSPENDED else "first"


def last_close(status: JobStatus) -> Episode | None:
    """The episode that closed the attempt before the current one."""
    last = status.episodes[-1] if status.episodes else None
    return last if last is not None and last.attempt == status.attempt - 1 else None


def _since(job: JobView) -> Instant:
    last = last_close(job.status)
    resumed = job.status.condition(ConditionType.SUSPENDED)
    return max(
        job.created,
        last.at if last is not None else 0.0,
        resumed.since if resumed is not None and resumed.reason is Reason.RESUMED else 0.0,
    )
