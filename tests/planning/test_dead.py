"""Lost records, dead pods, late pods: what an attempt is judged by and waits for when the cluster is broken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import JobBuilder, make_job, make_pod
from builders.pods import exited
from planning.support import (
    at_rest,
    gate,
    kinds,
    last_episode,
    planned,
    rolled_back,
    running_job,
    steps_of,
    written,
)
from trainyard.api.names import pod_name, uid5
from trainyard.api.reasons import Cause, ConditionType, Phase, Reason
from trainyard.model.plan import (
    ConfirmRecord,
    CreateRecord,
    DeleteHosts,
    DeletePods,
)
from trainyard.model.views import PodPhase


def test_a_record_that_is_not_in_sight_is_asked_for() -> None:
    job = running_job().failed(1)
    job.records.clear()
    assert kinds(job) == [ConfirmRecord]


def test_a_lost_record_leaves_a_created_gang_alone_and_closes_a_half_created_one() -> None:
    job = running_job()
    job.records.clear()
    job.record_missing = True
    at_rest(job)
    placed = job.status.condition(ConditionType.PLACED)
    assert placed is not None and placed.reason is Reason.RECORD_LOST and job.status.open
    written(job.failed(2))
    assert last_episode(job).rank == 2
    half = make_job().workers(2).opened().create(0)
    half.records.clear()
    half.record_missing = True
    written(half)
    assert last_episode(half).cause is Cause.RECORD_LOST and not half.status.open


# Dead pods


def stuck(replicas: int = 3, **policy: object) -> JobBuilder:
    """Node n1 fell silent, the attempt was closed, its pod on n1 never ends; grace 10."""
    job = written(running_job(replicas, **policy).node_unknown("n0"))
    job.hosts.clear()
    for rank in range(replicas):
        name = job.pod_name(rank, attempt=0)
        if rank == 0:
            job.pods[name] = replace(job.pods[name], deletion=job.now + 10, deletion_grace=10)
        else:
            del job.pods[name]
    return at_rest(job)


def test_a_dead_pod_does_not_hold_the_next_attempt_up() -> None:
    job = stuck()
    assert job.status.reason is Reason.EARLIER_ATTEMPT_ENDING
    assert "kubectl delete node n0" in job.status.conditions[1].message
    at_rest(job.passed(9))
    assert job.status.reason is Reason.EARLIER_ATTEMPT_ENDING
    job.passed(1).granted("n3", "n1", "n2")
    (record,) = steps_of(planned(job), CreateRecord)
    assert record.draft.dead == (job.pod_name(0, attempt=0),)
    job.node_ready("n0")
    assert not steps_of(planned(job), CreateRecord)


@pytest.mark.parametrize(
    ("replicas", "action", "waits"),
    [(1, "Auto", True), (1, "Proceed", False), (3, "Wait", True), (3, "Proceed", False)],
)
def test_dead_node_actions(replicas: int, action: str, waits: bool) -> None:
    job = at_rest(stuck(replicas, deadNode={"action": action}).passed(60)).granted("n7", "n8", "n9")
    job.granted(*[f"m{i}" for i in range(replicas)])
    assert bool(steps_of(planned(job), CreateRecord)) is not waits


# A cut-off gang that misses nobody


def cut_off(job: JobBuilder, *silent: str) -> JobBuilder:
    """The job runs; these nodes fall silent for good, and what ran elsewhere ends in its time. Grace 10."""
    for node in silent:
        job.node_unknown(node)
    at_rest(job)
    job.hosts.clear()
    for name, pod in list(job.pods.items()):
        if pod.node in silent:
            job.pods[name] = replace(pod, deletion=job.now + 10, deletion_grace=10)
        else:
            del job.pods[name]
    return at_rest(at_rest(job).passed(60)).granted(*[f"m{i}" for i in range(job.size)])


def opens(job: JobBuilder) -> bool:
    return bool(steps_of(planned(job), CreateRecord))


@pytest.mark.parametrize(
    ("nodes", "silent", "waits"),
    [
        (("n0", "n0", "n0"), ("n0",), True),
        (("n0", "n0", "n1"), ("n0",), False),
        (("n0", "n0", "n1"), ("n0", "n1"), True),
    ],
    ids=["all on one node", "one rank elsewhere", "all nodes silent"],
)
def test_a_gang_of_which_no_rank_is_known_to_have_ended_is_waited_for(
    nodes: tuple[str, ...], silent: tuple[str, ...], waits: bool
) -> None:
    job = cut_off(at_rest(make_job().workers(3).opened(0, *nodes).running()), *silent)
    assert opens(job) is not waits
    if waits:
        reason, message = gate(job)
        assert reason is Reason.EARLIER_ATTEMPT_ENDING and "kubectl delete node n0" in message
        del job.pods[job.pod_name(2, attempt=0)]
        assert opens(at_rest(job)), "one of its ranks is gone: the others miss it"


def test_a_rank_that_has_ended_on_the_silent_node_is_missed_there() -> None:
    job = at_rest(make_job().workers(2).opened(0, "n0", "n0").running())
    job.change(1, lambda p: exited(p, 0, p.resource_version + 1))
    assert opens(cut_off(at_rest(job), "n0"))


def test_each_world_of_a_gang_is_judged_by_itself_but_not_one_that_only_serves() -> None:
    def gang(completes: bool) -> JobBuilder:
        job = make_job().workers(2, framework="torch")
        job.role("rollout", 2, framework="jax", completes=completes)
        return at_rest(job.opened(0, "n0", "n0", "n1", "n1").running())

    assert not opens(cut_off(gang(completes=True), "n0")), "the torch world stands whole on n0"
    assert not opens(cut_off(gang(completes=True), "n1"))
    assert opens(cut_off(gang(completes=False), "n1"))


def test_without_its_record_a_cut_off_gang_is_taken_to_have_had_the_spec_s_shape() -> None:
    job = cut_off(at_rest(make_job().workers(2).opened(0, "n0", "n0").running()), "n0")
    job.records.clear()
    assert not opens(job)
    assert opens(at_rest(job.spec(failurePolicy={"deadNode": {"action": "Proceed"}})))


@pytest.mark.parametrize(
    ("action", "ranks", "waits"),
    [("Auto", 1, False), ("Auto", 2, True), ("Proceed", 2, False), ("Wait", 1, True)],
)
def test_dead_pods_of_an_earlier_job_of_the_name_are_judged_alike(action: str, ranks: int, waits: bool) -> None:
    job = make_job().workers(2).spec(failurePolicy={"deadNode": {"action": action}}).probed().with_service()
    names = [pod_name("gpt", uid5("old"), 0, "worker", rank) for rank in range(ranks)]
    late = [make_pod(name, job_uid="old", incarnation=0, phase=PodPhase.RUNNING, node="n9") for name in names]
    job.node("n9").strangers = tuple(replace(pod, deletion=job.now + 10, deletion_grace=10) for pod in late)
    assert gate(job)[0] is Reason.EARLIER_JOB_ENDING
    job.node_unknown("n9")
    assert gate(job)[0] is Reason.EARLIER_JOB_ENDING, "its grace is not over"
    at_rest(job.passed(11)).granted("n0", "n1")
    records = steps_of(planned(job), CreateRecord)
    assert bool(records) is not waits
    if waits:
        assert "kubectl delete node n9" in gate(job)[1]
    else:
        assert records[0].draft.dead == tuple(names)
    job.node_ready("n9")
    assert not steps_of(planned(job), CreateRecord), "it answers again, so the pod is live"


def test_suspending_does_not_wait_for_dead_pods() -> None:
    job = at_rest(at_rest(stuck(1).suspended()).passed(10))
    assert job.status.phase is Phase.SUSPENDED


def test_an_earlier_attempts_late_pod_is_deleted_under_an_open_attempt() -> None:
    job = running_job(2)
    stray = make_pod("gpt-old", job_uid=job.uid, incarnation=7, phase=PodPhase.RUNNING)
    job.pods["gpt-old"] = stray
    (delete,) = steps_of(planned(job), DeletePods)
    assert [ref.name for ref in delete.pods] == ["gpt-old"]


def test_membership_is_read_from_the_record_not_from_labels() -> None:
    job = running_job(2)
    job.change(1, lambda p: replace(p, incarnation=9))
    assert kinds(job) == []


def test_hosts_go_before_pods_and_the_next_attempt_waits_for_both() -> None:
    job = written(running_job().failed(1))
    assert kinds(job)[:2] == [DeleteHosts, DeletePods]
    job.pods.clear()
    job.hosts[0] = replace(job.hosts[0], deleting=True)
    reason, message = gate(job)
    assert reason is Reason.EARLIER_ATTEMPT_ENDING and "-a0-hosts" in message


def test_a_lost_record_under_an_unreadable_spec_is_left_alone() -> None:
    job = running_job()
    job.records.clear()
    job.record_missing = True
    at_rest(job)
    before = job.status.roles
    at_rest(job.invalid())
    assert job.status.open and job.status.roles == before and kinds(job) == []


def test_a_rank_that_was_never_created_is_named_at_the_deadline() -> None:
    job = at_rest(make_job().workers(2).opened().create(0))
    reason, message = rolled_back(job.invalid().passed(600))
    assert reason is Reason.START_DEADLINE_EXCEEDED and "2 of 2 pods were not bound" in message
