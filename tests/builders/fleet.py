"""A store with whole jobs in it: what watches would have brought, from `JobBuilder`s, one or a thousand."""

from __future__ import annotations

from dataclasses import dataclass, replace

from builders.job import NOW, JobBuilder, make_job
from builders.pods import make_node
from trainyard.api.reasons import ConditionType, Phase, Reason
from trainyard.engine.queue import Target
from trainyard.engine.store import Store
from trainyard.model.status import Condition
from trainyard.model.views import ChildView, NodeView

GPU = "nvidia.com/gpu"
_WAITS = 9


class Deaf:
    """The store's listener, where nobody listens."""

    def job_changed(self, target: Target, *, urgent: bool) -> None:
        """Nobody looks."""

    def capacity_changed(self) -> None:
        """Nobody looks."""


def empty_store() -> Store:
    return Store(Deaf(), lambda: NOW)


def gpu_node(name: str, gpus: int = 8, **changes: object) -> NodeView:
    return make_node(name, allocatable=(("cpu", 96_000), (GPU, gpus), ("pods", 110)), **changes)


def put(store: Store, job: JobBuilder, gpus: int = 8) -> None:
    """The job as it stands, with its records, nodes and pods; each pod uses so many accelerators."""
    store.upsert_job(job.view)
    for record in job.records.values():
        child = ChildView(job.namespace, record.name, record.uid, job.uid, record.attempt)
        store.upsert_record(child, record)
    for name in job.nodes:
        if name not in store.nodes:
            store.upsert_node(gpu_node(name))
    for pod in job.pods.values():
        store.upsert_pod(replace(pod, resources=(("cpu", 1000), (GPU, gpus))))


@dataclass(frozen=True)
class Crowd:
    """How many of everything; of ten jobs seven run, one starts, one waits, one is over."""

    jobs: int = 1000
    pods_each: int = 10
    nodes: int = 1250
    namespaces: int = 20

    @property
    def pods(self) -> int:
        return sum(self.pods_each for number in range(self.jobs) if number % 10 != _WAITS)


def crowd(size: Crowd) -> Store:
    """A large fleet in a store. Running, starting and finished jobs have their pods."""
    store = empty_store()
    for number in range(size.nodes):
        store.upsert_node(gpu_node(f"node-{number}"))
    for number in range(size.jobs):
        put(store, _member(number, size))
    return store


def _member(number: int, size: Crowd) -> JobBuilder:
    job = make_job(f"training-run-{number}", f"team-{number % size.namespaces}").workers(size.pods_each, gpus=8)
    job.created = NOW - 60 - number
    kind = number % 10
    if kind == _WAITS:
        waiting = Condition(ConditionType.PLACED, False, Reason.INSUFFICIENT_CAPACITY, since=NOW)
        job.status = replace(job.status, phase=Phase.PENDING, conditions=(waiting,))
        return job
    first = number * size.pods_each
    job.opened(0, *(f"node-{(first + rank) % size.nodes}" for rank in range(size.pods_each))).created_gang()
    if kind == 8:
        return job
    job.running()
    if kind == 7:
        ended = Condition(ConditionType.SUCCEEDED, True, Reason.ALL_COMPLETED, since=NOW)
        job.succeeded()
        job.status = replace(job.status, phase=Phase.SUCCEEDED, conditions=(ended,))
    return job
