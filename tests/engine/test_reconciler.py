"""Does a pass end at rest, go on where it must, and keep one job's trouble to that job?"""

from __future__ import annotations

from typing import cast

import pytest

from engine.fakes import KEY, NOW, Bench
from trainyard.api.reasons import ConditionType, Phase, Reason
from trainyard.engine.events import Events
from trainyard.engine.executor import Executor
from trainyard.engine.guards import nodes_told
from trainyard.engine.queue import Target, WorkQueue
from trainyard.engine.reconciler import LATEST, SHARE, SOONEST, Pace, Planner, Reconciler
from trainyard.kube.client import Client
from trainyard.kube.clock import steady
from trainyard.kube.errors import ServerError
from trainyard.kube.resources import NODES, SERVICES, TRAINING_JOBS
from trainyard.model.cluster import GangRequest, Grant
from trainyard.model.plan import CreateService, EventNote, JobSnapshot, Plan, PlanningPolicy, WriteStatus
from trainyard.model.status import Condition, JobStatus
from trainyard.model.views import Instant, Key, NodeView

TARGET = Target(KEY)


class Rig:
    """A reconciler over the bench, with a planner of the test's making."""

    def __init__(self, bench: Bench, planner: Planner) -> None:
        self.queue = WorkQueue(bench.api.clock)
        self.events = Events(cast(Client, bench.api), "me")
        self.woken = 0
        self.reconciler = Reconciler(bench.hands, Executor(bench.hands, self.events), self.queue, planner, self._wake)

    def _wake(self) -> None:
        self.woken += 1

    async def run(self) -> None:
        self.queue.add(TARGET)
        taken = self.queue.take()
        assert taken == TARGET
        await self.reconciler.reconcile(taken)


def until_written(snapshot: JobSnapshot, now: Instant, policy: PlanningPolicy) -> Plan:
    """Three status writes, each planned from the one before."""
    assert snapshot.job is not None
    if snapshot.job.status.gpus == 3:
        return Plan(requeue_at=now + 7)
    note = EventNote("Normal", Reason.RESUMED, f"now {snapshot.job.status.gpus + 1}")
    return Plan((WriteStatus(JobStatus(gpus=snapshot.job.status.gpus + 1), "count"),), events=(note,))


async def test_after_a_write_the_job_is_planned_again_from_what_came_back(bench: Bench) -> None:
    rig = Rig(bench, until_written)
    await rig.run()
    assert bench.job.status.gpus == 3
    assert rig.queue.next_in() == 7
    assert rig.events._waiting.qsize() == 3


async def test_events_wait_for_the_commit(bench: Bench) -> None:
    bench.api.faults[("patch", str(TRAINING_JOBS), "gpt")] = [ServerError(500, "", "")]
    rig = Rig(bench, until_written)
    await rig.run()
    assert rig.events._waiting.qsize() == 3, "the write that failed told of nothing"


async def test_a_planner_that_breaks_harms_only_its_job(bench: Bench) -> None:
    def poison(snapshot: JobSnapshot, now: Instant, policy: PlanningPolicy) -> Plan:
        raise KeyError("worker")

    rig = Rig(bench, poison)
    await rig.run()
    pause = rig.queue.next_in()
    assert pause is not None
    assert 0 < pause <= 0.5


async def test_a_job_that_cannot_be_handled_keeps_nothing_from_others(bench: Bench) -> None:
    def poison(snapshot: JobSnapshot, now: Instant, policy: PlanningPolicy) -> Plan:
        raise KeyError("worker")

    request = GangRequest(KEY, "job-1", 0, bench.job.spec_hash, NOW, ())
    bench.store.memory.ask("job-1", request)
    bench.store.memory.hold(Grant(KEY, "job-1", 0, request.spec_hash, (), NOW), request, 30.0)
    rig = Rig(bench, poison)
    await rig.run()
    assert bench.store.memory.requests() == () and bench.store.memory.grants == {}
    assert rig.woken == 1


async def test_an_error_that_passes_leaves_a_job_its_place(bench: Bench) -> None:
    request = GangRequest(KEY, "job-1", 0, bench.job.spec_hash, NOW, ())
    bench.store.memory.ask("job-1", request)
    bench.api.faults[("create", str(SERVICES), "")] = [ServerError(503, "", "")]
    rig = Rig(bench, lambda *_: Plan((CreateService(),), request))
    await rig.run()
    assert bench.store.memory.requests() == (request,) and rig.woken == 0


class Planned:
    """Keeps what was to be planned."""

    def __init__(self) -> None:
        self.snapshots: list[JobSnapshot] = []

    def __call__(self, snapshot: JobSnapshot, now: Instant, policy: PlanningPolicy) -> Plan:
        self.snapshots.append(snapshot)
        return Plan()


async def test_a_node_never_heard_of_is_looked_for_before_anything_is_planned(bench: Bench) -> None:
    bench.open(nodes=("n1", "n2", "n3", "n3"))
    bench.api.put(NODES, {"metadata": {"name": "n1"}})
    bench.store.upsert_node(NodeView("n2", "u2", {}))
    planned = Planned()
    rig = Rig(bench, planned)
    await rig.run()
    assert planned.snapshots == [] and rig.queue.next_in(), "it exists, and its watch has still to tell of it"
    bench.store.upsert_node(NodeView("n1", "u1", {}))
    bench.api.calls.clear()
    await rig.run()
    assert set(planned.snapshots[0].nodes) == {"n1", "n2"}
    assert bench.api.written("list", NODES) == [], "what is known not to exist is not looked for again"
    bench.store.upsert_node(NodeView("n3", "u3", {}))
    bench.store.delete_node("n1")
    await rig.run()
    assert set(planned.snapshots[1].nodes) == {"n2", "n3"}
    assert bench.api.written("list", NODES) == [], "what was seen to go is gone"


async def test_many_nodes_are_looked_for_at_once_and_none_for_a_job_at_rest(bench: Bench) -> None:
    names = frozenset(f"n{number}" for number in range(100))
    bench.api.put(NODES, {"metadata": {"name": "n7"}})
    assert not await nodes_told(bench.hands, names)
    assert len(bench.api.written("list", NODES)) == 1
    bench.store.upsert_node(NodeView("n7", "u7", {}))
    assert await nodes_told(bench.hands, names)
    bench.open(nodes=("a", "b", "c", "d"))
    assert bench.begin().snapshot.unsure_nodes == {"a", "b", "c", "d"}
    over = Condition(ConditionType.FAILED, True, Reason.MAX_RESTARTS_EXCEEDED, since=NOW)
    bench.set_status(JobStatus(phase=Phase.FAILED, conditions=(over,)))
    assert bench.begin().snapshot.unsure_nodes == frozenset()


async def test_a_plan_that_changes_nothing_does_not_run_hot(bench: Bench) -> None:
    plans = 0

    def insist(snapshot: JobSnapshot, now: Instant, policy: PlanningPolicy) -> Plan:
        nonlocal plans
        plans += 1
        return Plan((CreateService(),))

    rig = Rig(bench, insist)
    await rig.run()
    assert plans == 2
    assert len(bench.api.written("create", SERVICES)) == 1
    assert rig.queue.next_in()


async def test_an_error_is_backed_off_for_as_long_as_the_server_asks(bench: Bench) -> None:
    bench.api.faults[("create", str(SERVICES), "")] = [ServerError(503, "", "", retry_after=17)]
    bench.api.faults[("get", str(SERVICES), "")] = [ServerError(503, "", "", retry_after=17)]
    rig = Rig(bench, lambda *_: Plan((CreateService(),)))
    await rig.run()
    assert rig.queue.next_in() == 17


async def test_facts_and_requests_are_kept_for_the_next_pass(bench: Bench) -> None:
    rig = Rig(bench, lambda *_: Plan(facts=frozenset({"waiting"})))
    await rig.run()
    bench.api.clock.at = NOW + 12
    assert bench.begin().snapshot.seen == {"waiting": 12}
    assert rig.woken == 0


async def test_counts_wait_and_news_do_not(bench: Bench) -> None:
    paces: list[float] = []

    def note(snapshot: JobSnapshot, now: Instant, policy: PlanningPolicy) -> Plan:
        paces.append(snapshot.pace)
        return Plan()

    rig = Rig(bench, note)
    rig.reconciler._pace.note(Target(Key("research", "large")), 3 * SHARE, now=steady())
    await rig.run()
    assert paces == [pytest.approx(3)], "the planner is told how busy we are"
    assert rig.reconciler.delay(urgent=True) == 0
    assert 0 < rig.reconciler.delay(urgent=False) < LATEST


def test_counting_takes_its_share_of_the_time_however_many_jobs_are_busy() -> None:
    pace, jobs = Pace(), [Target(Key("research", f"job-{number}")) for number in range(4)]
    for job in jobs:
        pace.note(job, 0.005, now=100.0)
    assert pace.pause == pytest.approx(sum(0.005 for _ in jobs) / SHARE)
    pace.note(jobs[0], 60.0, now=101.0)
    assert pace.pause == LATEST
    pace.note(jobs[0], 0.0, now=200.0)
    assert pace.pause == SOONEST, "the others have been at rest"
