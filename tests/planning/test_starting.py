"""Opening and starting: in which order things are made, when a start is given back, what a job waits for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import JobBuilder, make_job, make_pod
from planning.support import at_rest, last_episode, planned, running_job, status_of, steps_of, with_status, written
from trainyard.api.names import hosts_name, pod_name, retained_claim_name
from trainyard.api.reasons import Cause, ConditionType, Phase, Reason
from trainyard.model.cluster import Refusal
from trainyard.model.plan import (
    ConfirmRecord,
    CreateClaim,
    CreateHosts,
    CreatePods,
    CreateRecord,
    CreateRefusal,
    CreateService,
    DeleteHosts,
    DeletePods,
    ProbeResult,
    ProbeRoles,
    WriteStatus,
)
from trainyard.model.status import Finishing
from trainyard.model.views import ClaimView, Key, NodeReady, PodPhase, TrainerState

TEMPLATE = {"claimTemplate": {"spec": {"resources": {"requests": {"storage": "1Gi"}}}}}


def gate(job: JobBuilder) -> tuple[Reason | None, str]:
    """What the job says it waits for."""
    status = at_rest(job).status
    placed = status.condition(ConditionType.PLACED)
    assert placed is not None and placed.status is False and not status.open
    assert (placed.reason, status.reason) == (status.reason, placed.reason)
    return placed.reason, placed.message


def kinds(job: JobBuilder) -> list[type]:
    return [type(step) for step in planned(job).steps]


def rolled_back(job: JobBuilder) -> tuple[Reason, str]:
    written(job)
    episode = last_episode(job)
    assert episode.cause is Cause.START_ROLLED_BACK and episode.settled and not episode.charged
    assert job.status.restarts.total == 0 and not job.status.open
    return episode.reason, episode.message


# Opening


def test_a_job_opens_step_by_step() -> None:
    job = make_job().workers(3, gpus=8)
    assert kinds(job)[0] is ProbeRoles
    at_rest(job.probed())
    request = planned(job).request
    assert request is not None and request.size == 3 and request.roles[0].gpus == 8 and kinds(job) == []
    (record,) = planned(job.granted()).steps
    assert isinstance(record, CreateRecord) and record.draft.nodes == ("n0", "n1", "n2")
    job.stored(record.draft)
    job.grant = None
    (write,) = planned(job).steps
    assert isinstance(write, WriteStatus) and write.require_no_live_pods
    assert write.status.open and write.status.phase is Phase.STARTING and write.status.started_at == job.now
    written(job)
    assert kinds(job)[:3] == [CreateService, CreateHosts, CreatePods]
    job.with_service().with_hosts(0).create()
    assert status_of(planned(job)).gang_created
    at_rest(job.running())
    assert job.status.ready == "3/3" and job.status.reason is Reason.ALL_RANKS_RUNNING


def test_only_missing_ranks_are_created() -> None:
    job = make_job().workers(4).opened().create(0, 2)
    (create,) = steps_of(planned(job), CreatePods)
    assert create.ranks == (1, 3)


def test_hosts_deleted_by_hand_are_made_again_while_open_and_not_finishing() -> None:
    job = running_job()
    job.hosts.clear()
    assert CreateHosts in kinds(job)
    outcome = Finishing(Phase.FAILED, Reason.ACTIVE_DEADLINE_EXCEEDED, "x")
    assert CreateHosts not in kinds(with_status(job, finishing=outcome))


def test_a_grant_that_no_longer_fits_is_dropped() -> None:
    def fresh() -> JobBuilder:
        return at_rest(make_job().workers(2).probed()).granted()

    assert CreateRecord in kinds(fresh())
    for spoil in (
        lambda j: j.passed(31),
        lambda j: j.node_unknown("n1"),
        lambda j: j.node("n1", unschedulable=True),
        lambda j: j.node_gone("n0"),
        lambda j: j.spec(rendezvous={"port": 23456}).probed(),
        lambda j: with_status(j, attempt=3),
    ):
        job = fresh()
        spoil(job)
        found = planned(job)
        assert found.drop_grant and not steps_of(found, CreateRecord) and found.request is not None


def test_refusals_of_the_scheduler_are_told_as_they_are() -> None:
    job = make_job().workers(2).probed()
    text = "needs 2 nodes, best rack has 1 free"
    job.refusal = Refusal(Key("research", "gpt"), job.uid, Reason.INSUFFICIENT_CAPACITY, text)
    assert gate(job) == (Reason.INSUFFICIENT_CAPACITY, text)
    job.refusal = replace(job.refusal, reason=Reason.BACKOFF)
    assert gate(job)[0] is Reason.WAITING_TO_BE_SCHEDULED  # nothing is to be waited out any more


@pytest.mark.parametrize(
    ("code", "message", "reason", "word"),
    [
        (422, "spec.containers[0].image: Required value", Reason.POD_REFUSED, "asked again every 30 s"),
        (403, "exceeded quota: gpus, used: 8, limited: 8", Reason.QUOTA_EXCEEDED, "kubectl describe quota -n research"),
        (403, "no PriorityClass with name urgent was found", Reason.UNKNOWN_PRIORITY_CLASS, "PriorityClass urgent"),
    ],
)
def test_a_refused_dry_run_names_its_reason(code: int, message: str, reason: Reason, word: str) -> None:
    job = make_job().workers(2).spec(scheduling={"priorityClassName": "urgent"})
    job.probe = ProbeResult(
        job.spec_hash, refused_role="worker", refused_code=code, refused_message=message, at=job.now
    )
    found = gate(job)
    assert found[0] is reason and word in found[1] and message in found[1]
    assert kinds(job) == [] and planned(job).requeue_at == job.now + 30
    assert kinds(job.passed(30)) == [ProbeRoles]


def test_other_gates_say_what_they_wait_for() -> None:
    job = make_job().workers(2).invalid("roles[0].gpus", "must not be negative")
    assert gate(job) == (Reason.INVALID_SPEC, "roles[0].gpus: must not be negative")
    for number in range(4):
        job.invalid("", f"problem {number}")
    at_rest(job)
    assert gate(job.passed(1))[1].endswith("(and 2 more)")
    job = make_job().workers(2).probed()
    job.namespace_terminating = True
    assert gate(job)[0] is Reason.NAMESPACE_TERMINATING
    job = make_job().workers(2).probed()
    job.strangers = (make_pod("gpt-old-a0-worker-0", node="n7", job_uid="another"),)
    reason, message = gate(job)
    assert reason is Reason.EARLIER_JOB_ENDING and "gpt-old-a0-worker-0 on n7" in message and "kubectl" in message


def test_foreign_objects_are_left_alone_and_named() -> None:
    job = make_job().workers(2).probed().with_service(owner="somebody")
    reason, message = gate(job)
    assert reason is Reason.FOREIGN_OBJECT and f"gpt-{job.uid5}" in message
    job = make_job().workers(2).probed()
    job.foreign_names = frozenset({f"gpt-{job.uid5}-a0"})
    assert gate(job)[0] is Reason.FOREIGN_OBJECT


def test_a_claim_is_created_adopted_or_waited_for() -> None:
    job = make_job().workers(2).spec(checkpoint={"volume": TEMPLATE}).probed()
    assert kinds(job)[0] is CreateClaim
    claim = ClaimView("research", retained_claim_name("gpt"), "uid-claim")
    job.claim = claim
    request = planned(job).request
    assert request is not None and (request.claim, request.claim_created) == ("gpt-ckpt", True)
    job.claim = replace(claim, deleting=True)
    assert gate(job)[0] is Reason.CLAIM_TERMINATING
    job.claim = replace(claim, owner_uid="another")
    assert gate(job)[0] is Reason.FOREIGN_OBJECT
    job = make_job().workers(2).spec(checkpoint={"volume": {"claimName": "mine"}, "directory": "run"}).probed()
    request = planned(job).request
    assert request is not None and (request.claim, request.claim_created, request.directory) == ("mine", False, "run")


def test_the_next_attempt_keeps_healthy_ranks_and_avoids_the_node_that_failed() -> None:
    job = at_rest(written(running_job().node_unknown("n2")).swept())
    request = planned(job).request
    assert request is not None and request.avoid == {"n2"}
    assert request.keep == {0: "n0", 1: "n1", 3: "n3"} and request.held_until == job.now + 120
    at_rest(job.passed(600))
    later = planned(job).request
    assert later is not None and later.avoid == frozenset() and 2 not in later.keep


def test_nodes_are_held_while_pods_end_and_while_blame_is_awaited() -> None:
    ending = written(running_job(maxRestarts=0).failed(1))
    ending.hosts.clear()
    for name, pod in ending.pods.items():
        ending.pods[name] = replace(pod, deletion=ending.now + 10, deletion_grace=10)
    at_rest(ending)
    for job, reason in ((ending, Reason.EARLIER_ATTEMPT_ENDING), (at_rest(ending.swept()), Reason.AWAITING_CAUSE)):
        request = planned(job).request
        assert request is not None and request.not_before == request.held_until and len(request.keep) == 4, reason
    assert planned(ending.passed(200)).request is None


# Given back


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda j: j.node_unknown("n1"), "not Ready"),
        (lambda j: j.node("n1", ready=NodeReady.FALSE), "not Ready"),
        (lambda j: j.node_gone("n1"), "gone"),
        (lambda j: j.tainted("n1"), "taint maintenance:NoSchedule"),
        (lambda j: j.node("n1", unschedulable=True), "cordoned"),
    ],
)
def test_no_pod_is_created_for_a_node_that_would_not_take_it(spoil: object, word: str) -> None:
    job = make_job().workers(2).opened()
    spoil(job)  # type: ignore[operator]
    reason, message = rolled_back(job)
    assert reason is Reason.NOT_READY_NODES and word in message and last_episode(job).node == "n1"


def test_a_tolerated_taint_is_no_obstacle() -> None:
    job = make_job().workers(2).spec(accelerator={"tolerations": [{"key": "maintenance", "operator": "Exists"}]})
    job.raw["roles"][0]["gpus"] = 1
    assert CreatePods in kinds(job.opened().tainted("n1"))
    assert CreatePods in kinds(make_job().workers(2).opened().tainted("n1", effect="PreferNoSchedule"))


def test_unschedulable_is_believed_after_15_seconds() -> None:
    job = make_job().workers(2).opened().created_gang()
    job.change(1, lambda p: replace(p, unschedulable="Insufficient nvidia.com/gpu"))
    at_rest(job)
    assert job.status.open
    at_rest(job.passed(14))
    assert job.status.open and planned(job).requeue_at == job.now + 1
    reason, message = rolled_back(job.passed(1))
    assert reason is Reason.UNSCHEDULABLE and "Insufficient nvidia.com/gpu" in message


def test_deadlines_first_to_be_bound_then_to_start() -> None:
    job = at_rest(make_job().workers(3).opened().created_gang().bound(0))
    at_rest(job.passed(599))
    assert job.status.open
    reason, message = rolled_back(job.passed(1))
    assert reason is Reason.START_DEADLINE_EXCEEDED and "2 of 3 pods were not bound 10m" in message
    job = at_rest(make_job().workers(3).opened().created_gang().bound().started(0))
    job.change(1, lambda p: replace(p, trainer=TrainerState(reason="ImagePullBackOff", message="no such image")))
    at_rest(at_rest(job.passed(1198)).passed(1))
    assert job.status.open and "ImagePullBackOff no such image" in (job.status.conditions[2].message)
    reason, message = rolled_back(job.passed(1))
    assert reason is Reason.START_DEADLINE_EXCEEDED and "2 of 3 trainers had not started 20m" in message
    assert "worker-1 on n1: ImagePullBackOff: no such image" in message


def test_a_deadline_must_also_have_been_seen_to_pass() -> None:
    job = at_rest(make_job().workers(2).opened().created_gang()).passed(700)
    job.seen.clear()
    at_rest(job)
    assert job.status.open
    assert rolled_back(job.passed(30))[0] is Reason.START_DEADLINE_EXCEEDED


def test_a_gang_that_has_run_has_no_start_deadline() -> None:
    job = at_rest(running_job().passed(5000))
    job.change(1, lambda p: replace(p, trainer=TrainerState()))
    at_rest(job.passed(5000))
    assert job.status.open and job.status.phase is Phase.RUNNING


def test_gates_of_others_are_named_and_never_a_nodes_fault() -> None:
    job = make_job().workers(2).opened().created_gang()
    job.change(1, lambda p: replace(p, gates=("kueue.x-k8s.io/admission",)))
    at_rest(job.node_unknown("n1"))
    assert job.status.open and job.status.reason is Reason.FOREIGN_ADMISSION
    assert "kueue.x-k8s.io/admission" in job.status.conditions[2].message
    job.bound(0)
    assert rolled_back(job.passed(600))[0] is Reason.FOREIGN_ADMISSION
    assert last_episode(job).node == ""


def test_finalizers_of_others_are_named() -> None:
    job = written(running_job().suspended()).resumed()
    job.hosts.clear()
    for name, pod in job.pods.items():
        job.pods[name] = replace(pod, deletion=job.now + 30, finalizers=("example.com/keep",))
    assert gate(job)[0] is Reason.EARLIER_ATTEMPT_ENDING
    reason, message = gate(job.passed(30))
    assert reason is Reason.FOREIGN_ADMISSION and "example.com/keep" in message


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [(403, "exceeded quota: pods", Reason.QUOTA_EXCEEDED), (422, "invalid", Reason.POD_REFUSED)],
)
def test_a_refused_create_gives_the_start_back(code: int, message: str, reason: Reason) -> None:
    job = make_job().workers(4).opened().create(0, 1)
    job.create_refused = CreateRefusal(0, 2, code, message)
    found = rolled_back(job)
    assert found[0] is reason and message in found[1]
    assert job.status.streaks.disruption == 1


@pytest.mark.parametrize("what", ["pod", "hosts"])
def test_a_name_taken_by_a_stranger_gives_the_start_back(what: str) -> None:
    job = make_job().workers(2).opened()
    if what == "hosts":
        job.hosts.clear()
    taken = pod_name("gpt", job.uid5, 0, "worker", 1) if what == "pod" else hosts_name("gpt", job.uid5, 0)
    job.foreign_names = frozenset({taken})
    reason, message = rolled_back(job)
    assert reason is Reason.FOREIGN_OBJECT and taken in message


def test_an_image_that_cannot_be_right_fails_the_job_at_once() -> None:
    job = make_job().workers(2).opened().created_gang().bound()
    bad = TrainerState(reason="InvalidImageName", message='couldn\'t parse image "a::b"')
    job.change(1, lambda p: replace(p, trainer=bad))
    written(job)
    assert job.status.finishing is not None and job.status.finishing.reason is Reason.IMAGE_INVALID
    assert "a::b" in job.status.finishing.message and job.status.restarts.total == 0


def test_another_build_starts_a_half_created_gang_anew_and_leaves_a_complete_one_alone() -> None:
    job = make_job().workers(2).opened(build="0.9.0").create(0)
    written(job)
    assert last_episode(job).cause is Cause.OPERATOR_UPGRADED and "0.9.0" in last_episode(job).message
    assert kinds(at_rest(make_job().workers(2).opened(build="0.9.0").running())) == []


def test_a_spec_this_build_calls_invalid_never_touches_a_running_gang() -> None:
    job = at_rest(running_job().invalid())
    assert job.status.open and job.status.phase is Phase.RUNNING
    valid = job.status.condition(ConditionType.VALID)
    assert valid is not None and valid.status is False
    half = make_job().workers(2).opened().create().invalid()
    assert status_of(planned(half)).gang_created


def test_delegated_gangs_are_created_without_nodes() -> None:
    job = make_job().workers(2).spec(scheduling={"placement": "Delegated"}).probed().granted()
    (record,) = steps_of(planned(job), CreateRecord)
    assert record.draft.nodes == ("", "")
    job = at_rest(job.opened().created_gang())
    placed = job.status.condition(ConditionType.PLACED)
    assert placed is not None and placed.reason is Reason.GANG_DELEGATED
    assert rolled_back(job.passed(600))[0] is Reason.START_DEADLINE_EXCEEDED
    request = planned(at_rest(job.swept())).request
    assert request is not None and request.rolled_back and request.avoid == frozenset()


# Records


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


def test_device_backed_accelerators_are_told() -> None:
    job = make_job().workers(2).opened(0, "", "").created_gang()
    placed = at_rest(job).status.condition(ConditionType.PLACED)
    assert placed is not None and placed.reason is Reason.DEVICE_BACKED


def test_a_rank_that_was_never_created_is_named_at_the_deadline() -> None:
    job = at_rest(make_job().workers(2).opened().create(0))
    reason, message = rolled_back(job.invalid().passed(600))
    assert reason is Reason.START_DEADLINE_EXCEEDED and "2 of 2 pods were not bound" in message
