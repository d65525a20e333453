"""What is counted and measured, under `trainyard_`, in a registry of its own: the engine's telemetry port, implemented.

Labels are bounded: verbs, resources, codes, phases, reasons, causes; never a job's or a pod's name. It must be cheap:
every call is a few additions.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

from trainyard.api.reasons import Phase
from trainyard.version import VERSION

PREFIX = "trainyard_"

_PASS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
_REQUEST_SECONDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ROUND_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


@dataclass(frozen=True, slots=True)
class Described:
    """One metric, for the reference page."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


class Metrics:
    """Implements the engine's `Telemetry` and the API client's observer."""

    def __init__(self, build: str = VERSION) -> None:
        without_created: Callable[[], None] = disable_created_metrics  # a second series for each, of no use to anyone
        without_created()
        self.registry = CollectorRegistry()
        self.described: list[Described] = []
        ProcessCollector(registry=self.registry)
        self._describe_process(build)
        self._describe_work()
        self._describe_jobs()

    def _describe_process(self, build: str) -> None:
        info = self._gauge("build_info", "Always 1; the labels say what runs.", "version", "build", "python")
        info.labels(VERSION, build, platform.python_version()).set(1)
        self._leader = self._gauge("leader", "1 while this process leads and writes, 0 on a standby.")
        self._leader.set(0)
        self._requests = self._counter(
            "api_requests_total",
            "Requests to the API server, by HTTP status or the name of the failure. A watch counts when it ends.",
            "verb",
            "resource",
            "code",
        )
        self._request_seconds = self._histogram(
            "api_request_duration_seconds",
            "Duration of requests to the API server; watches are left out.",
            _REQUEST_SECONDS,
            "verb",
            "resource",
        )
        self._silence = self._gauge(
            "watch_silence_seconds",
            "How long ago the watch of this resource was last heard. Above 150 it is taken for dead.",
            "resource",
        )
        self._objects = self._gauge("cache_objects", "Objects in the operator's store.", "resource")

    def _describe_work(self) -> None:
        self._passes = self._counter(
            "reconcile_total",
            "Passes over a job, by outcome: settled (nothing to do), acted, blocked (a guard said not yet), failed.",
            "outcome",
        )
        self._pass_seconds = self._histogram("reconcile_duration_seconds", "Duration of a pass.", _PASS_SECONDS)
        self._steps = self._counter(
            "plan_steps_total", "Steps of plans that were tried, by how they ended.", "step", "outcome"
        )
        self._queued = self._gauge(
            "queue_depth", "Jobs in the work queue: ready to be worked on, waiting for their time, active.", "state"
        )
        self._oldest = self._gauge("queue_oldest_seconds", "For how long the oldest ready job has waited for a worker.")
        self._round_seconds = self._histogram(
            "scheduling_round_seconds", "Duration of a scheduling round.", _ROUND_SECONDS
        )
        self._requests_pending = self._gauge("scheduling_requests", "Jobs that asked for a place in the last round.")
        self._grants = self._counter("grants_total", "Grants given: a whole gang was found a place.")

    def _describe_jobs(self) -> None:
        self._phases = self._gauge("jobs", "TrainingJobs, by phase.", "phase")
        self._waiting = self._gauge("jobs_waiting", "Jobs without a place after the last round, by reason.", "reason")
        self._finished = self._counter("jobs_finished_total", "Jobs that reached a terminal phase.", "phase")
        self._opened = self._counter("attempts_opened_total", "Attempts opened: a job's whole gang was started.")
        self._closed = self._counter(
            "attempts_closed_total", "Attempts closed before the job's end, by cause. Restarts are among them.", "cause"
        )
        self._created = self._counter("pods_created_total", "Pods created.")
        self._deleted = self._counter("pods_deleted_total", "Pods deleted by the operator.")

    # The API client's observer

    def request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """One answered or failed request."""
        self._requests.labels(verb, resource, code).inc()
        if verb != "watch":
            self._request_seconds.labels(verb, resource).observe(seconds)

    # The engine's telemetry port

    def planned(self, seconds: float, outcome: str) -> None:
        """One pass over one job."""
        self._passes.labels(outcome).inc()
        self._pass_seconds.observe(seconds)

    def step(self, kind: str, outcome: str) -> None:
        """One step of a plan."""
        self._steps.labels(kind, outcome).inc()

    def queue(self, ready: int, waiting: int, active: int, oldest: float) -> None:
        """State of the work queue."""
        for state, count in (("ready", ready), ("waiting", waiting), ("active", active)):
            self._queued.labels(state).set(count)
        self._oldest.set(oldest)

    def scheduled(self, seconds: float, requests: int, grants: int, refusals: Mapping[str, int]) -> None:
        """One round of the scheduler."""
        self._round_seconds.observe(seconds)
        self._requests_pending.set(requests)
        self._grants.inc(grants)
        _replace(self._waiting, refusals)

    def opened(self) -> None:
        """An attempt was opened."""
        self._opened.inc()

    def closed(self, cause: str) -> None:
        """An attempt was closed."""
        self._closed.labels(cause).inc()

    def finished(self, phase: str) -> None:
        """A job reached a terminal phase."""
        self._finished.labels(phase).inc()

    def objects(self, counts: Mapping[str, int]) -> None:
        """How many objects of each resource the store holds."""
        _replace(self._objects, counts)

    def jobs(self, phases: Mapping[str, int]) -> None:
        """How many jobs are in each phase; phases without any are reported as 0."""
        _replace(self._phases, {**{phase.value: 0 for phase in Phase}, **phases})

    def leading(self, leader: bool) -> None:
        """Whether this process leads."""
        self._leader.set(1 if leader else 0)

    def pods(self, created: int = 0, deleted: int = 0) -> None:
        """Pods whose creation or deletion was answered."""
        self._created.inc(created)
        self._deleted.inc(deleted)

    def watches(self, silent: Mapping[str, float]) -> None:
        """Seconds since each resource's watch was last heard."""
        _replace(self._silence, silent)

    # How metrics come to be

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        self.described.append(Described(PREFIX + name, "counter", labels, meaning))
        return Counter(PREFIX + name, meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        self.described.append(Described(PREFIX + name, "gauge", labels, meaning))
        return Gauge(PREFIX + name, meaning, labels, registry=self.registry)

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        self.described.append(Described(PREFIX + name, "histogram", labels, meaning))
        return Histogram(PREFIX + name, meaning, labels, registry=self.registry, buckets=buckets)


def _replace(gauge: Gauge, values: Mapping[str, float]) -> None:
    """The gauge's series are these and no others: what is no longer told must not keep its last value."""
    gauge.clear()
    for label, value in values.items():
        gauge.labels(label).set(value)
