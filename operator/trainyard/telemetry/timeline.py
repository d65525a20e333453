"""How long each step of a start and of a recovery takes: instants noted as a job is looked at, spans told as they end.

The notes live in the leader's memory. What had happened before this leader first saw the job has no instant here, and
a span that begins or ends there is not told; only closes and waits are dated by the job's own status. All instants are
API-server time. It must be cheap: it is called with every plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from trainyard.api.reasons import Cause, ConditionType, Phase, Reason
from trainyard.model.status import JobStatus
from trainyard.model.views import Instant, JobView
from trainyard.telemetry.waiting import RESTART_CAUSES, Wait, ours, start_of, wait_of


class Mark(Enum):
    """What a start passes through, in this order."""

    CLOSED = 0
    """The attempt before was closed."""
    GONE = 1
    """Its pods are gone."""
    GRANTED = 2
    """The scheduler found a place."""
    OPENED = 3
    CREATED = 4
    BOUND = 5
    STARTED = 6
    READY = 7


START_STEPS = {
    Mark.OPENED: (Mark.GRANTED, "record"),
    Mark.CREATED: (Mark.OPENED, "create"),
    Mark.BOUND: (Mark.CREATED, "bind"),
    Mark.STARTED: (Mark.BOUND, "start"),
    Mark.READY: (Mark.STARTED, "ready"),
}
RECOVERY_STEPS = {
    Mark.GONE: (Mark.CLOSED, "delete"),
    Mark.GRANTED: (Mark.GONE, "place"),
    Mark.CREATED: (Mark.GRANTED, "create"),
    Mark.BOUND: (Mark.CREATED, "bind"),
    Mark.STARTED: (Mark.BOUND, "start"),
}


@dataclass(frozen=True, slots=True)
class Sight:
    """A job as it was planned, and how its pods stand by count."""

    job: JobView
    at: Instant
    live: int
    unbound: int
    unready: int


@dataclass(frozen=True, slots=True)
class Told:
    """Where spans go, by their label: the histograms' `observe`, but for their names."""

    start_step: Callable[[str, float], None]
    start: Callable[[str, float], None]
    recovery_step: Callable[[str, float], None]
    recovery: Callable[[str, float], None]
    waited: Callable[[str, str, float], None]


@dataclass(slots=True)
class _Course:
    """One attempt, from the close of the one before to its own start."""

    attempt: int
    start: str
    cause: Cause | None
    """Of the close before, if this is a recovery."""
    marks: dict[Mark, Instant | None] = field(default_factory=dict)
    """None: it was so when this leader first looked."""
    lost: tuple[Cause, Instant] | None = None
    """Why and when the job ran last: through starts that came to nothing, the close that began this recovery."""
    wait: Wait | None = None
    ending_seen: bool = False
    """The job has said that it waits for pods of the attempt before."""


class Timelines:
    """By job UID, the course of the attempt that is open or awaited."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._courses: dict[str, _Course] = {}

    def clear(self) -> None:
        """Another process may lead from here."""
        self._courses.clear()

    def keep(self, uids: Iterable[str], at: Instant) -> None:
        """Only these jobs are still there; one that waited and is gone has given up."""
        for uid in self._courses.keys() - set(uids):
            self._withdrawn(self._courses.pop(uid), at)

    def granted(self, uid: str, attempt: int, at: Instant) -> None:
        """The scheduler found a place for this attempt. Of several grants the last one counts: it was used."""
        course = self._courses.get(uid)
        if course is None or course.attempt != attempt or Mark.OPENED in course.marks:
            return
        if course.cause is not None and Mark.GONE not in course.marks:
            self._pass(course, Mark.GONE, at)  # what is left of it is dead
        course.marks.pop(Mark.GRANTED, None)
        self._pass(course, Mark.GRANTED, at)

    def saw(self, sight: Sight) -> None:
        """The job was looked at."""
        job, status = sight.job, sight.job.status
        if not ours(job):
            return
        course = self._courses.get(job.uid)
        if course is None or course.attempt != status.attempt:
            before = course
            if before is not None:
                self._withdrawn(before, sight.at)
            course = self._courses[job.uid] = _begin(status, before)
            if before is None:
                course.marks.update({mark: None for mark in _reached(course, sight) if mark is not Mark.CLOSED})
        for mark in _reached(course, sight):
            if mark not in course.marks:
                self._pass(course, mark, sight.at)
        self._follow_wait(course, sight)

    def _follow_wait(self, course: _Course, sight: Sight) -> None:
        if sight.job.status.open:
            if course.wait is not None:
                self._told.waited(course.wait.start, "opened", max(0.0, sight.at - course.wait.since))
                course.wait = None
            return
        wait = wait_of(sight.job)
        if wait is None:
            self._withdrawn(course, sight.at)
        course.wait = wait

    def _withdrawn(self, course: _Course, at: Instant) -> None:
        if course.wait is not None:
            self._told.waited(course.wait.start, "withdrawn", max(0.0, at - course.wait.since))
            course.wait = None

    def _pass(self, course: _Course, mark: Mark, at: Instant) -> None:
        course.marks[mark] = at
        _tell(START_STEPS, course.marks, mark, self._told.start_step)
        if course.cause is not None:
            _tell(RECOVERY_STEPS, course.marks, mark, self._told.recovery_step)
        if mark is Mark.STARTED:
            granted = course.marks.get(Mark.GRANTED)
            if granted is not None:
                self._told.start(course.start, max(0.0, at - granted))
            if course.lost is not None:
                cause, closed = course.lost
                self._told.recovery(cause.value, max(0.0, at - closed))


def _begin(status: JobStatus, before: _Course | None) -> _Course:
    last = status.last_close
    course = _Course(status.attempt, start_of(status), None)
    if last is None:
        return course
    course.marks[Mark.CLOSED] = last.at
    if last.cause in RESTART_CAUSES:
        course.cause = last.cause
        never_ran = before is not None and before.lost is not None and Mark.STARTED not in before.marks
        course.lost = before.lost if before is not None and never_ran else (last.cause, last.at)
    return course


def _tell(
    steps: Mapping[Mark, tuple[Mark, str]],
    marks: Mapping[Mark, Instant | None],
    mark: Mark,
    tell: Callable[[str, float], None],
) -> None:
    begin, step = steps.get(mark, (None, ""))
    since, at = marks.get(begin) if begin is not None else None, marks[mark]
    if since is not None and at is not None:
        tell(step, max(0.0, at - since))


def _reached(course: _Course, sight: Sight) -> list[Mark]:
    """The marks that a job has reached as it stands."""
    status = sight.job.status
    if not status.open:
        return [Mark.GONE] if course.cause is not None and _gone(course, sight) else []
    reached = [Mark.OPENED]
    if status.gang_created:
        reached.append(Mark.CREATED)
        if sight.unbound == 0:
            reached.append(Mark.BOUND)
        if status.phase is Phase.RUNNING:
            reached.append(Mark.STARTED)
            if sight.unready == 0:
                reached.append(Mark.READY)
    return reached


def _gone(course: _Course, sight: Sight) -> bool:
    """No pod of the attempt before lives, or those that do count as dead: the job waits for something else by now."""
    if sight.live == 0:
        return True
    placed = sight.job.status.condition(ConditionType.PLACED)
    ending = placed is not None and placed.reason is Reason.EARLIER_ATTEMPT_ENDING
    course.ending_seen = course.ending_seen or ending
    return course.ending_seen and not ending
