"""Who failed first and who is to blame at first sight; what is not a failure at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import JobBuilder, make_job
from planning.support import POLICY, at_rest, last_episode, planned, running_job, status_of, steps_of, written
from trainyard.api.reasons import Cause, Phase, Reason
from trainyard.model.plan import WriteStatus
from trainyard.model.views import PodPhase, TrainerState


def closed(job: JobBuilder) -> tuple[Cause, Reason]:
    written(job)
    assert job.status.attempt == 1 and not job.status.open
    return last_episode(job).cause, last_episode(job).reason


def test_the_first_failed_rank_is_the_one_seen_first() -> None:
    job = running_job().failed(3, code=139, message="segfault in step 7").failed(0)
    written(job)
    episode = last_episode(job)
    assert (episode.rank, episode.exit_code) == (3, 139)
    assert "exited with 139 (SIGSEGV): segfault in step 7" in episode.message


def test_hundreds_of_failures_are_one_episode() -> None:
    job = running_job(300)
    for rank in range(300):
        job.failed(rank)
    written(job)
    assert len(job.status.episodes) == 1 and job.status.restarts.total == 1


def test_out_of_memory_is_told() -> None:
    job = running_job().failed(1, code=137, reason="OOMKilled")
    written(job)
    assert "137 (SIGKILL, OOMKilled)" in last_episode(job).message


def test_a_pod_that_failed_without_a_word_of_its_trainer() -> None:
    job = running_job()
    job.change(1, lambda p: replace(p, phase=PodPhase.FAILED, reason="DeadlineExceeded", failed_version=7))
    assert closed(job) == (Cause.APPLICATION_FAILURE, Reason.APPLICATION_FAILURE)
    assert "failed before its trainer ended: DeadlineExceeded" in last_episode(job).message


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("EvictionByEvictionAPI", Reason.EVICTED),
        ("DeletionByTaintManager", Reason.EVICTED),
        ("PreemptionByScheduler", Reason.PREEMPTED),
    ],
)
def test_evictions_are_disruptions(what: str, reason: Reason) -> None:
    assert closed(running_job().evicted(1, what)) == (Cause.DISRUPTION, reason)


def test_node_pressure_is_a_disruption() -> None:
    job = running_job()
    job.change(1, lambda p: replace(p, phase=PodPhase.FAILED, reason="Evicted", failed_version=9))
    assert closed(job) == (Cause.DISRUPTION, Reason.EVICTED)


def test_a_disruption_condition_alone_takes_nothing_down() -> None:
    job = running_job()
    job.change(1, lambda p: replace(p, disruption="EvictionByEvictionAPI"))
    assert planned(job).steps == ()


def test_deletion_by_hand_is_a_disruption_seen_or_collected() -> None:
    assert closed(running_job().deleted(1)) == (Cause.DISRUPTION, Reason.POD_DELETED)
    assert closed(running_job().gone(1)) == (Cause.DISRUPTION, Reason.POD_DELETED)


def test_a_pod_gone_unseen_is_lost() -> None:
    job = running_job().lost(1)
    (write,) = steps_of(planned(job), WriteStatus)
    assert write.absent_pod == job.pod_name(1), "absence is all that speaks against it, so it is looked for first"
    assert closed(job) == (Cause.DISRUPTION, Reason.POD_LOST)
    (write,) = steps_of(planned(running_job().deleted(1)), WriteStatus)
    assert write.absent_pod == ""
    job = running_job().lost(1).node_gone("n1")
    assert closed(job) == (Cause.DISRUPTION, Reason.NODE_LOST)


def test_a_node_that_does_not_answer_or_is_gone() -> None:
    assert closed(running_job().node_unknown("n2")) == (Cause.DISRUPTION, Reason.NODE_UNREACHABLE)
    assert closed(running_job().node_gone("n2")) == (Cause.DISRUPTION, Reason.NODE_LOST)


def test_a_node_that_is_not_ready_is_not_dead() -> None:
    job = running_job()
    job.node("n2", ready="False")
    assert planned(job).steps == ()


def test_one_disrupted_rank_explains_the_exits_beside_it() -> None:
    job = running_job().failed(0).failed(1).node_unknown("n3")
    assert closed(job) == (Cause.DISRUPTION, Reason.NODE_UNREACHABLE)
    assert last_episode(job).rank == 3 and job.status.restarts.disruption == 1


def test_a_rank_that_could_not_start_explains_the_exits_beside_it() -> None:
    job = make_job().workers(3).opened().created_gang().started(0, 1).failed(0).refused_by_kubelet(2)
    assert closed(job) == (Cause.START_ROLLED_BACK, Reason.NODE_REFUSED)
    assert job.status.restarts.total == 0


def test_exit_0_counts_at_once_and_is_remembered_though_the_pod_is_collected() -> None:
    job = running_job().succeeded(1)
    written(job)
    assert job.status.completed("worker") == {1}
    at_rest(job).lost(1)
    assert planned(job).steps == ()
    job.succeeded(0, 2).gone(0)
    job.succeeded(3)
    assert status_of(planned(job)).finishing is not None


def test_exit_0_of_a_pod_that_somebody_deletes_is_no_success() -> None:
    job = running_job().deleted(1).succeeded(1)
    assert closed(job) == (Cause.DISRUPTION, Reason.POD_DELETED)
    job = running_job().evicted(1).succeeded(1)
    assert closed(job) == (Cause.DISRUPTION, Reason.EVICTED)


def test_sidecars_neither_complete_nor_fail_a_replica() -> None:
    job = running_job()
    # The trainer is done, a sidecar failed: the pod's phase is Failed and the replica has completed.
    job.change(1, lambda p: replace(p, phase=PodPhase.FAILED, trainer=TrainerState(True, 0)))
    written(job)
    assert job.status.completed("worker") == {1} and job.status.attempt == 0
    # The trainer is done, the sidecar runs on.
    job.change(2, lambda p: replace(p, trainer=TrainerState(True, 0)))
    written(job)
    assert job.status.completed("worker") == {1, 2}


def served() -> JobBuilder:
    return at_rest(make_job().workers(2).role("ps", 1, completes=False).opened().running())


def test_a_servers_end_is_a_failure_while_nobody_is_done() -> None:
    assert closed(served().failed(2, code=1)) == (Cause.APPLICATION_FAILURE, Reason.SERVER_ENDED)


def test_a_servers_exit_0_is_judged_30_seconds_later() -> None:
    job = served().succeeded(2)
    found = planned(job)
    assert not any(getattr(s, "status", job.status).attempt for s in found.steps)
    assert found.requeue_at is not None and found.requeue_at <= job.now + POLICY.server_exit_seconds
    at_rest(job).passed(POLICY.server_exit_seconds)
    assert closed(job) == (Cause.APPLICATION_FAILURE, Reason.SERVER_ENDED)


def test_a_servers_end_is_nothing_once_a_replica_has_completed() -> None:
    job = at_rest(served().succeeded(0))
    at_rest(job.failed(2, code=143))
    assert job.status.attempt == 0 and job.status.phase is Phase.RUNNING
    job.node_gone("n2")
    at_rest(job)
    at_rest(job.gone(2))
    assert job.status.attempt == 0 and job.status.phase is Phase.RUNNING
    assert job.status.completed("ps") == {0} and job.status.ready == "3/3"
    job.collected.clear()  # as for an operator that is started only now
    at_rest(job)
    assert job.status.attempt == 0 and job.status.phase is Phase.RUNNING
    assert status_of(planned(job.succeeded(1))).finishing is not None


@pytest.mark.parametrize("reason", ["Evicted", "NodeShutdown"])
def test_a_server_that_the_kubelet_ends_takes_the_attempt_down_though_a_replica_is_done(reason: str) -> None:
    """The other replicas need it, and would wait for ever."""
    job = at_rest(served().succeeded(0))
    job.change(2, lambda p: replace(p, phase=PodPhase.FAILED, reason=reason, failed_version=job.version + 1))
    assert closed(job) == (Cause.DISRUPTION, Reason.EVICTED)


def test_a_server_serves_its_own_world() -> None:
    """An evaluator of another framework that is done early says nothing about the workers."""
    job = make_job().workers(2).role("ps", 1, completes=False).role("evaluator", 1, framework="custom")
    job = at_rest(at_rest(job.opened().running()).succeeded(3))
    assert closed(job.failed(2, code=1)) == (Cause.APPLICATION_FAILURE, Reason.SERVER_ENDED)


def test_a_running_server_that_is_disrupted_takes_the_attempt_down() -> None:
    job = at_rest(served().succeeded(0)).evicted(2)
    assert closed(job) == (Cause.DISRUPTION, Reason.EVICTED)


def test_servers_alone_do_not_complete_a_job() -> None:
    job = served()
    job.succeeded(0, 1)
    finishing = status_of(planned(job)).finishing
    assert finishing is not None and finishing.message == "all 2 completing replicas exited 0"


def test_a_refusal_by_the_kubelet_is_the_nodes_affair_and_the_second_nodes_the_templates() -> None:
    job = make_job().workers(2).opened().created_gang()
    job.refused_by_kubelet(1, "UnexpectedAdmissionError", "no healthy devices")
    assert closed(job) == (Cause.START_ROLLED_BACK, Reason.NODE_REFUSED)
    job.swept().opened(1, "n0", "n7").created_gang().refused_by_kubelet(1, "UnexpectedAdmissionError", "again")
    written(job)
    assert (last_episode(job).cause, last_episode(job).reason) == (Cause.APPLICATION_FAILURE, Reason.ADMISSION_ERROR)
    assert "n1 refused for the same reason" in last_episode(job).message


def refused_on(job: JobBuilder, attempt: int, node: str) -> JobBuilder:
    """An attempt whose second rank is refused by this node, for the usual reason."""
    job.swept().opened(attempt, "n0", node).created_gang()
    return written(job.refused_by_kubelet(1, "UnexpectedAdmissionError", "no healthy devices"))


def test_the_second_node_that_refuses_is_left_too() -> None:
    """Two nodes may be broken alike: the template is charged, and yet the third attempt goes elsewhere."""
    job = refused_on(refused_on(make_job().workers(2), 0, "n1"), 1, "n7")
    request = planned(at_rest(job.swept()).probed()).request
    assert request is not None
    assert request.avoid.failed == {"n1"}
    assert request.avoid.away == {"n7"}
    assert request.keep == {0: "n0"}


def test_an_old_refusal_says_nothing_about_the_template() -> None:
    job = refused_on(make_job().workers(2), 0, "n1")
    refused_on(job.passed(POLICY.avoid_seconds), 1, "n7")
    assert (last_episode(job).cause, last_episode(job).reason) == (Cause.START_ROLLED_BACK, Reason.NODE_REFUSED)


def test_a_refusal_of_another_template_says_nothing_about_this_one() -> None:
    job = refused_on(make_job().workers(2), 0, "n1").spec(rendezvous={"port": 23456})
    refused_on(job, 1, "n7")
    assert last_episode(job).cause is Cause.START_ROLLED_BACK
    job.closed(Cause.SUSPENDED, Reason.SUSPENDED)
    job.records.clear()
    refused_on(job, 3, "n8")
    assert last_episode(job).cause is Cause.START_ROLLED_BACK, "while it was suspended it may have been changed"


def test_a_failure_between_two_refusals_changes_nothing() -> None:
    job = refused_on(make_job().workers(2), 0, "n1")
    job.swept().opened(1).running().closed(Cause.DISRUPTION, Reason.EVICTED, node="n3")
    refused_on(job, 2, "n7")
    assert last_episode(job).cause is Cause.APPLICATION_FAILURE


@pytest.mark.parametrize(("reason", "node"), [("OutOfcpu", "n7"), ("UnexpectedAdmissionError", "n1")])
def test_another_reason_or_the_same_node_again_is_still_the_nodes_affair(reason: str, node: str) -> None:
    job = make_job().workers(2).opened().created_gang()
    written(job.refused_by_kubelet(1, "UnexpectedAdmissionError"))
    job.swept().opened(1, "n0", node).created_gang().refused_by_kubelet(1, reason)
    written(job)
    assert last_episode(job).cause is Cause.START_ROLLED_BACK
