"""What is counted and measured, in a registry of its own: the engine's telemetry port, implemented.

Every call is a few additions. Labels are bounded; the series of single jobs are not here but in `job_text`.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

from trainyard.api.reasons import Cause, Phase, Reason
from trainyard.model.status import Episode, JobStatus
from trainyard.model.views import Instant, JobView
from trainyard.telemetry import catalog
from trainyard.telemetry.bounded import Bounded
from trainyard.telemetry.catalog import Metric
from trainyard.telemetry.timeline import RECOVERY_STEPS, START_STEPS, Sight, Timelines, Told
from trainyard.telemetry.waiting import start_of
from trainyard.version import VERSION

NODES = 2000
COUNTED_NAMESPACES = 200
"""That are told apart where something is counted. A node comes only once it hurt a job; a namespace has 25 series."""

# A counter that begins with its first event hides that event from `increase()`: what may well happen begins at 0.
_CLOSES = {
    Cause.APPLICATION_FAILURE: (Reason.APPLICATION_FAILURE, Reason.SERVER_ENDED, Reason.ADMISSION_ERROR),
    Cause.DISRUPTION: (
        Reason.EVICTED,
        Reason.PREEMPTED,
        Reason.POD_DELETED,
        Reason.POD_LOST,
        Reason.NODE_LOST,
        Reason.NODE_UNREACHABLE,
    ),
    Cause.START_ROLLED_BACK: (
        Reason.UNSCHEDULABLE,
        Reason.START_DEADLINE_EXCEEDED,
        Reason.NODE_REFUSED,
        Reason.NOT_READY_NODES,
        Reason.POD_REFUSED,
        Reason.OBJECT_REFUSED,
        Reason.QUOTA_EXCEEDED,
    ),
}
_ENDS = (
    (Phase.SUCCEEDED, Reason.ALL_COMPLETED),
    (Phase.FAILED, Reason.MAX_RESTARTS_EXCEEDED),
    (Phase.FAILED, Reason.ACTIVE_DEADLINE_EXCEEDED),
    (Phase.FAILED, Reason.IMAGE_INVALID),
)
_STARTS = ("first", "restart")
_FROM_THE_BEGINNING: dict[Metric, Iterable[tuple[str, ...]]] = {
    catalog.RECONCILES: [("settled",), ("acted",), ("blocked",), ("failed",)],
    catalog.STATUS_WRITES: [("written",), ("conflict",), ("lost",), ("failed",)],
    catalog.GRANTS: [("given",), ("lapsed",)],
    catalog.SCRAPES: [("200",)],
    catalog.QUEUE_WAIT: list(product(_STARTS, ("opened", "withdrawn"))),
    catalog.RUN_SECONDS: [(Phase.SUCCEEDED.value,), (Phase.FAILED.value,)],
    catalog.START_STEPS: [(step,) for _, step in START_STEPS.values()],
    catalog.START_SECONDS: [(start,) for start in _STARTS],
    catalog.RECOVERY_STEPS: [(step,) for _, step in RECOVERY_STEPS.values()],
    catalog.RECOVERY_SECONDS: [(cause.value,) for cause in _CLOSES],
}


class Metrics:
    """Implements the engine's `Telemetry` and the API client's observer."""

    def __init__(self, build: str = VERSION, *, in_flight_limit: int = 0) -> None:
        without_created: Callable[[], None] = disable_created_metrics  # a second series for each, of no use to anyone
        without_created()
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._namespace = Bounded(COUNTED_NAMESPACES, self._forget_namespace)
        self._begun: set[str] = set()
        """Namespaces, as they are told, whose counters have begun."""
        self._node = Bounded(NODES, self._forget_node)
        self._instruments()
        self._fleet_instruments()
        self._timelines = Timelines(self._told())
        info = self._gauge(catalog.BUILD_INFO)
        info.labels(VERSION, build, platform.python_version()).set(1)
        self._leader.set(0)
        self._gauge(catalog.IN_FLIGHT_LIMIT).set(in_flight_limit)

    def _instruments(self) -> None:
        self._leader = self._gauge(catalog.LEADER)
        self._lease_age = self._gauge(catalog.LEASE_AGE)
        self._lease_age.set(float("nan"))
        self._plans = self._counter(catalog.RECONCILES)
        self._visit_seconds = self._histogram(catalog.RECONCILE_SECONDS)
        self._plan_seconds = self._histogram(catalog.PLAN_SECONDS)
        self._steps = self._counter(catalog.STEPS)
        self._status_writes = self._counter(catalog.STATUS_WRITES)
        self._queued = self._gauge(catalog.QUEUE_DEPTH)
        self._oldest = self._gauge(catalog.QUEUE_OLDEST)
        self._longest_active = self._gauge(catalog.LONGEST_ACTIVE)
        self._loop_lag = self._histogram(catalog.LOOP_LAG)
        self._created = self._counter(catalog.PODS_CREATED)
        self._deleted = self._counter(catalog.PODS_DELETED)
        self._round_seconds = self._histogram(catalog.ROUND_SECONDS)
        self._round_requests = self._gauge(catalog.ROUND_REQUESTS)
        self._grants = self._counter(catalog.GRANTS)
        self._scrapes = self._counter(catalog.SCRAPES)
        self._scrape_seconds = self._histogram(catalog.SCRAPE_SECONDS)
        self._requests = self._counter(catalog.REQUESTS)
        self._request_seconds = self._histogram(catalog.REQUEST_SECONDS)
        self._in_flight = self._gauge(catalog.IN_FLIGHT)
        self._retry_after = self._counter(catalog.RETRY_AFTER)
        self._silence = self._gauge(catalog.WATCH_SILENCE)
        self._healthy = self._gauge(catalog.WATCH_HEALTHY)
        self._unreadable = self._counter(catalog.UNREADABLE)
        self._objects = self._gauge(catalog.CACHE_OBJECTS)

    def _fleet_instruments(self) -> None:
        self._queue_wait = self._histogram(catalog.QUEUE_WAIT)
        self._opened = self._counter(catalog.OPENED)
        self._closed = self._counter(catalog.CLOSED)
        self._node_failures = self._counter(catalog.NODE_FAILURES)
        self._finished = self._counter(catalog.FINISHED)
        self._run_seconds = self._histogram(catalog.RUN_SECONDS)
        self._start_steps = self._histogram(catalog.START_STEPS)
        self._start_seconds = self._histogram(catalog.START_SECONDS)
        self._recovery_steps = self._histogram(catalog.RECOVERY_STEPS)
        self._recovery_seconds = self._histogram(catalog.RECOVERY_SECONDS)

    def _told(self) -> Told:
        return Told(
            start_step=lambda step, seconds: self._start_steps.labels(step).observe(seconds),
            start=lambda start, seconds: self._start_seconds.labels(start).observe(seconds),
            recovery_step=lambda step, seconds: self._recovery_steps.labels(step).observe(seconds),
            recovery=lambda cause, seconds: self._recovery_seconds.labels(cause).observe(seconds),
            waited=lambda start, outcome, seconds: self._queue_wait.labels(start, outcome).observe(seconds),
        )

    # The API client's observer

    def request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """One answered or failed request."""
        self._requests.labels(verb, resource, code).inc()
        if verb != "watch":
            self._request_seconds.labels(verb, resource).observe(seconds)

    def told_to_wait(self, seconds: float) -> None:
        """An answer's `Retry-After`."""
        self._retry_after.inc(seconds)

    # The engine's telemetry port: work

    def planned(self, seconds: float, outcome: str) -> None:
        """One plan for one job."""
        self._plans.labels(outcome).inc()
        self._plan_seconds.observe(seconds)

    def visited(self, seconds: float) -> None:
        """One visit to a job, with its requests."""
        self._visit_seconds.observe(seconds)

    def step(self, kind: str, outcome: str) -> None:
        """One step of a plan."""
        self._steps.labels(kind, outcome).inc()

    def status_write(self, outcome: str) -> None:
        """One write of a status."""
        self._status_writes.labels(outcome).inc()

    def pods(self, created: int = 0, deleted: int = 0) -> None:
        """Pods whose creation or deletion was answered."""
        self._created.inc(created)
        self._deleted.inc(deleted)

    def scheduled(self, seconds: float, requests: int, grants: int, lapsed: int) -> None:
        """One round of the scheduler."""
        if requests:
            self._round_seconds.observe(seconds)
        self._round_requests.set(requests)
        self._grants.labels("given").inc(grants)
        self._grants.labels("lapsed").inc(lapsed)

    # The engine's telemetry port: jobs

    def saw(self, job: JobView, at: Instant, live: int, unbound: int, unready: int) -> None:
        """A job was planned as it stands here."""
        self._shown(job.namespace, at)
        self._timelines.saw(Sight(job, at, live, unbound, unready))

    def _shown(self, namespace: str, at: Instant) -> str:
        """The namespace as it is told; its counters have begun."""
        shown = self._namespace(namespace, at)
        if shown not in self._begun:
            self._begin(shown)
        return shown

    def _begin(self, namespace: str) -> None:
        self._begun.add(namespace)
        for start in _STARTS:
            self._opened.labels(namespace, start)
        for cause, reasons in _CLOSES.items():
            for reason in reasons:
                self._closed.labels(namespace, cause.value, reason.value)
        for phase, reason in _ENDS:
            self._finished.labels(namespace, phase.value, reason.value)

    def _forget_namespace(self, namespace: str) -> None:
        self._begun.discard(namespace)
        for counter in (self._opened, self._closed, self._finished):
            counter.remove_by_labels({"namespace": namespace})

    def _forget_node(self, node: str) -> None:
        self._node_failures.remove_by_labels({"node": node})

    def granted(self, uid: str, attempt: int, at: Instant) -> None:
        """A place was found."""
        self._timelines.granted(uid, attempt, at)

    def committed(self, job: JobView, after: JobStatus, at: Instant) -> None:
        """A status was written; `job` is as it was before."""
        before = job.status
        namespace = self._shown(job.namespace, at)
        if after.open and not before.open:
            self._opened.labels(namespace, start_of(after)).inc()
        for episode in newly_settled(before, after):
            self._closed.labels(namespace, episode.cause.value, episode.reason.value).inc()
            if episode.node:
                self._node_failures.labels(self._node(episode.node, at), episode.cause.value).inc()
        if after.terminal and not before.terminal:
            reason = after.finishing.reason.value if after.finishing is not None else ""
            self._finished.labels(namespace, after.phase.value, reason).inc()
            if after.started_at is not None:
                self._run_seconds.labels(after.phase.value).observe(max(0.0, at - after.started_at))

    # The engine's telemetry port: how things stand

    def leading(self, leader: bool) -> None:
        """Whether this process leads. What was noted of jobs under an earlier lead may be out of date."""
        self._leader.set(1 if leader else 0)
        self._timelines.clear()
        if not leader:
            self._round_requests.set(0)

    def lease(self, age: float | None) -> None:
        """Seconds since the Lease was renewed, or seen to change; None where it was never seen."""
        self._lease_age.set(float("nan") if age is None else age)

    def queue(self, ready: int, waiting: int, active: int, oldest: float, longest: float) -> None:
        """State of the work queue."""
        for state, count in (("ready", ready), ("waiting", waiting), ("active", active)):
            self._queued.labels(state).set(count)
        self._oldest.set(oldest)
        self._longest_active.set(longest)

    def in_flight(self, sent: int, queued: int) -> None:
        """Requests to the API server that are under way, and that wait for their turn."""
        self._in_flight.labels("sent").set(sent)
        self._in_flight.labels("queued").set(queued)

    def watches(self, silent: Mapping[str, float], healthy: Mapping[str, bool]) -> None:
        """Seconds since each resource's watch was last heard, and whether it can be trusted."""
        _replace(self._silence, silent)
        _replace(self._healthy, healthy)

    def unreadable(self, resource: str, more: int) -> None:
        """So many more objects could not be read."""
        self._unreadable.labels(resource).inc(more)

    def objects(self, counts: Mapping[str, int]) -> None:
        """How many objects of each resource the store holds."""
        _replace(self._objects, counts)

    def jobs(self, uids: Iterable[str], at: Instant) -> None:
        """The jobs that are there; what was noted of others is over."""
        self._timelines.keep(uids, at)

    def lag(self, seconds: float) -> None:
        """How late a timer was."""
        self._loop_lag.observe(seconds)

    # The endpoint

    def scraped(self, code: int, seconds: float | None = None) -> None:
        """One answer of the endpoint."""
        self._scrapes.labels(str(code)).inc()
        if seconds is not None:
            self._scrape_seconds.observe(seconds)

    # How instruments come to be

    def _counter(self, metric: Metric) -> Counter:
        counter = Counter(metric.full_name, metric.meaning, metric.labels, registry=self.registry)
        for values in _FROM_THE_BEGINNING.get(metric, ()):
            counter.labels(*values)
        return counter

    def _gauge(self, metric: Metric) -> Gauge:
        return Gauge(metric.full_name, metric.meaning, metric.labels, registry=self.registry)

    def _histogram(self, metric: Metric) -> Histogram:
        histogram = Histogram(
            metric.full_name, metric.meaning, metric.labels, registry=self.registry, buckets=metric.buckets
        )
        for values in _FROM_THE_BEGINNING.get(metric, ()):
            histogram.labels(*values)
        return histogram


def newly_settled(before: JobStatus, after: JobStatus) -> list[Episode]:
    """The closes whose cause became certain with this write."""
    known = {episode.attempt for episode in before.episodes if episode.settled}
    return [episode for episode in after.episodes if episode.settled and episode.attempt not in known]


def _replace(gauge: Gauge, values: Mapping[str, float]) -> None:
    """The gauge's series are these and no others: what is no longer told must not keep its last value."""
    gauge.clear()
    for label, value in values.items():
        gauge.labels(label).set(value)
