"""Does the engine tell of what it did, after the commit and once, and freeze its store as it stands?"""

from __future__ import annotations

from typing import Any, cast

import pytest

from builders.fleet import GPU, empty_store, put
from builders.job import NOW, make_job
from engine.fakes import KEY, Bench
from trainyard.api.reasons import Cause, Reason
from trainyard.engine.events import Events
from trainyard.engine.executor import Executor
from trainyard.engine.fleet import freeze
from trainyard.engine.queue import Target, WorkQueue
from trainyard.engine.reconciler import Planner, Reconciler
from trainyard.engine.scheduling_loop import SchedulingLoop
from trainyard.engine.status_step import write_status
from trainyard.engine.telemetry_port import NullTelemetry
from trainyard.kube.client import Client
from trainyard.kube.errors import Forbidden, ServerError, Unreachable
from trainyard.kube.resources import TRAINING_JOBS
from trainyard.model.cluster import Decision, GangRequest, Grant, RoleRequest
from trainyard.model.plan import Plan, WriteStatus
from trainyard.model.status import JobStatus
from trainyard.model.views import Instant, JobView

PATCH = ("patch", str(TRAINING_JOBS), "gpt")


class Ear(NullTelemetry):
    """Keeps what matters here."""

    def __init__(self) -> None:
        self.writes: list[str] = []
        self.committed_: list[tuple[JobStatus, JobStatus, Instant]] = []
        self.visits: list[float] = []
        self.sights: list[tuple[int, int, int]] = []
        self.grants: list[tuple[str, int, Instant]] = []
        self.rounds: list[tuple[int, int, int]] = []

    def status_write(self, outcome: str) -> None:
        self.writes.append(outcome)

    def committed(self, job: JobView, after: JobStatus, at: Instant) -> None:
        self.committed_.append((job.status, after, at))

    def visited(self, seconds: float) -> None:
        self.visits.append(seconds)

    def saw(self, job: JobView, at: Instant, live: int, unbound: int, unready: int) -> None:
        self.sights.append((live, unbound, unready))

    def granted(self, uid: str, attempt: int, at: Instant) -> None:
        self.grants.append((uid, attempt, at))

    def scheduled(self, seconds: float, requests: int, grants: int, lapsed: int) -> None:
        self.rounds.append((requests, grants, lapsed))


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def told(ear: Ear) -> Bench:
    return Bench(telemetry=ear)


async def test_a_commit_is_told_with_what_was_before(told: Bench, ear: Ear) -> None:
    before, after = told.job.status, JobStatus(gpus=8)
    await write_status(told.hands, told.begin(), WriteStatus(after, "why"))
    assert ear.writes == ["written"]
    assert ear.committed_ == [(before, after, NOW)]


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (ServerError(500, "", ""), "lost"),
        (Unreachable("", ambiguous=True), "lost"),
        (Unreachable("", ambiguous=False), "failed"),
    ],
)
async def test_a_write_that_is_not_known_to_be_committed_tells_of_no_commit(
    told: Bench, ear: Ear, fault: Exception, outcome: str
) -> None:
    told.api.faults[PATCH] = [fault]
    try:
        await write_status(told.hands, told.begin(), WriteStatus(JobStatus(gpus=8), ""))
    except Unreachable:
        assert outcome == "failed"
    assert (ear.writes, ear.committed_) == ([outcome], [])


async def test_a_commit_whose_answer_was_lost_is_told_once_it_is_read_back(told: Bench, ear: Ear) -> None:
    told.api.losses[PATCH] = [Unreachable("", ambiguous=True)]
    await write_status(told.hands, told.begin(), WriteStatus(JobStatus(gpus=8, started_at=NOW + 0.25), ""))
    assert ear.writes == ["lost"]
    assert [after.gpus for _, after, _ in ear.committed_] == [8]


async def test_a_conflict_is_counted(told: Bench, ear: Ear) -> None:
    step = told.begin()
    raw = told.api.objects[(str(TRAINING_JOBS), "gpt")]
    told.api.put(TRAINING_JOBS, {**raw, "status": {"gpus": 3}})
    await write_status(told.hands, step, WriteStatus(JobStatus(gpus=8), ""))
    assert (ear.writes, ear.committed_) == (["conflict"], [])


def visit(told: Bench, planner: Planner) -> Any:
    queue = WorkQueue(told.api.clock)
    executor = Executor(told.hands, Events(cast(Client, told.api), "me"))
    reconciler = Reconciler(told.hands, executor, queue, planner, lambda: None)
    queue.add(Target(KEY))
    taken = queue.take()
    assert taken is not None
    return reconciler.reconcile(taken)


async def test_a_visit_is_told_once_however_it_ends_with_what_it_saw_of_the_pods(told: Bench, ear: Ear) -> None:
    told.open()
    for rank in range(4):
        told.pod(rank)

    def fails(*_: object) -> Plan:
        raise Forbidden(403, "Forbidden", "no")

    await visit(told, lambda *_: Plan())
    await visit(told, fails)
    assert len(ear.visits) == 2
    assert ear.sights == [(4, 4, 4)] * 2


async def test_grants_are_told_when_they_are_kept_and_when_they_lapse(told: Bench, ear: Ear) -> None:
    request = GangRequest(KEY, "job-1", 0, "hash", NOW, (RoleRequest("worker", 2, 0, (("cpu", 1),)),))
    grant = Grant(KEY, "job-1", 0, "hash", ("n1", "n2"), NOW)
    told.store.memory.ask("job-1", request)
    decisions = [Decision((grant,)), Decision()]
    loop = SchedulingLoop(told.hands, lambda *_: decisions.pop(0), lambda _: None)
    await loop._round()
    told.api.clock.at += 31
    await loop._round()
    assert ear.grants == [("job-1", 0, NOW)]
    assert ear.rounds == [(1, 1, 0), (1, 0, 1)]


def test_a_frozen_fleet_does_not_move_with_the_store() -> None:
    store = empty_store()
    put(store, make_job("a").workers(2, gpus=8).opened().create())
    fleet = freeze(store, NOW, ())
    store.delete_job("uid-of-a")
    for pod in list(store.table.pods):
        store.delete_pod(pod, None)
    store.delete_node("n0")
    assert [job.name for job in fleet.jobs] == ["a"]
    assert len(fleet.pods) == 2
    assert set(fleet.nodes) == {"n0", "n1"}
    assert fleet.accelerators == {GPU}
    ((record, ranks),) = [(p.record, p.ranks) for p in fleet.promised]
    assert (record.attempt, ranks) == (0, (0, 1))


def test_only_live_pods_outside_an_open_attempt_are_ending() -> None:
    store = empty_store()
    put(store, make_job("open").workers(1).opened().created_gang().running())
    put(
        store,
        make_job("closed")
        .workers(2)
        .opened()
        .created_gang()
        .running()
        .failed(0)
        .closed(Cause.DISRUPTION, Reason.EVICTED),
    )
    put(store, make_job("unbound").workers(1).opened().create().closed(Cause.DISRUPTION, Reason.EVICTED))
    assert [(pod.job, pod.rank) for pod in freeze(store, NOW, ()).ending] == [("closed", 1)]
