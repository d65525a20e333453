"""When a start is given back whole, and when it stands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import make_job
from planning.support import (
    POLICY,
    at_rest,
    gate,
    kinds,
    last_episode,
    planned,
    rolled_back,
    running_job,
    status_of,
    steps_of,
    written,
)
from trainyard.api.names import hosts_name, pod_name, service_name
from trainyard.api.reasons import Cause, ConditionType, Phase, Reason
from trainyard.model.cluster import NOTHING_AVOIDED, Avoided
from trainyard.model.plan import (
    CreatePods,
    CreateRecord,
    CreateRefusal,
    CreateService,
    ObjectRefusal,
)
from trainyard.model.views import ContainerWait, NodeReady, Placing, PodPhase, Toleration, TrainerState


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
    assert job.status.open and "worker-1: ImagePullBackOff: no such image" in job.status.conditions[2].message
    reason, message = rolled_back(job.passed(1))
    assert reason is Reason.START_DEADLINE_EXCEEDED and "2 of 3 trainers had not started 20m" in message
    assert "worker-1 on n1: ImagePullBackOff: no such image" in message


@pytest.mark.parametrize("bound", [True, False])
def test_the_node_of_a_rank_that_came_too_late_is_avoided_for_a_while(bound: bool) -> None:
    job = make_job().workers(3).opened().created_gang()
    job = at_rest(job.bound().started(0, 2) if bound else job.bound(0, 2))
    deadline = 1200 if bound else 600
    at_rest(job.passed(deadline - 1))
    assert rolled_back(job.passed(1))[0] is Reason.START_DEADLINE_EXCEEDED
    closed = last_episode(job).at
    request = planned(at_rest(job.swept().probed())).request
    assert request is not None and request.rolled_back
    assert request.avoid == Avoided(failed=frozenset({"n1"}), until=closed + POLICY.avoid_seconds)
    assert request.keep == {0: "n0", 2: "n2"}
    later = planned(at_rest(job.passed(POLICY.avoid_seconds).probed())).request
    assert later is not None and later.avoid == NOTHING_AVOIDED


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


def test_a_taint_that_admission_has_tolerated_gives_no_start_back() -> None:
    job = make_job().workers(2).opened().tainted("n1")
    assert job.probe is not None
    told = Placing((), (), (Toleration("maintenance", "Exists"),))
    job.probe = replace(job.probe, placing={"worker": told})
    assert CreatePods in kinds(job)
    job.probe = replace(job.probe, placing={})
    assert rolled_back(job)[0] is Reason.NOT_READY_NODES


@pytest.mark.parametrize("what", ["hosts", "Service"])
def test_refused_hosts_or_a_refused_service_give_the_start_back(what: str) -> None:
    job = make_job().workers(2).opened()
    if what == "hosts":
        job.hosts.clear()
    else:
        job.service = None
    name = hosts_name("gpt", job.uid5, 0) if what == "hosts" else service_name("gpt", job.uid5)
    job.object_refused = ObjectRefusal(0, "ConfigMap", name, 403, "exceeded quota: c, used: 9, limited: 9", job.now)
    reason, message = rolled_back(job)
    assert reason is Reason.QUOTA_EXCEEDED and name in message and "used: 9, limited: 9" in message
    assert not last_episode(job).node, "no node is to blame"
    job.records.clear()
    assert gate(job.swept())[0] is Reason.QUOTA_EXCEEDED, "nothing is asked for so soon after"


def test_a_running_gang_whose_service_is_refused_is_left_alone_and_it_is_asked_for_again() -> None:
    job = running_job(2)
    job.service = None
    assert kinds(job) == [CreateService]
    name = service_name("gpt", job.uid5)
    job.object_refused = ObjectRefusal(0, "Service", name, 403, "exceeded quota: s", job.now)
    assert kinds(job) == [] and planned(job).requeue_at == job.now + 30
    assert kinds(job.passed(30)) == [CreateService]


def test_a_refusal_of_an_earlier_attempt_does_not_give_this_one_back() -> None:
    job = make_job().workers(2).opened(1)
    job.service = None
    name = service_name("gpt", job.uid5)
    job.object_refused = ObjectRefusal(0, "Service", name, 403, "exceeded quota: s", job.now - 31)
    assert kinds(job)[:1] == [CreateService]


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


@pytest.mark.parametrize("trainer", [TrainerState(reason="PodInitializing"), TrainerState(started=True)])
def test_so_does_the_image_of_another_container(trainer: TrainerState) -> None:
    """A sidecar's shows when the trainer beside it has started."""
    job = make_job().workers(1).opened().created_gang().bound()
    bad = ContainerWait("fetch", "InvalidImageName", 'couldn\'t parse image "a::b"')
    job.change(0, lambda p: replace(p, trainer=trainer, held_up=bad))
    written(job)
    assert job.status.finishing is not None and job.status.finishing.reason is Reason.IMAGE_INVALID
    assert "worker-0): container fetch: " in job.status.finishing.message and "a::b" in job.status.finishing.message


def test_what_runs_or_has_run_is_not_failed_for_a_container_beside_it() -> None:
    bad = ContainerWait("shipper", "InvalidImageName", "")
    job = at_rest(running_job().change(1, lambda p: replace(p, phase=PodPhase.PENDING, held_up=bad)))
    assert job.status.open and job.status.finishing is None
    done = make_job().workers(2).opened().created_gang().bound().succeeded(0)
    done.change(0, lambda p: replace(p, phase=PodPhase.PENDING, held_up=bad))
    assert at_rest(done).status.finishing is None


def test_the_container_that_holds_a_start_up_is_named() -> None:
    job = make_job().workers(3).opened().created_gang().bound()
    job.change(0, lambda p: replace(p, trainer=TrainerState(reason="PodInitializing")))
    job.change(1, lambda p: replace(p, held_up=ContainerWait("fetch", "ImagePullBackOff", "no such image")))
    words = "worker-1: container fetch: ImagePullBackOff: no such image"
    assert words in at_rest(job).status.conditions[2].message, "not the one that only awaits its turn"
    job.started(0)
    at_rest(at_rest(job.passed(1198)).passed(1))
    reason, message = rolled_back(job.passed(1))
    assert reason is Reason.START_DEADLINE_EXCEEDED
    assert "worker-1 on n1: container fetch: ImagePullBackOff: no such image" in message


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
    request = planned(at_rest(job.swept().probed())).request
    assert request is not None and request.rolled_back and request.avoid == NOTHING_AVOIDED
