"""Do the series about jobs tell what the store holds, for as long as it holds it, and no more than they may?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders.fleet import GPU, Crowd, crowd, empty_store, gpu_node, put
from builders.job import NOW, JobBuilder, make_job
from support.series import Scrape
from trainyard.api.reasons import Cause, ConditionType, Phase, Reason
from trainyard.engine.fleet import freeze
from trainyard.engine.store import Store
from trainyard.model.cluster import GangRequest, Grant, RoleRequest
from trainyard.model.status import Condition, Restarts, RoleStatus
from trainyard.model.views import Key, NodeReady
from trainyard.telemetry.fleet_text import FleetText, Limits
from trainyard.telemetry.job_text import rank_states
from trainyard.telemetry.sums_text import NAMESPACES
from trainyard.telemetry.waiting import wait_of


@pytest.fixture
def store() -> Store:
    return empty_store()


def scrape(store: Store, limits: Limits | None = None, now: float = NOW) -> Scrape:
    return Scrape("".join(FleetText(limits or Limits()).render(freeze(store, now, ()), openmetrics=False)))


def waiting(job: JobBuilder, reason: Reason) -> JobBuilder:
    condition = Condition(ConditionType.PLACED, False, reason, since=NOW)
    job.status = replace(job.status, conditions=(condition,))
    return job


def running(name: str = "gpt", replicas: int = 4, **spec: object) -> JobBuilder:
    return make_job(name).workers(replicas, gpus=8, **spec).opened().created_gang().running()


ME = {"namespace": "research", "job_name": "gpt"}


def test_a_running_job_is_told_in_full(store: Store) -> None:
    job = running()
    job.status = replace(job.status, restarts=Restarts(total=6, application=1, disruption=4), attempt=0)
    put(store, job)
    got = scrape(store)
    (info,) = got.all("job_info", **ME)
    assert info[0] == {
        **ME,
        "uid": "uid-of-gpt",
        "framework": "torch",
        "placement": "Builtin",
        "priority_class": "",
    }
    phases = got.by("phase", "job_phase", **ME)
    assert set(phases) == set(Phase)
    assert {phase for phase, on in phases.items() if on} == {"Running"}
    assert got.by("cause", "job_restarts_total", **ME) == {"application": 1, "disruption": 4}
    assert got.value("job_restarts_unsettled", **ME) == 1
    assert got.value("job_attempt", **ME) == 0
    assert got.value("job_created_timestamp_seconds", **ME) == NOW - 60
    assert got.value("job_started_timestamp_seconds", **ME) == NOW
    assert got.value("job_running_timestamp_seconds", **ME) == NOW
    assert got.value("job_finished_timestamp_seconds", **ME) is None
    assert got.value("job_waiting_seconds", **ME) is None
    share = {**ME, "role": "worker", "resource": GPU}
    assert got.value("job_accelerators_requested", **share) == 32
    assert got.value("job_accelerators_held", **share) == 32
    assert got.value("job_accelerators_idle", **share) == 0
    assert len(got.all("job_pod_info", **ME)) == 4
    (pod,) = got.all("job_pod_info", pod=job.pod_name(2))
    assert pod[0] == {
        **ME,
        "pod": job.pod_name(2),
        "role": "worker",
        "index": "2",
        "rank": "2",
        "attempt": "0",
        "node": "n2",
    }


def test_what_a_starting_gang_holds_is_idle(store: Store) -> None:
    put(store, make_job().workers(4, gpus=8).opened().create(0, 1))
    got = scrape(store)
    assert got.value("accelerators_held", namespace="research", resource=GPU) == 32, "promised ranks count"
    assert got.value("accelerators_idle", namespace="research", resource=GPU) == 32
    assert got.all("job_pod_info") == [], "no pod is bound"


def test_completed_ranks_hold_nothing(store: Store) -> None:
    job = running()
    job.status = replace(job.status, roles=(RoleStatus("worker", 4, completed=frozenset({0, 3})),))
    put(store, job)
    assert scrape(store).value("accelerators_held", namespace="research", resource=GPU) == 16


def test_a_gang_whose_record_was_lost_holds_what_its_spec_says(store: Store) -> None:
    job = running()
    job.records.clear()
    put(store, job)
    share = {**ME, "role": "worker", "resource": GPU}
    assert scrape(store).value("job_accelerators_held", **share) == 32


def test_promises_are_those_of_each_role(store: Store) -> None:
    job = make_job().role("server", 2).workers(2, gpus=8).opened()
    put(store, job)
    states = scrape(store).by("state", "cluster_accelerators", resource=GPU)
    assert states == {"used": 0, "promised": 16, "unavailable": 0, "free": 16}, "servers take none"


def test_pods_that_are_still_ending_hold_their_accelerators_idle(store: Store) -> None:
    put(store, running().closed(Cause.DISRUPTION, Reason.EVICTED))
    got = scrape(store)
    share = {**ME, "role": "worker", "resource": GPU}
    assert (got.value("job_accelerators_held", **share), got.value("job_accelerators_idle", **share)) == (32, 32)


def test_pods_whose_job_is_gone_hold_theirs_too(store: Store) -> None:
    put(store, running())
    store.delete_job("uid-of-gpt")
    got = scrape(store)
    assert got.value("accelerators_held", namespace="research", resource=GPU) == 32
    assert got.value("accelerators_requested", namespace="research", resource=GPU) == 0
    assert got.all("job_info") == []


def test_a_suspended_job_asks_for_nothing(store: Store) -> None:
    put(store, make_job().workers(4, gpus=8).suspended())
    got = scrape(store)
    assert got.all("job_accelerators_requested") == []
    assert got.all("jobs_waiting") == []


def test_series_vanish_with_the_job(store: Store) -> None:
    put(store, running())
    put(store, running("bert"))
    assert scrape(store).names(["gpt"])
    store.delete_job("uid-of-gpt")
    for uid in [pod.uid for pod in store.table.pods.values() if pod.job == "gpt"]:
        store.delete_pod(uid, None)
    got = scrape(store)
    assert got.names(["gpt"]) == set()
    assert got.names(["bert"])


def test_waiting_jobs_tell_why_and_since_when(store: Store) -> None:
    put(store, waiting(make_job("a").workers(1), Reason.INSUFFICIENT_CAPACITY))
    put(store, waiting(make_job("b").workers(1), Reason.QUOTA_EXCEEDED))
    old = waiting(make_job("c").workers(1), Reason.INSUFFICIENT_CAPACITY)
    old.created = NOW - 500
    put(store, old)
    put(store, running("d"))
    got = scrape(store)
    assert got.by("reason", "jobs_waiting") == {"InsufficientCapacity": 2, "QuotaExceeded": 1}
    assert got.by("reason", "jobs_waiting_oldest_seconds") == {"InsufficientCapacity": 500, "QuotaExceeded": 60}
    assert got.value("job_waiting_seconds", job_name="c", reason="InsufficientCapacity") == 500
    assert got.value("job_waiting_seconds", job_name="d") is None


def test_a_wait_begins_with_creation_close_or_resume() -> None:
    job = running().passed(100).closed(Cause.DISRUPTION, Reason.EVICTED)
    wait = wait_of(job.view)
    assert wait is not None
    assert (wait.since, wait.start) == (NOW + 100, "restart")
    resumed = Condition(ConditionType.SUSPENDED, False, Reason.RESUMED, since=NOW + 300)
    job = running().passed(100).closed(Cause.SUSPENDED, Reason.SUSPENDED)
    job.status = replace(job.status, conditions=(resumed,))
    wait = wait_of(job.view)
    assert wait is not None
    assert (wait.since, wait.start) == (NOW + 300, "first")


def rolled_back(times: int) -> JobBuilder:
    job = make_job().workers(2)
    for _ in range(times):
        job.opened().closed(Cause.START_ROLLED_BACK, Reason.START_DEADLINE_EXCEEDED)
    return job


def with_condition(job: JobBuilder, kind: ConditionType, status: bool, reason: Reason, since: float) -> JobBuilder:
    job.status = replace(job.status, conditions=(Condition(kind, status, reason, since=since),))
    return job


@pytest.mark.parametrize(
    ("job", "count"),
    [
        (rolled_back(0), 0),
        (rolled_back(3), 3),
        (rolled_back(3).opened(), 3),
        (rolled_back(3).opened().closed(Cause.DISRUPTION, Reason.EVICTED), 0),
        (rolled_back(1).opened().closed(Cause.DISRUPTION, Reason.EVICTED).opened(), 0),
        (rolled_back(3).suspended(), 0),
        (with_condition(rolled_back(3), ConditionType.SUSPENDED, False, Reason.RESUMED, NOW + 1), 0),
        (with_condition(rolled_back(3), ConditionType.SUSPENDED, False, Reason.RESUMED, NOW - 1), 3),
        (with_condition(rolled_back(3).opened(), ConditionType.RUNNING, True, Reason.ALL_RANKS_RUNNING, NOW), 0),
        (with_condition(rolled_back(3).opened(), ConditionType.RUNNING, False, Reason.GANG_STARTING, NOW), 3),
    ],
)
def test_starts_in_a_row_that_came_to_nothing_are_counted(store: Store, job: JobBuilder, count: int) -> None:
    put(store, job)
    assert scrape(store).value("job_starts_rolled_back", **ME) == count


def being_deleted() -> JobBuilder:
    job = make_job().workers(1)
    job.deletion = NOW
    return job


@pytest.mark.parametrize(
    "job",
    [
        running(),
        make_job().workers(1).suspended(),
        being_deleted(),
    ],
    ids=["open", "suspended", "being deleted"],
)
def test_these_do_not_wait(job: JobBuilder) -> None:
    assert wait_of(job.view) is None


def test_another_controllers_job_is_not_told_of(store: Store) -> None:
    job = make_job().workers(1)
    job.managed_by = "kueue.x-k8s.io/multikueue"
    put(store, job)
    assert scrape(store).names(["gpt", "research"]) == set()


def test_jobs_beyond_the_cap_are_counted_and_the_unfinished_come_first(store: Store) -> None:
    over = running("old-and-over")
    over.status = replace(over.status, phase=Phase.SUCCEEDED)
    put(store, over)
    for number in range(3):
        job = make_job(f"job-{number}").workers(1)
        job.created = NOW - number
        put(store, job)
    got = scrape(store, Limits(jobs=2))
    assert {labels["job_name"] for labels, _ in got.all("job_info")} == {"job-0", "job-1"}
    assert got.value("job_series_dropped") == 2
    assert got.total("jobs") == 4, "sums leave nobody out"
    assert got.all("job_pod_info") == []
    assert scrape(store).value("job_series_dropped") == 0


def test_pod_series_can_be_left_out(store: Store) -> None:
    put(store, running())
    assert scrape(store, Limits(pods=False)).all("job_pod_info") == []


def test_finished_jobs_keep_only_what_they_were(store: Store) -> None:
    job = running()
    ended = Condition(ConditionType.FAILED, True, Reason.MAX_RESTARTS_EXCEEDED, since=NOW + 5)
    job.swept()
    job.status = replace(job.status, phase=Phase.FAILED, conditions=(ended,))
    put(store, job)
    got = scrape(store)
    assert got.value("job_finished_timestamp_seconds", **ME) == NOW + 5
    assert got.value("job_phase", phase="Failed", **ME) == 1
    for name in ("job_ranks", "job_accelerators_requested", "job_accelerators_held", "job_running_timestamp_seconds"):
        assert got.all(name) == []
    assert got.all("job_starts_rolled_back") == [], "nobody need look at its starts any more"


@pytest.mark.parametrize(
    ("role", "states"),
    [
        (RoleStatus("w", 8), {"missing": 8}),
        (RoleStatus("w", 8, created=6, scheduled=4, ready=1), {"missing": 2, "unbound": 2, "starting": 3, "ready": 1}),
        (RoleStatus("w", 8, created=8, scheduled=8, ready=8), {"ready": 8}),
        (
            RoleStatus("w", 8, created=8, scheduled=7, ready=3, failed=2, completed=frozenset({1, 2})),
            {"completed": 2, "failed": 2, "ready": 3, "unbound": 1},
        ),
        (RoleStatus("w", 2, created=2, scheduled=1, failed=2), {"failed": 2}),
    ],
)
def test_the_states_of_ranks_are_parts_of_the_role(role: RoleStatus, states: dict[str, int]) -> None:
    got = rank_states(role)
    assert {state: count for state, count in got.items() if count} == states
    assert sum(got.values()) == role.desired


def test_accelerators_of_nodes_add_up(store: Store) -> None:
    put(store, make_job().workers(3, gpus=8).opened().create().bound(0))
    store.upsert_node(gpu_node("free"))
    store.upsert_node(gpu_node("cordoned", unschedulable=True))
    store.upsert_node(gpu_node("mute", ready=NodeReady.UNKNOWN))
    store.upsert_node(gpu_node("sick", ready=NodeReady.FALSE))
    store.upsert_node(gpu_node("no-gpus", gpus=0))
    grant = Grant(Key("research", "next"), "uid-of-next", 0, "", ("free",), NOW)
    role = RoleRequest("worker", 1, 0, ((GPU, 4),))
    request = GangRequest(grant.key, grant.uid, 0, "", NOW, (role,))
    store.memory.hold(grant, request, 30)
    got = scrape(store)
    states = got.by("state", "cluster_accelerators", resource=GPU)
    assert states == {"used": 8, "promised": 16 + 4, "unavailable": 24, "free": 4}
    assert got.by("state", "nodes") == {"ready": 5, "cordoned": 1, "not_ready": 1, "unreachable": 1}


def test_only_the_nodes_that_jobs_are_placed_on_count(store: Store) -> None:
    store.upsert_node(gpu_node("ours", labels={"pool": "train"}))
    store.upsert_node(gpu_node("theirs", labels={"pool": "serve"}))
    fleet = freeze(store, NOW, (("pool", "train"),))
    got = Scrape("".join(FleetText(Limits()).render(fleet, openmetrics=False)))
    assert got.total("cluster_accelerators") == 8
    assert got.total("nodes") == 1


def test_where_nodes_may_not_be_read_nothing_is_said_of_them(store: Store) -> None:
    put(store, make_job().workers(1))
    got = scrape(store)
    assert got.all("nodes") == []
    assert got.all("cluster_accelerators") == []


def test_namespaces_beyond_the_bound_are_one() -> None:
    store = crowd(Crowd(jobs=NAMESPACES + 30, pods_each=1, nodes=1, namespaces=NAMESPACES + 30))
    got = scrape(store)
    assert len(got.by("namespace", "jobs", phase="Running")) == NAMESPACES + 1
    assert sum(value for labels, value in got.all("jobs") if labels["namespace"] == "(other)") == 30


def test_sums_agree_with_the_parts() -> None:
    got = scrape(crowd(Crowd(jobs=60, pods_each=3, nodes=50, namespaces=4)))
    for kind in ("requested", "held", "idle"):
        assert got.total(f"accelerators_{kind}") == got.total(f"job_accelerators_{kind}")
    assert got.total("jobs") == got.total("job_phase") == len(got.all("job_info")) == 60
    assert got.total("jobs_waiting") == len(got.all("job_waiting_seconds")) == 6
