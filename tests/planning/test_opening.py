"""In which order an attempt is opened and made, and what a job says while it waits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import JobBuilder, make_job, make_pod
from planning.support import (
    POLICY,
    at_rest,
    gate,
    kinds,
    planned,
    running_job,
    status_of,
    steps_of,
    with_status,
    written,
)
from trainyard.api.names import record_name, retained_claim_name
from trainyard.api.reasons import ConditionType, Phase, Reason
from trainyard.model.cluster import NOTHING_AVOIDED, Avoided, Refusal
from trainyard.model.plan import (
    CreateClaim,
    CreateHosts,
    CreatePods,
    CreateRecord,
    CreateService,
    DeletePods,
    DeleteRecord,
    ObjectRefusal,
    ProbeResult,
    ProbeRoles,
    WriteStatus,
)
from trainyard.model.status import Condition, Finishing
from trainyard.model.views import ClaimView, Key, Placing, Toleration
from trainyard.planning.planner import UNNAMED_SECONDS

TEMPLATE = {"claimTemplate": {"spec": {"resources": {"requests": {"storage": "1Gi"}}}}}


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
        lambda j: with_status(j, attempt=3).probed(),
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


@pytest.mark.parametrize(
    ("code", "message", "reason", "word"),
    [
        (403, "exceeded quota: maps, used: 8, limited: 8", Reason.QUOTA_EXCEEDED, "kubectl describe quota -n research"),
        (403, "admission policy says no", Reason.OBJECT_REFUSED, "admission policy says no"),
        (500, 'failed calling webhook "a.b.c"', Reason.OBJECT_REFUSED, "webhook"),
    ],
)
def test_a_refused_record_is_told_and_its_grant_given_back(code: int, message: str, reason: Reason, word: str) -> None:
    job = make_job().workers(2).granted()
    assert kinds(job) == [CreateRecord]
    name = record_name("gpt", job.uid5, 0)
    job.object_refused = ObjectRefusal(0, "ConfigMap", name, code, message, job.now)
    assert planned(job).drop_grant and planned(job).request is None
    told = gate(job)
    assert told[0] is reason and word in told[1] and f"ConfigMap {name}" in told[1]
    job.grant = None
    assert kinds(job) == [] and planned(job).requeue_at == job.now + 30
    version = job.status
    at_rest(job.passed(30))
    assert planned(job).request is not None, "it is asked for again"
    assert job.status == version, "and nothing else is said meanwhile"
    assert kinds(job.granted()) == [CreateRecord]


def test_a_refused_claim_is_told_and_asked_for_again() -> None:
    job = make_job().workers(2).spec(checkpoint={"volume": TEMPLATE})
    assert kinds(job)[0] is CreateClaim
    name = retained_claim_name("gpt")
    job.object_refused = ObjectRefusal(0, "PersistentVolumeClaim", name, 403, "exceeded quota: disk", job.now)
    reason, message = gate(job)
    assert reason is Reason.QUOTA_EXCEEDED and name in message and kinds(job) == []
    assert kinds(job.passed(30))[0] is CreateClaim


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


def test_pods_that_an_earlier_job_left_behind_are_waited_for_with_the_command_that_ends_them() -> None:
    job = make_job().workers(2).probed()
    left = replace(make_pod("gpt-old-a0-worker-0", node="n7", job_uid=""), left_behind="uid-0")
    job.strangers = (left, replace(left, name="gpt-old-a0-worker-1", uid="other"))
    reason, message = gate(job)
    assert reason is Reason.EARLIER_JOB_ENDING and message.startswith("2 pods of an earlier job named gpt run on")
    assert "gpt-old-a0-worker-0 on n7" in message
    assert message.endswith("kubectl delete pods -n research -l trainyard.dev/job-uid=uid-0")
    job.strangers = ()
    assert gate(job)[0] is Reason.WAITING_TO_BE_SCHEDULED


def test_foreign_objects_are_left_alone_and_named() -> None:
    job = make_job().workers(2).probed().with_service(owner="somebody")
    reason, message = gate(job)
    assert reason is Reason.FOREIGN_OBJECT and f"gpt-{job.uid5}" in message
    job = make_job().workers(2).probed()
    job.foreign_names = frozenset({f"gpt-{job.uid5}-a0"})
    assert gate(job)[0] is Reason.FOREIGN_OBJECT


def promised(seconds: float) -> tuple[JobBuilder, DeleteRecord]:
    """A job whose record is stored, and for so long no status names it."""
    job = make_job().workers(2).granted()
    (create,) = steps_of(planned(job), CreateRecord)
    record = job.stored(create.draft)
    job.grant = None
    return job.seeing(f"unnamed:{record.uid}", seconds), DeleteRecord(0, record.name, record.uid)


def test_a_record_that_opens_nothing_is_dropped() -> None:
    """It holds nodes, whoever wrote it."""
    job, drop = promised(UNNAMED_SECONDS)
    job.namespace_terminating = True
    assert steps_of(planned(job), DeleteRecord) == [drop]
    job.records[0] = replace(job.records[0], deleting=True)
    assert DeleteRecord not in kinds(job)


def test_a_record_that_may_still_open_its_attempt_is_left_alone() -> None:
    job, drop = promised(0)
    job.namespace_terminating = True
    at_rest(job)
    assert DeleteRecord not in kinds(job) and planned(job).requeue_at == job.now + UNNAMED_SECONDS
    assert DeleteRecord not in kinds(job.passed(UNNAMED_SECONDS - 1))
    assert steps_of(planned(job.passed(1)), DeleteRecord) == [drop]
    job.namespace_terminating = False
    assert kinds(job) == [WriteStatus] and status_of(planned(job)).open


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
    job = at_rest(written(running_job().node_unknown("n2")).swept().probed())
    request = planned(job).request
    assert request is not None and request.avoid.nodes == {"n2"}
    assert request.keep == {0: "n0", 1: "n1", 3: "n3"} and request.held_until == job.now + 120
    at_rest(job.passed(600))
    later = planned(job).request
    assert later is not None and later.avoid == NOTHING_AVOIDED and 2 not in later.keep


def test_a_node_that_was_taken_away_is_a_last_resort_and_one_on_which_a_start_failed_is_none() -> None:
    job = at_rest(written(running_job().node_unknown("n2")).swept().probed())
    lost = job.now
    job.passed(60).opened(None, "n0", "n1", "n5", "n3").created_gang().refused_by_kubelet(2)
    request = planned(at_rest(written(job).swept().probed())).request
    assert request is not None
    assert request.avoid == Avoided(frozenset({"n5"}), frozenset({"n2"}), lost + 60 + POLICY.avoid_seconds)


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


def test_nodes_are_held_from_the_moment_their_pods_are_deleted() -> None:
    job = written(running_job().failed(1))
    found = planned(job)
    assert steps_of(found, DeletePods)
    assert found.request is not None and found.request.not_before == found.request.held_until
    job.request = replace(found.request, not_before=0.0)
    assert planned(job).request == job.request, "what is asked for already stays asked"


def test_each_attempt_asks_anew_what_its_pods_need_and_its_nodes_are_held_meanwhile() -> None:
    job = at_rest(written(running_job().failed(1)).swept())
    found = planned(job)
    assert steps_of(found, ProbeRoles)
    assert found.request is not None and found.request.not_before == found.request.held_until
    job.probe = ProbeResult(job.spec_hash, job.status.attempt, {"worker": (("cpu", 700),)}, at=job.now)
    request = planned(job).request
    assert kinds(job) == [] and request is not None
    assert request.not_before < request.held_until and request.roles[0].resources == (("cpu", 700),)
    job.probe = replace(job.probe, refused_role="worker", refused_code=422, refused_message="too little cpu")
    assert gate(job)[0] is Reason.POD_REFUSED and planned(job).request is None


def test_pods_are_placed_where_admission_lets_them_stand() -> None:
    told = Placing((("pool", "a"),), (), (Toleration("gpu", "Exists"),))
    job = make_job().workers(2).probed()
    assert job.probe is not None
    job.probe = replace(job.probe, placing={"worker": told}, priority_class="batch")
    request = planned(job).request
    assert request is not None and request.pod_class == "batch"
    (role,) = request.roles
    assert (role.node_selector, role.tolerations) == (told.node_selector, told.tolerations)


def test_a_new_leader_that_made_no_dry_run_keeps_a_restarting_jobs_nodes_too() -> None:
    job = running_job(4)
    job.probe = None
    job = written(job.failed(1))
    request = planned(job).request
    assert request is not None and request.not_before == request.held_until == job.now + POLICY.hold_seconds
    assert set(request.keep.values()) == {"n0", "n1", "n2", "n3"}
    assert request.roles[0].resources == job.records[0].roles[0].resources != ()


def test_a_job_that_has_begun_ends_by_its_first_deadline_however_often_it_restarts() -> None:
    job = make_job().workers(2).spec(activeDeadlineSeconds=1000)
    first = planned(at_rest(job.probed())).request
    assert first is not None and (first.duration_bound, first.ends_by) == (1000, None)
    began = job.now
    at_rest(written(at_rest(job.opened().running()).passed(600).deleted(1)).swept())
    again = planned(job.probed()).request
    assert again is not None and again.ends_by == began + 1000


def test_settling_the_blame_leaves_the_job_in_the_queue() -> None:
    job = at_rest(at_rest(written(running_job().failed(1)).swept()).probed())
    job.request = planned(job).request
    found = planned(job.node_unknown("n3"))
    assert steps_of(found, WriteStatus) and found.request == job.request is not None
    spent = at_rest(at_rest(written(running_job(maxRestarts=0).failed(1)).swept()).probed())
    spent.request = planned(spent).request
    at_rest(spent.passed(200))
    assert spent.status.finishing is not None and planned(spent).request is None


def test_numbers_of_a_refusal_are_written_at_a_steady_pace() -> None:
    job = make_job().workers(2).probed()
    job.refusal = Refusal(Key("research", "gpt"), job.uid, Reason.INSUFFICIENT_CAPACITY, "14 of 16 nodes are free")
    at_rest(job)
    job.refusal = replace(job.refusal, message="13 of 16 nodes are free")
    at_rest(at_rest(job).passed(29))
    assert placed(job).message == "14 of 16 nodes are free", "only the words moved"
    at_rest(job.passed(2))
    assert placed(job).message == "13 of 16 nodes are free"


def placed(job: JobBuilder) -> Condition:
    found = job.status.condition(ConditionType.PLACED)
    assert found is not None
    return found
