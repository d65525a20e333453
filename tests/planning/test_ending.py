"""Suspending, resuming, finishing, cleaning up; and that nothing is written in vain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import JobBuilder, make_job, make_pod
from planning.support import at_rest, last_episode, planned, running_job, status_of, steps_of, written
from trainyard.api.reasons import Cause, ConditionType, Phase, Reason
from trainyard.model.cluster import Refusal
from trainyard.model.plan import CreateRecord, DeleteHosts, DeleteJob, DeletePods, DeleteRecord, WriteStatus
from trainyard.model.views import PodPhase, PodView, TrainerState
from trainyard.planning.transitions import ALLOWED, IllegalTransition, check_transition


def finished(clean: str = "Running", **spec: object) -> JobBuilder:
    """Succeeded, its pods still there."""
    job = make_job().workers(2).spec(cleanPods=clean, **spec).opened().running()
    at_rest(job)
    written(job.succeeded())
    job.hosts.clear()
    return at_rest(job)


def graces(job: JobBuilder) -> dict[str, int | None]:
    return {ref.name: step.grace for step in steps_of(planned(job), DeletePods) for ref in step.pods}


# Suspend and resume


def test_suspending_frees_everything_though_the_rest_of_the_spec_cannot_be_read() -> None:
    job = at_rest(running_job().invalid())
    assert job.status.open, "a running gang is left alone"
    written(job.suspended())
    assert (last_episode(job).cause, job.status.phase) == (Cause.SUSPENDED, Phase.SUSPENDING)
    assert [type(s) for s in planned(job).steps][:2] == [DeleteHosts, DeletePods]
    at_rest(job.swept())
    valid, placed = job.status.condition(ConditionType.VALID), job.status.condition(ConditionType.PLACED)
    assert job.status.phase is Phase.SUSPENDED and planned(job).steps == ()
    assert valid is not None and valid.status is False and placed is not None and placed.status is False
    at_rest(job.resumed())
    assert (job.status.phase, job.status.reason) == (Phase.PENDING, Reason.INVALID_SPEC)


def test_suspending_frees_everything_and_says_so() -> None:
    job = written(running_job().suspended())
    assert (last_episode(job).cause, job.status.attempt, job.status.phase) == (Cause.SUSPENDED, 1, Phase.SUSPENDING)
    assert job.status.started_at is None and job.status.restarts.total == 0
    assert [type(s) for s in planned(job).steps][:2] == [DeleteHosts, DeletePods]
    assert set(graces(job).values()) == {None}
    job.pods.clear()
    job.hosts[0] = replace(job.hosts[0], deleting=True)
    assert at_rest(job).status.phase is Phase.SUSPENDING
    job.hosts.clear()
    (write,) = planned(job).steps
    assert isinstance(write, WriteStatus) and write.require_no_live_pods
    at_rest(job)
    assert job.status.phase is Phase.SUSPENDED and planned(job).request is None
    suspended = job.status.condition(ConditionType.SUSPENDED)
    assert suspended is not None and suspended.status is True
    assert planned(at_rest(job.passed(10_000))).steps == ()


def test_a_job_made_suspended_never_starts() -> None:
    job = at_rest(make_job().workers(2).suspended())
    assert job.status.phase is Phase.SUSPENDED and planned(job).steps == () and planned(job).request is None


def test_a_record_that_no_status_names_goes_when_its_job_is_suspended() -> None:
    job = make_job().workers(2).probed().granted()
    (created,) = steps_of(planned(job), CreateRecord)
    job.stored(created.draft)
    assert status_of(planned(job)).open, "but for the suspension it would be the attempt's"
    (deleted,) = steps_of(planned(job.suspended()), DeleteRecord)
    assert deleted.attempt == 0
    job.records.clear()
    assert at_rest(job).status.phase is Phase.SUSPENDED


def test_resuming_goes_on_with_the_next_attempt() -> None:
    job = at_rest(written(running_job().suspended()).swept())
    at_rest(job.resumed().probed())
    suspended = job.status.condition(ConditionType.SUSPENDED)
    assert suspended is not None and (suspended.status, suspended.reason) == (False, Reason.RESUMED)
    assert planned(job).request is not None and job.status.phase is Phase.PENDING
    assert at_rest(job.suspended()).status.phase is Phase.SUSPENDED


def test_a_changed_spec_closes_the_attempt_uncharged() -> None:
    job = written(running_job().spec(rendezvous={"port": 23456}))
    assert (last_episode(job).cause, last_episode(job).charged) == (Cause.SPEC_CHANGED, False)
    assert job.status.phase is Phase.PENDING and job.status.restarts.total == 0


@pytest.mark.parametrize(
    "fields", [{"cleanPods": "All"}, {"failurePolicy": {"maxRestarts": 3}}, {"ttlSecondsAfterFinished": 9}]
)
def test_fields_that_shape_no_attempt_close_nothing(fields: dict[str, object]) -> None:
    job = at_rest(at_rest(running_job().spec(**fields)).passed(1))
    assert job.status.attempt == 0 and job.status.observed_generation == job.generation


# The end


def test_success_step_by_step() -> None:
    job = written(running_job(2).succeeded())
    assert job.status.phase is Phase.RUNNING and job.status.reason is Reason.FINISHING and job.status.attempt == 0
    assert [type(s) for s in planned(job).steps] == [DeleteHosts]
    job.hosts.clear()
    (write,) = planned(job).steps
    assert isinstance(write, WriteStatus) and write.require_no_live_pods
    assert planned(job).events[0].reason is Reason.ALL_COMPLETED
    at_rest(job)
    assert (job.status.phase, job.status.ready) == (Phase.SUCCEEDED, "2/2")
    assert planned(at_rest(job.passed(10_000))).steps == ()


def told_of_its_trainer(pod: PodView, code: int = 0) -> PodView:
    """The kubelet has told of the trainer's end, and not yet of the pod's."""
    return replace(pod, trainer=TrainerState(started=True, exit_code=code, reason="Completed"))


@pytest.mark.parametrize(("clean", "gone"), [("Running", 0), ("None", 0), ("All", 1)])
def test_a_pod_about_to_end_is_waited_for_and_stays_to_be_read(clean: str, gone: int) -> None:
    job = at_rest(running_job(2).spec(cleanPods=clean)).succeeded(0).change(1, told_of_its_trainer)
    written(job)
    job.hosts.clear()
    assert len(graces(job)) == gone
    job.noted(planned(job).facts).passed(2.9)
    assert len(graces(job)) == gone
    assert set(graces(job.passed(0.1))) == {job.pod_name(1)}, "another container runs on"
    at_rest(job.succeeded(1))
    assert job.status.phase is Phase.SUCCEEDED


def test_the_first_failed_pod_is_waited_for_too_and_no_other() -> None:
    job = running_job(3)
    for rank in range(2):
        job.change(rank, lambda pod: replace(told_of_its_trainer(pod, 1), failed_version=pod.resource_version))
    written(job)
    assert set(graces(job)) == {job.pod_name(1, 0), job.pod_name(2, 0)}
    job.noted(planned(job).facts).passed(3)
    assert job.pod_name(0, 0) in graces(job)


def test_servers_go_when_the_others_are_done() -> None:
    job = at_rest(make_job().workers(2).role("ps", completes=False).opened().running())
    written(job.succeeded(0, 1))
    assert graces(job) == {job.pod_name(2): None}
    job.hosts.clear()
    at_rest(job.deleted(2)).passed(1)
    assert "still ending" in (status_of(planned(job)).conditions[2].message)


@pytest.mark.parametrize(("clean", "gone"), [("Running", 0), ("None", 0), ("All", 2)])
def test_clean_pods(clean: str, gone: int) -> None:
    job = finished(clean)
    assert job.status.phase is Phase.SUCCEEDED and len(graces(job)) == gone


def test_a_live_pod_after_the_end_always_goes() -> None:
    job = finished("None")
    job.pods["late"] = make_pod("late", incarnation=0, phase=PodPhase.RUNNING)
    assert set(graces(job)) == {"late"}


def test_the_time_to_live_after_the_end() -> None:
    job = at_rest(finished(ttlSecondsAfterFinished=100).passed(99))
    assert planned(job).steps == () and planned(job).requeue_at == job.now + 1
    assert planned(job.passed(1)).steps == (DeleteJob(job.uid),)
    assert planned(finished(ttlSecondsAfterFinished=0)).steps == (DeleteJob(job.uid),)


def test_the_active_deadline_counts_from_the_first_open_and_anew_from_a_resume() -> None:
    job = at_rest(make_job().workers(2).spec(activeDeadlineSeconds=1000).opened().running())
    assert at_rest(job.passed(900)).status.finishing is None
    at_rest(written(job.suspended()).swept())
    at_rest(job.resumed().passed(900).opened(1).running())
    assert at_rest(job.passed(999)).status.finishing is None
    finishing = written(job.passed(1)).status.finishing
    assert finishing is not None and finishing.reason is Reason.ACTIVE_DEADLINE_EXCEEDED
    assert "activeDeadlineSeconds=1000" in finishing.message


def test_the_active_deadline_does_not_start_anew_with_an_attempt() -> None:
    job = at_rest(make_job().workers(2).spec(activeDeadlineSeconds=1000).opened().running())
    at_rest(written(at_rest(job.passed(900)).deleted(1)).swept())
    written(at_rest(job.opened(1).running()).passed(100))
    assert job.status.finishing is not None


def test_the_active_deadline_ends_with_a_suspension_that_still_waits_for_pods() -> None:
    job = at_rest(make_job().workers(2).spec(activeDeadlineSeconds=1000).opened().running())
    written(at_rest(job.passed(900)).deleted(1))
    at_rest(job.suspended())
    at_rest(job.passed(200))
    assert job.status.phase is Phase.SUSPENDING and job.status.finishing is None
    status = at_rest(job.swept()).status
    assert status.phase is Phase.SUSPENDED and status.started_at is None


def test_attempts_are_used_up_at_five_digits() -> None:
    job = written(make_job().workers(2).opened(99_999).running().deleted(1)).swept()
    written(job)
    assert job.status.finishing is not None and job.status.finishing.reason is Reason.ATTEMPTS_EXHAUSTED


# Pods that go and pods that stay


def test_a_broken_gang_gets_the_short_grace_and_the_first_failed_pod_stays() -> None:
    job = written(running_job(restartGracePeriodSeconds=7).failed(3).failed(2))
    names = [job.pod_name(rank, 0) for rank in range(4)]
    assert graces(job) == {names[0]: 7, names[1]: 7, names[2]: None}


def test_a_longer_grace_of_somebody_elses_delete_is_cut_short() -> None:
    job = written(running_job(3).deleted(1, grace=3600))
    assert graces(job) == {job.pod_name(rank, 0): 10 for rank in range(3)}
    job.pods = {name: replace(pod, deletion=job.now + 10, deletion_grace=10) for name, pod in job.pods.items()}
    assert graces(job) == {}


def test_a_suspended_gangs_own_grace_is_left_alone() -> None:
    job = written(running_job(2).suspended())
    job.pods = {name: replace(pod, deletion=job.now + 600, deletion_grace=600) for name, pod in job.pods.items()}
    assert graces(job) == {}


def test_the_first_failed_pod_is_not_deleted_in_the_moment_before_its_phase_follows() -> None:
    job = running_job(2)
    job.change(1, lambda p: replace(p, trainer=TrainerState(True, 1, "Error"), failed_version=job.version + 1))
    written(job)
    first = job.pod_name(1, 0)
    assert first not in graces(job)
    at_rest(job)
    assert first in graces(job.passed(3))
    job.pods[first] = replace(job.pods[first], phase=PodPhase.FAILED)
    assert first not in graces(job)


@pytest.mark.parametrize(("keep", "kept"), [(0, []), (1, [2]), (2, [1, 2])])
def test_the_newest_failed_pods_are_kept(keep: int, kept: list[int]) -> None:
    job = running_job(1, keepFailedPods=keep)
    for attempt in range(3):
        written(job.opened(attempt).running().failed(0))
    names = {job.pod_name(0, attempt) for attempt in range(3)}
    assert names - set(graces(job)) == {job.pod_name(0, attempt) for attempt in kept}


def test_no_failed_pod_is_kept_where_a_quota_counts_it_and_the_gang_needs_its_place() -> None:
    job = at_rest(written(running_job(2).failed(1)))
    kept = job.pod_name(1, 0)
    job.pods = {kept: job.pods[kept]}
    job.hosts.clear()
    request = planned(at_rest(job).probed()).request
    assert request is not None and request.kept_to_be_read == 1 and graces(job) == {}
    job.refusal = Refusal(request.key, job.uid, Reason.QUOTA_EXCEEDED, "no room", clear_kept=True)
    assert graces(job) == {}, "a quota's count follows the pods by seconds"
    job.seeing("kept pods are in the way", 10)
    assert graces(job) == {kept: None}
    job.suspended()
    assert graces(job) == {}, "it asks for nothing now"


# Words and writes


def unready(pod: PodView) -> PodView:
    return replace(pod, ready=False)


def test_counts_are_written_at_most_once_a_second_and_completions_at_once() -> None:
    job = at_rest(make_job().workers(4).opened().created_gang())
    job.started(0)
    found = planned(job)
    assert found.steps == () and found.requeue_at is not None and found.requeue_at <= job.now + 1
    at_rest(job)
    assert status_of(planned(job.passed(1))).roles[0].ready == 1
    assert status_of(planned(at_rest(job).succeeded(0))).completed("worker") == {0}


def test_the_counts_of_a_busy_operator_keep_its_pace_until_all_are_ready() -> None:
    job = running_job().change(0, unready).change(1, unready)
    job.pace = 8.0
    at_rest(job.passed(8))
    job.seen.clear()
    at_rest(job).change(0, lambda p: replace(p, ready=True))
    found = planned(job.passed(7))
    assert found.steps == () and found.requeue_at == job.now + 1
    assert status_of(planned(job.passed(1))).ready == "3/4"
    job.seen.clear()
    at_rest(job).change(1, lambda p: replace(p, ready=True))
    assert planned(job).steps == ()
    assert status_of(planned(job.passed(1))).ready == "4/4", "what people wait for does not wait for us"


def test_a_count_that_moves_after_a_rest_is_written_at_once() -> None:
    job = running_job()
    assert planned(job.passed(0.9)).requeue_at is None
    job.change(0, unready)
    assert planned(job).steps == ()
    assert status_of(planned(job.passed(0.1))).roles[0].ready == 3


def test_shared_nodes_are_told() -> None:
    job = running_job()
    job.shared_nodes = ("n1",)
    placed = status_of(planned(job)).condition(ConditionType.PLACED)
    assert placed is not None and placed.reason is Reason.SHARED_NODES and "n1" in placed.message


def test_events_tell_of_moved_reasons_once() -> None:
    job = make_job().workers(2).opened().created_gang()
    at_rest(job)
    job.started()
    events = planned(job).events
    assert [e.reason for e in events] == [Reason.ALL_RANKS_RUNNING]
    assert planned(at_rest(job)).events == ()


def test_facts_not_looked_at_before_a_decision_go_on() -> None:
    job = running_job().seeing("ending:somebody", 7)
    assert "ending:somebody" not in planned(job).facts
    assert "ending:somebody" in planned(job.failed(1)).facts
    over = finished().seeing("ending:somebody", 7)
    assert "ending:somebody" not in planned(over).facts


def test_the_transition_table_is_closed_and_an_illegal_move_raises() -> None:
    assert set(ALLOWED) == set(Phase)
    for phase, after in ALLOWED.items():
        assert phase not in after and check_transition(phase, phase) is phase
    assert ALLOWED[Phase.SUCCEEDED] == ALLOWED[Phase.FAILED] == frozenset()
    with pytest.raises(IllegalTransition, match="Succeeded → Running"):
        check_transition(Phase.SUCCEEDED, Phase.RUNNING)


def test_exit_0_counts_though_the_pod_is_deleted_before_it_was_counted() -> None:
    job = running_job(2).succeeded(0, 1)
    job.change(0, lambda p: replace(p, undisturbed=True)).deleted(0)
    assert written(job).status.finishing is not None, "it had ended when the deletion came"


def test_exit_0_of_a_pod_that_was_being_deleted_never_counts() -> None:
    job = running_job(2).deleted(0).succeeded(0, 1)
    written(job)
    assert job.status.finishing is None and last_episode(job).cause is Cause.DISRUPTION


def test_a_failure_is_not_excused_by_a_deletion_that_came_after_it() -> None:
    job = running_job(2).failed(0)
    job.change(0, lambda p: replace(p, undisturbed=True)).deleted(0)
    written(job)
    assert last_episode(job).cause is Cause.APPLICATION_FAILURE
