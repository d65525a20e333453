"""Whether a job waits for an attempt to open, since when, and why; and whether its starts come to nothing. Read from
the job alone.

All of it is durable, so that every leader tells the same. It decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile

from trainyard.api.constants import MANAGER
from trainyard.api.reasons import Cause, ConditionType, Reason
from trainyard.model.status import JobStatus
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
    last = status.last_close
    return "restart" if last is not None and last.cause is not Cause.SUSPENDED else "first"


def starts_rolled_back(job: JobView) -> int:
    """How many starts in a row were rolled back up to now. Those before a resume no longer count: somebody looked."""
    if suspended(job) or job.status.holds(ConditionType.RUNNING):
        return 0
    resumed = _resumed(job)
    newest_first = reversed(job.status.episodes)
    vain = takewhile(lambda e: e.cause is Cause.START_ROLLED_BACK and e.at >= resumed, newest_first)
    return sum(1 for _ in vain)


def _since(job: JobView) -> Instant:
    last = job.status.last_close
    return max(job.created, last.at if last is not None else 0.0, _resumed(job))


def _resumed(job: JobView) -> Instant:
    suspension = job.status.condition(ConditionType.SUSPENDED)
    return suspension.since if suspension is not None and suspension.reason is Reason.RESUMED else 0.0
