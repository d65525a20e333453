"""Which decision wins where several hold at once: the order of precedence, as a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from builders import JobBuilder, make_job
from planning.support import POLICY, at_rest, planned, running_job, status_of, steps_of
from trainyard.api.reasons import Cause, Phase, Reason
from trainyard.model.plan import ConfirmJobGone, DeletePods, JobSnapshot, WriteStatus
from trainyard.model.status import Finishing
from trainyard.planning import plan

Change = Callable[[JobBuilder], object]


def completed(job: JobBuilder) -> None:
    job.succeeded()


def over_deadline(job: JobBuilder) -> None:
    job.spec(activeDeadlineSeconds=100).passed(200).seeing(f"active:{job.status.started_at}", 100)


def failed(job: JobBuilder) -> None:
    job.failed(rank=2)


def suspended(job: JobBuilder) -> None:
    job.suspended()


def changed(job: JobBuilder) -> None:
    job.spec(rendezvous={"port": 23456})


ORDER: list[tuple[str, Change, Reason]] = [
    ("completed", completed, Reason.ALL_COMPLETED),
    ("deadline", over_deadline, Reason.ACTIVE_DEADLINE_EXCEEDED),
    ("failed", failed, Reason.APPLICATION_FAILURE),
    ("suspended", suspended, Reason.SUSPENDED),
    ("changed", changed, Reason.SPEC_CHANGED),
]


def decided(job: JobBuilder) -> Reason:
    status = status_of(planned(job))
    if status.finishing is not None:
        return status.finishing.reason
    return status.episodes[-1].reason


@pytest.mark.parametrize("first", range(len(ORDER)), ids=[name for name, _, _ in ORDER])
def test_the_earlier_rule_wins_over_all_later_ones(first: int) -> None:
    job = running_job()
    for name, change, _ in ORDER[first:]:
        if not (name == "failed" and first == 0):
            change(job)
    assert decided(job) is ORDER[first][2]


@pytest.mark.parametrize(("name", "change", "reason"), ORDER)
def test_each_rule_alone(name: str, change: Change, reason: Reason) -> None:
    job = running_job()
    change(job)
    assert decided(job) is reason


def test_suspend_wins_over_a_rolled_back_start() -> None:
    job = make_job().workers(2).opened().create(0).suspended()
    job.node_unknown("n1")
    assert decided(job) is Reason.SUSPENDED


def test_a_changed_spec_wins_over_a_rolled_back_start() -> None:
    job = make_job().workers(2).opened().spec(rendezvous={"port": 23456})
    job.node_unknown("n1")
    assert decided(job) is Reason.SPEC_CHANGED


def test_a_decision_to_finish_is_never_reconsidered() -> None:
    job = running_job()
    job.status = replace(job.status, finishing=Finishing(Phase.FAILED, Reason.ACTIVE_DEADLINE_EXCEEDED, "too long"))
    job.succeeded()
    found = planned(job)
    assert not any(w.status.attempt != 0 for w in steps_of(found, WriteStatus))
    for write in steps_of(found, WriteStatus):
        assert write.status.finishing == job.status.finishing


def test_a_terminal_job_stays_as_it_is() -> None:
    job = running_job()
    outcome = Finishing(Phase.SUCCEEDED, Reason.ALL_COMPLETED, "done")
    job.status = replace(job.status, phase=Phase.SUCCEEDED, finishing=outcome)
    job.succeeded().hosts.clear()
    job.failed(rank=0, code=9).suspended()
    assert planned(job).steps == ()


def test_a_job_that_is_being_deleted_only_loses_its_pods() -> None:
    job = running_job().failed(rank=1)
    job.deletion = job.now
    (step,) = planned(job).steps
    assert isinstance(step, DeletePods)
    assert {ref.name for ref in step.pods} == set(job.pods)
    assert step.grace is None


def test_orphaned_pods_are_left_alone() -> None:
    job = running_job()
    job.deletion, job.orphan = job.now, True
    assert planned(job).steps == ()


def test_an_absent_job_is_asked_for_before_its_pods_go() -> None:
    job = running_job()
    job.exists = False
    confirm, delete = planned(job).steps
    assert confirm == ConfirmJobGone(job.uid)
    assert isinstance(delete, DeletePods)
    assert len(delete.pods) == 4


def test_an_absent_job_without_pods_is_nothing_to_do() -> None:
    job = running_job()
    assert plan(JobSnapshot(job.view.key, None, job.uid), job.now, POLICY).steps == ()


def test_a_job_of_another_controller_is_left_alone() -> None:
    job = running_job().failed(rank=0)
    job.managed_by = "kueue.x-k8s.io/multikueue"
    assert planned(job).steps == ()
    job.managed_by = "trainyard.dev/operator"
    assert status_of(planned(job)).attempt == 1


def test_a_failure_is_closed_by_one_status_write_and_nothing_else() -> None:
    job = running_job().failed(rank=2, code=3)
    found = planned(job)
    (write,) = found.steps
    assert isinstance(write, WriteStatus)
    assert write.status.attempt == 1
    assert write.status.phase is Phase.RESTARTING
    episode = write.status.episodes[-1]
    assert (episode.attempt, episode.cause, episode.rank, episode.node) == (0, Cause.APPLICATION_FAILURE, 2, "n2")
    assert (episode.exit_code, episode.settled, episode.charged) == (3, False, False)
    assert "rank 2" in episode.message and "exited with 3" in episode.message
    assert write.status.restarts.total == 1


def test_a_running_gang_at_rest_plans_nothing() -> None:
    job = running_job()
    found = planned(job)
    assert found.steps == () and found.events == () and found.request is None
    assert at_rest(job).status == job.status
