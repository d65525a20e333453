"""One pass over one job, as a story: freeze, plan, remember, act, and again until there is nothing left to do.

It holds no opinion on what a job needs. What goes wrong in one job is logged, counted and backed off, and stays there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import structlog

from trainyard.engine.executor import Executor
from trainyard.engine.guards import nodes_told
from trainyard.engine.hands import Hands, Outcome, Pass, is_refusal
from trainyard.engine.queue import Target, WorkQueue
from trainyard.engine.snapshots import job_snapshot
from trainyard.kube.clock import steady
from trainyard.kube.errors import ApiError, Fenced, KubeError
from trainyard.model.plan import JobSnapshot, Plan, PlanningPolicy
from trainyard.model.views import Instant

PASSES = 16
"""Plans made in one go; what is not at rest by then is looked at again after others had their turn."""
SHARE = 0.0025
"""Of the time that counting may cost, all jobs together: a change of counts waits four hundred times as long as the
latest passes of the jobs that were busy took. Two seconds for a gang of 1,250, a tenth of one for 60 pods."""
SOONEST, LATEST = 0.02, 20.0

Planner = Callable[[JobSnapshot, Instant, PlanningPolicy], Plan]

log = structlog.get_logger(__name__)


class Pace:
    """How long a change of counts waits, so that many large gangs in motion do not crowd out what matters."""

    def __init__(self) -> None:
        self.pause = SOONEST
        self._took: dict[Target, tuple[float, float]] = {}

    def note(self, target: Target, seconds: float, now: float) -> None:
        """A pass took so long. Jobs without one for a while are not busy and do not count."""
        self._took[target] = (seconds, now)
        self._took = {t: (took, at) for t, (took, at) in self._took.items() if at >= now - 2 * LATEST}
        self.pause = min(LATEST, max(SOONEST, sum(took for took, _ in self._took.values()) / SHARE))


class Reconciler:
    """Turns keys into passes. Also the store's listener: it knows how soon a change is worth a pass."""

    def __init__(
        self, hands: Hands, executor: Executor, queue: WorkQueue, planner: Planner, wake_scheduler: Callable[[], None]
    ) -> None:
        self._hands = hands
        self._executor = executor
        self._queue = queue
        self._planner = planner
        self._wake_scheduler = wake_scheduler
        self._pace = Pace()

    def delay(self, *, urgent: bool) -> float:
        """Counts are gathered, the longer the more passes cost; a failure is looked at at once."""
        return 0.0 if urgent else self._pace.pause

    async def reconcile(self, target: Target) -> None:
        """Never raises but when cancelled."""
        started = steady()
        try:
            rested = await self._passes(target)
        except Fenced as error:
            log.info("not written", **self._about(target), error=str(error))
            self._queue.failed(target)
        except KubeError as error:
            self._failed(target, error)
        except Exception as error:
            log.exception("this job cannot be handled and is left for a while", **self._about(target))
            self._failed(target, error)
        else:
            if rested:
                self._queue.done(target)
            else:
                self._queue.blocked(target)
        finally:
            self._hands.telemetry.visited(steady() - started)

    def _failed(self, target: Target, error: Exception) -> None:
        if is_refusal(error) or not isinstance(error, KubeError):
            # Whoever cannot go on must not keep nodes from those that can.
            memory, job = self._hands.store.memory, self._hands.store.jobs.get(target.key)
            if job is not None and not target.uid and (memory.ask(job.uid, None) | memory.drop_grant(job.uid)):
                self._wake_scheduler()
        asked = error.retry_after if isinstance(error, ApiError) else None
        pause = self._queue.failed(target, asked or 0.0)
        self._hands.telemetry.planned(0.0, "failed")
        words = f"{type(error).__name__}: {error}"
        log.warning("pass failed", **self._about(target), error=words, again_in=round(pause, 1))

    def _about(self, target: Target) -> dict[str, object]:
        """What a log line about it carries."""
        job = self._hands.store.jobs.get(target.key)
        if target.uid or job is None:
            return {"job": str(target.key), "uid": target.uid or None}
        return {"job": str(target.key), "uid": job.uid, "attempt": job.status.attempt}

    async def _passes(self, target: Target) -> bool:
        """True if the job is at rest, or only waits for a time or a change."""
        done_before: Plan | None = None
        for _ in range(PASSES):
            started = steady()
            snapshot = job_snapshot(self._hands.store, target, self._pace.pause)
            if snapshot is None:
                return True
            if snapshot.unsure_nodes:
                if not await nodes_told(self._hands, snapshot.unsure_nodes):
                    return False
                continue
            now = self._hands.client.clock.now()
            self._see(snapshot, now)
            plan = self._planner(snapshot, now, self._hands.settings.planning)
            self._remember(target, snapshot, plan, now)
            took = steady() - started
            self._pace.note(target, took, started)
            if not plan.steps:
                self._hands.telemetry.planned(took, "settled")
                return True
            if done_before is not None and plan.steps == done_before.steps:
                self._hands.telemetry.planned(took, "blocked")
                return False  # done, and yet planned again: what it waits for has still to show
            outcome = await self._executor.perform(
                plan, Pass(snapshot, _log_of(snapshot), partial(self._queue.touch, target))
            )
            self._hands.telemetry.planned(took, "blocked" if outcome is Outcome.BLOCKED else "acted")
            if outcome is Outcome.BLOCKED:
                return False
            done_before = plan if outcome is Outcome.DONE else None
        self._queue.add(target, SOONEST)
        return True

    def _see(self, snapshot: JobSnapshot, now: Instant) -> None:
        """For how long each step of a start takes, which shows in the counts of its pods."""
        if snapshot.job is not None:
            gang = self._hands.store.gang(snapshot.uid)
            self._hands.telemetry.saw(snapshot.job, now, gang.live, gang.unbound, gang.unready)

    def _remember(self, target: Target, snapshot: JobSnapshot, plan: Plan, now: Instant) -> None:
        """What the plan wants kept, asked of the scheduler, or looked at later."""
        memory = self._hands.store.memory
        memory.remember_facts(snapshot.uid, plan.facts)
        if snapshot.job is not None:
            dropped = plan.drop_grant and memory.drop_grant(snapshot.uid)
            if memory.ask(snapshot.uid, plan.request) or dropped:
                self._wake_scheduler()
        if plan.requeue_at is not None:
            self._queue.add(target, plan.requeue_at - now)


def _log_of(snapshot: JobSnapshot) -> structlog.typing.FilteringBoundLogger:
    attempt = snapshot.job.status.attempt if snapshot.job is not None else None
    bound: structlog.typing.FilteringBoundLogger = log.bind(job=str(snapshot.key), uid=snapshot.uid, attempt=attempt)
    return bound
