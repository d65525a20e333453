"""Do the metrics count what the engine tells, after the commit, and forget what is no longer told?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders.job import NOW, make_job
from trainyard.api.reasons import Cause, Phase, Reason
from trainyard.engine.telemetry_port import NullTelemetry, Telemetry
from trainyard.model.status import AttemptRecordRef, Episode, Finishing, JobStatus
from trainyard.telemetry.bounded import STILL, Bounded
from trainyard.telemetry.metrics import COUNTED_NAMESPACES, NODES, Metrics, newly_settled


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("b1", in_flight_limit=64)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"trainyard_{name}", labels)


def test_it_fits_the_engines_port() -> None:
    port: Telemetry = Metrics()
    told = [name for name in vars(NullTelemetry) if not name.startswith("_")]
    assert told
    assert all(callable(getattr(port, name)) for name in told)


def test_work_is_counted(metrics: Metrics) -> None:
    metrics.planned(0.002, "acted")
    metrics.planned(0.001, "settled")
    metrics.visited(1.5)
    metrics.step("CreatePods", "done")
    metrics.status_write("conflict")
    metrics.pods(created=8, deleted=3)
    metrics.scheduled(0.01, requests=3, grants=2, lapsed=1)
    metrics.scheduled(0.0, requests=0, grants=0, lapsed=0)
    assert value(metrics, "reconcile_total", outcome="acted") == 1
    assert value(metrics, "plan_duration_seconds_count") == 2
    assert value(metrics, "reconcile_duration_seconds_sum") == 1.5
    assert value(metrics, "plan_steps_total", step="CreatePods", outcome="done") == 1
    assert value(metrics, "status_writes_total", outcome="conflict") == 1
    assert (value(metrics, "pods_created_total"), value(metrics, "pods_deleted_total")) == (8, 3)
    assert (value(metrics, "grants_total", outcome="given"), value(metrics, "grants_total", outcome="lapsed")) == (2, 1)
    assert value(metrics, "scheduling_round_duration_seconds_count") == 1, "a round without requests is none"
    assert value(metrics, "scheduling_requests") == 0


def test_requests_are_counted_and_watches_not_timed(metrics: Metrics) -> None:
    metrics.request("create", "pods", "200", 0.01)
    metrics.request("watch", "pods", "200", 300.0)
    metrics.told_to_wait(2.0)
    metrics.told_to_wait(1.0)
    metrics.in_flight(3, 5)
    assert value(metrics, "api_requests_total", verb="create", resource="pods", code="200") == 1
    assert value(metrics, "api_request_duration_seconds_count", verb="create", resource="pods") == 1
    assert value(metrics, "api_requests_total", verb="watch", resource="pods", code="200") == 1
    assert value(metrics, "api_request_duration_seconds_count", verb="watch", resource="pods") is None
    assert value(metrics, "api_retry_after_seconds_total") == 3
    assert value(metrics, "api_requests_in_flight", state="queued") == 5
    assert value(metrics, "api_requests_in_flight_limit") == 64


def test_gauges_forget_what_is_no_longer_told(metrics: Metrics) -> None:
    metrics.watches({"pods": 1.5, "nodes": 2.0}, {"pods": True, "nodes": False})
    metrics.watches({"pods": 0.5}, {"pods": False})
    assert value(metrics, "watch_silence_seconds", resource="pods") == 0.5
    assert value(metrics, "watch_silence_seconds", resource="nodes") is None
    assert value(metrics, "watch_healthy", resource="pods") == 0
    metrics.objects({"pods": 5})
    metrics.queue(1, 2, 3, 0.5, 7.0)
    assert value(metrics, "cache_objects", resource="pods") == 5
    assert value(metrics, "reconcile_queue_depth", state="waiting") == 2
    assert value(metrics, "reconcile_queue_oldest_seconds") == 0.5
    assert value(metrics, "reconcile_longest_active_seconds") == 7


def test_what_the_process_suffers_is_told(metrics: Metrics) -> None:
    metrics.lag(0.2)
    metrics.unreadable("pods", 2)
    metrics.unreadable("pods", 1)
    assert value(metrics, "event_loop_lag_seconds_sum") == 0.2
    assert value(metrics, "unreadable_objects_total", resource="pods") == 3


def test_spans_of_a_start_reach_their_histograms(metrics: Metrics) -> None:
    job = make_job().workers(2)
    metrics.saw(job.view, NOW, 0, 0, 0)
    metrics.granted(job.uid, 0, NOW + 1)
    metrics.saw(job.opened().view, NOW + 3, 0, 0, 0)
    assert value(metrics, "job_start_step_seconds_sum", step="record") == 2
    assert value(metrics, "job_queue_wait_seconds_sum", start="first", outcome="opened") == 63
    metrics.jobs([], NOW + 4)
    metrics.leading(True)
    metrics.saw(job.view, NOW + 5, 0, 0, 0)
    assert value(metrics, "job_start_step_seconds_count", step="record") == 1, "a new lead has seen no beginning"


def test_leadership_is_told(metrics: Metrics) -> None:
    assert value(metrics, "leader") == 0
    metrics.leading(True)
    metrics.lease(1.5)
    assert (value(metrics, "leader"), value(metrics, "lease_age_seconds")) == (1, 1.5)
    metrics.scheduled(0.1, 4, 0, 0)
    metrics.leading(False)
    metrics.lease(None)
    assert (value(metrics, "leader"), value(metrics, "scheduling_requests")) == (0, 0)
    age = value(metrics, "lease_age_seconds")
    assert age != age, "not a number: the Lease was never seen"


OPEN = JobStatus(attempt=0, attempt_record=AttemptRecordRef("gpt-a0", "u", 0), started_at=NOW - 100)
FAILED = Episode(0, NOW, Cause.APPLICATION_FAILURE, Reason.APPLICATION_FAILURE, rank=1, node="n1", settled=False)


def test_an_attempt_counts_when_it_opens_and_when_its_cause_is_settled(metrics: Metrics) -> None:
    job = make_job().workers(2).view
    metrics.committed(job, OPEN, NOW)
    closed = replace(OPEN, attempt=1, episodes=(FAILED,))
    metrics.committed(replace(job, status=OPEN), closed, NOW)
    assert value(metrics, "attempts_opened_total", namespace="research", start="first") == 1
    labels = {"namespace": "research", "cause": "ApplicationFailure", "reason": "ApplicationFailure"}
    assert not value(metrics, "attempts_closed_total", **labels), "the cause may still turn out to be another"
    reopened = replace(closed, attempt_record=AttemptRecordRef("gpt-a1", "v", 1))
    metrics.committed(replace(job, status=closed), reopened, NOW)
    settled = replace(reopened, episodes=(replace(FAILED, settled=True),))
    metrics.committed(replace(job, status=reopened), settled, NOW)
    metrics.committed(replace(job, status=settled), settled, NOW)
    assert value(metrics, "attempts_opened_total", namespace="research", start="restart") == 1
    assert value(metrics, "attempts_closed_total", **labels) == 1
    assert value(metrics, "node_failures_total", node="n1", cause="ApplicationFailure") == 1


def test_a_finished_job_counts_once_with_its_run(metrics: Metrics) -> None:
    job = replace(make_job().workers(2).view, status=OPEN)
    finishing = Finishing(Phase.FAILED, Reason.MAX_RESTARTS_EXCEEDED)
    over = replace(OPEN, phase=Phase.FAILED, finishing=finishing)
    metrics.committed(job, over, NOW)
    metrics.committed(replace(job, status=over), over, NOW)
    labels = {"namespace": "research", "phase": "Failed", "reason": "MaxRestartsExceeded"}
    assert value(metrics, "jobs_finished_total", **labels) == 1
    assert value(metrics, "job_run_seconds_sum", phase="Failed") == 100


def test_only_what_became_certain_is_newly_settled() -> None:
    old = Episode(0, NOW, Cause.DISRUPTION, Reason.EVICTED)
    before = JobStatus(attempt=2, episodes=(old, replace(FAILED, attempt=1)))
    after = replace(before, episodes=(old, replace(FAILED, attempt=1, settled=True), replace(FAILED, attempt=2)))
    assert [episode.attempt for episode in newly_settled(before, after)] == [1]


def test_what_may_happen_to_a_job_begins_at_zero(metrics: Metrics) -> None:
    metrics.saw(make_job().workers(1).view, NOW, 0, 0, 0)
    for labels in (
        {"cause": "Disruption", "reason": "NodeUnreachable"},
        {"cause": "ApplicationFailure", "reason": "ApplicationFailure"},
        {"cause": "StartRolledBack", "reason": "Unschedulable"},
    ):
        assert value(metrics, "attempts_closed_total", namespace="research", **labels) == 0
    assert value(metrics, "attempts_opened_total", namespace="research", start="restart") == 0
    failed = {"namespace": "research", "phase": "Failed", "reason": "MaxRestartsExceeded"}
    assert value(metrics, "jobs_finished_total", **failed) == 0
    assert value(metrics, "status_writes_total", outcome="conflict") == 0


def test_values_beyond_the_bound_become_one() -> None:
    bounded = Bounded(2, nothing)
    assert [bounded(v, NOW) for v in ("a", "b", "c", "a", "d")] == ["a", "b", "(other)", "a", "(other)"]


def nothing(_value: str) -> None:
    raise AssertionError("nothing may be forgotten")


def test_what_has_not_come_for_a_day_makes_room() -> None:
    forgotten: list[str] = []
    bounded = Bounded(2, forgotten.append)
    for name in ("a", "b", "a"):
        bounded(name, NOW)
    assert bounded("c", NOW + STILL - 1) == "(other)" and not forgotten
    assert bounded("c", NOW + STILL) == "c"
    assert forgotten == ["b"], "the one that came last before the others"
    assert bounded("a", NOW + STILL) == "a"
    assert bounded("b", NOW + STILL) == "(other)", "the others have just come"


def hurt_by(metrics: Metrics, node: str, at: float = NOW) -> None:
    episode = Episode(0, at, Cause.DISRUPTION, Reason.EVICTED, node=node)
    metrics.committed(make_job().workers(1).view, JobStatus(attempt=1, episodes=(episode,)), at)


def test_the_series_of_nodes_are_bounded(metrics: Metrics) -> None:
    for number in range(NODES + 50):
        hurt_by(metrics, f"n{number}")
    (family,) = [f for f in metrics.registry.collect() if f.name == "trainyard_node_failures"]
    assert len(family.samples) == NODES + 1
    assert value(metrics, "node_failures_total", node="(other)", cause="Disruption") == 50


def test_a_node_that_hurts_jobs_is_named_however_many_did_so_long_ago(metrics: Metrics) -> None:
    for number in range(NODES):
        hurt_by(metrics, f"n{number}")
    hurt_by(metrics, "bad", NOW + STILL)
    assert value(metrics, "node_failures_total", node="bad", cause="Disruption") == 1
    assert value(metrics, "node_failures_total", node="n0", cause="Disruption") is None
    assert value(metrics, "node_failures_total", node="n1", cause="Disruption") == 1


def test_a_namespace_ends_with_all_its_counters_and_begins_anew_at_zero(metrics: Metrics) -> None:
    for number in range(COUNTED_NAMESPACES):
        metrics.committed(make_job(namespace=f"team-{number}").workers(1).view, OPEN, NOW)
    first, opened = {"namespace": "team-0"}, {"start": "first"}
    assert value(metrics, "attempts_opened_total", **first, **opened) == 1
    metrics.saw(make_job(namespace="late").workers(1).view, NOW + STILL, 0, 0, 0)
    assert value(metrics, "attempts_opened_total", namespace="late", **opened) == 0
    told = [sample.labels.get("namespace") for family in metrics.registry.collect() for sample in family.samples]
    assert "team-0" not in told and "team-1" in told
    metrics.saw(make_job(namespace="team-0").workers(1).view, NOW + STILL, 0, 0, 0)
    assert value(metrics, "attempts_opened_total", **first, **opened) == 0


def test_two_registries_do_not_meet() -> None:
    first, second = Metrics(), Metrics()
    first.pods(1, 0)
    assert value(second, "pods_created_total") == 0
