"""Do views of pods say what the API server's objects say, whatever tenants write into them?"""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.raw_objects import AT, INSTANT, OWNER
from trainyard.model.translate import child_view
from trainyard.model.translate_pod import MAX_TEXT, pod_view
from trainyard.model.views import ContainerWait, PodPhase, TrainerState

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
LABELS = {
    "trainyard.dev/job": "gpt",
    "trainyard.dev/job-uid": "job-1",
    "trainyard.dev/role": "worker",
    "trainyard.dev/index": "3",
    "trainyard.dev/rank": "4",
    "trainyard.dev/attempt": "2",
}


def raw_pod(*, meta: dict[str, Any] | None = None, spec: Any = None, status: Any = None) -> dict[str, Any]:
    metadata = {"name": "p", "namespace": "ns", "uid": "u", "resourceVersion": "17", "creationTimestamp": AT}
    containers = [{"name": "sidecar"}, {"name": "trainer"}]
    return {
        "metadata": {**metadata, "labels": LABELS, "ownerReferences": [OWNER], **(meta or {})},
        "spec": {"containers": containers, **(spec or {})},
        "status": status or {},
    }


def told(**state: Any) -> dict[str, Any]:
    sidecar = {"name": "sidecar", "state": {"terminated": {"exitCode": 9, "startedAt": AT}}}
    return {"containerStatuses": [sidecar, {"name": "trainer", "state": state}]}


TRAINER_AND_PORT = [{"name": "sidecar"}, {"name": "trainer", "ports": [{"containerPort": 1, "hostPort": 8080}]}]


def packed(raw: dict[str, Any]) -> dict[str, Any]:
    """As the watch of pods gives it."""
    return {**raw, "spec": json.dumps(raw["spec"]).encode()}


class TestPod:
    def test_who_it_is(self) -> None:
        view = pod_view(raw_pod(spec={"nodeName": "n1", "priority": 5}, status={"phase": "Running"}))
        assert (view.key, view.uid, view.resource_version) == (("ns", "p"), "u", 17)
        assert (view.job, view.job_uid, view.role, view.index, view.rank, view.incarnation) == (
            "gpt",
            "job-1",
            "worker",
            3,
            4,
            2,
        )
        assert (view.phase, view.node, view.created) == (PodPhase.RUNNING, "n1", INSTANT)
        assert view.failed_version == 0

    @pytest.mark.parametrize(
        "owner",
        [
            {**OWNER, "controller": False},
            {**OWNER, "kind": "Job"},
            {**OWNER, "apiVersion": "trainyard.dev.evil/v1"},
            {**OWNER, "apiVersion": "batch/v1"},
        ],
    )
    def test_labels_of_strangers_mean_nothing(self, owner: dict[str, Any]) -> None:
        view = pod_view(raw_pod(meta={"ownerReferences": [owner]}, status=told(running={})))
        assert (view.job_uid, view.role, view.index, view.rank, view.incarnation) == ("", "", -1, -1, -1)
        assert view.trainer == TrainerState()
        assert view.job == "gpt"

    @pytest.mark.parametrize(
        ("owners", "left_behind"),
        [([], "job-1"), ([{**OWNER, "controller": False}], "job-1"), ([OWNER], ""), ([{**OWNER, "kind": "Job"}], "")],
    )
    def test_what_no_controller_owns_was_left_behind(self, owners: list[dict[str, Any]], left_behind: str) -> None:
        raw = raw_pod(meta={"ownerReferences": owners})
        assert (pod_view(raw).left_behind, child_view(raw).left_behind) == (left_behind, left_behind)

    def test_without_our_labels_nothing_was_left_behind(self) -> None:
        labels = {name: value for name, value in LABELS.items() if name != "trainyard.dev/job"}
        for some in ({}, labels, {"trainyard.dev/job": "gpt"}):
            assert pod_view(raw_pod(meta={"ownerReferences": [], "labels": some})).left_behind == ""

    def test_the_controller_is_found_among_owners(self) -> None:
        other = {"apiVersion": "v1", "kind": "ConfigMap", "uid": "x"}
        assert pod_view(raw_pod(meta={"ownerReferences": [other, OWNER]})).job_uid == "job-1"

    @pytest.mark.parametrize("text", ["", "-1", "1_0", "x", "9" * 30, "٣"])
    def test_a_spoilt_label_is_no_number(self, text: str) -> None:
        assert pod_view(raw_pod(meta={"labels": {**LABELS, "trainyard.dev/rank": text}})).rank == -1

    def test_deletion_keeps_its_grace(self) -> None:
        view = pod_view(raw_pod(meta={"deletionTimestamp": AT, "deletionGracePeriodSeconds": 30}))
        assert (view.deletion, view.deletion_grace) == (INSTANT, 30)
        assert pod_view(raw_pod()).deletion is None

    @pytest.mark.parametrize(
        "status, state",
        [
            ({}, TrainerState()),
            ({"containerStatuses": [{"name": "sidecar", "state": {"running": {}}}]}, TrainerState()),
            (told(), TrainerState()),
            (told(running={"startedAt": AT}), TrainerState(started=True)),
            (
                told(waiting={"reason": "ImagePullBackOff", "message": "no such image"}),
                TrainerState(reason="ImagePullBackOff", message="no such image"),
            ),
            (
                told(terminated={"exitCode": 0, "reason": "Completed", "startedAt": AT}),
                TrainerState(True, 0, "Completed"),
            ),
            (
                told(terminated={"exitCode": 137, "reason": "OOMKilled", "startedAt": AT, "message": "m" * 5000}),
                TrainerState(True, 137, "OOMKilled", "m" * MAX_TEXT),
            ),
            (
                told(terminated={"exitCode": 128, "reason": "StartError", "startedAt": "1970-01-01T00:00:00Z"}),
                TrainerState(False, 128, "StartError"),
            ),
            (
                told(terminated={"exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": None}),
                TrainerState(False, 137, "ContainerStatusUnknown"),
            ),
        ],
    )
    def test_the_trainer_is_the_container_of_that_name(self, status: dict[str, Any], state: TrainerState) -> None:
        assert pod_view(raw_pod(status=status)).trainer == state

    def test_the_trainer_is_the_one_with_the_hosts_though_a_webhook_put_another_first(self) -> None:
        given = {"name": "pytorch", "volumeMounts": [{"name": "trainyard-hosts", "mountPath": "/etc/trainyard/hosts"}]}
        for before in ("istio-proxy", "trainer"):
            view = pod_view(raw_pod(spec={"containers": [{"name": before, "volumeMounts": [{"name": "x"}]}, given]}))
            assert view.trainer_name == "pytorch"

    def test_else_the_trainer_is_the_first(self) -> None:
        status = {"containerStatuses": [{"name": "b", "state": {}}, {"name": "a", "state": {"running": {}}}]}
        assert pod_view(raw_pod(spec={"containers": [{"name": "a"}, {"name": "b"}]}, status=status)).trainer.started

    def test_one_that_waits_to_run_again_has_started(self) -> None:
        container = {
            "name": "trainer",
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 1}},
        }
        trainer = pod_view(raw_pod(status={"containerStatuses": [container]})).trainer
        assert (trainer.started, trainer.exit_code) == (True, None)

    @pytest.mark.parametrize(
        ("init", "others", "held_up"),
        [
            ([], [("sidecar", "ContainerCreating"), ("trainer", "ImagePullBackOff")], None),
            ([("fetch", "")], [("sidecar", "PodInitializing"), ("trainer", "PodInitializing")], None),
            ([("fetch", "ErrImagePull")], [("trainer", "PodInitializing")], ("fetch", "ErrImagePull")),
            ([], [("sidecar", "ImagePullBackOff"), ("trainer", "")], ("sidecar", "ImagePullBackOff")),
            ([("proxy", "CrashLoopBackOff")], [("sidecar", "InvalidImageName")], ("sidecar", "InvalidImageName")),
        ],
    )
    def test_what_a_pending_pods_other_containers_wait_for(
        self, init: list[tuple[str, str]], others: list[tuple[str, str]], held_up: tuple[str, str] | None
    ) -> None:
        def state(name: str, reason: str) -> dict[str, Any]:
            waiting = {"waiting": {"reason": reason, "message": "m" * 5000}}
            return {"name": name, "state": waiting if reason else {"running": {}}}

        status = {
            "phase": "Pending",
            "initContainerStatuses": [state(*container) for container in init],
            "containerStatuses": [state(*container) for container in others],
        }
        told = pod_view(raw_pod(status=status)).held_up
        assert told == (ContainerWait(*held_up, "m" * MAX_TEXT) if held_up else None)
        assert pod_view(raw_pod(status={**status, "phase": "Running"})).held_up is None
        assert pod_view(raw_pod(meta={"ownerReferences": []}, status=status)).held_up is None

    def test_what_containers_wait_for_is_told_the_others_first(self) -> None:
        fetch = ContainerWait("fetch", "ImagePullBackOff", "no such image")
        waiting = replace(pod_view(raw_pod(status=told(waiting={"reason": "ErrImagePull"}))), held_up=fetch)
        assert [str(w) for w in waiting.waits] == ["container fetch: ImagePullBackOff: no such image", "ErrImagePull"]
        ended = told(terminated={"exitCode": 128, "reason": "StartError", "startedAt": "1970-01-01T00:00:00Z"})
        assert pod_view(raw_pod(status=ended)).waits == ()

    def test_conditions(self) -> None:
        conditions = [
            {"type": "Initialized", "status": "True"},
            {"type": "Ready", "status": "True"},
            {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"},
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": "0/3 nodes",
                "lastTransitionTime": AT,
            },
        ]
        view = pod_view(raw_pod(status={"conditions": conditions}))
        assert (view.ready, view.disruption) == (True, "EvictionByEvictionAPI")
        assert view.unschedulable == "0/3 nodes"

    def test_conditions_that_do_not_hold(self) -> None:
        conditions = [
            {"type": "Ready", "status": "False"},
            {"type": "DisruptionTarget", "status": "False", "reason": "x"},
            {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"},
        ]
        view = pod_view(raw_pod(status={"conditions": conditions}))
        assert (view.ready, view.disruption, view.unschedulable) == (False, "", "")

    def test_conditions_without_words_still_say_something(self) -> None:
        conditions = [
            {"type": "DisruptionTarget", "status": "True"},
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"},
        ]
        view = pod_view(raw_pod(status={"conditions": conditions}))
        assert (view.disruption, view.unschedulable) == ("Unknown", "Unschedulable")

    def test_gates_finalizers_and_last_words(self) -> None:
        view = pod_view(
            raw_pod(
                meta={"finalizers": ["kueue.x-k8s.io/managed"] * 40},
                spec={"schedulingGates": [{"name": "gate"}]},
                status={
                    "phase": "Failed",
                    "reason": "Evicted",
                    "message": "x" * 9000,
                    "nominatedNodeName": "n2",
                },
            )
        )
        assert (view.gates, view.nominated, view.reason) == (("gate",), "n2", "Evicted")
        assert len(view.finalizers) == 16
        assert len(view.message) == MAX_TEXT

    def test_what_belongs_to_its_node_and_which_ports_it_takes(self) -> None:
        ports = [{"containerPort": 80}, {"containerPort": 81, "hostPort": 8081}]
        assert pod_view(raw_pod(spec={"containers": [{"name": "c", "ports": ports}]})).host_ports == (8081,)
        for kind, resident in (("DaemonSet", True), ("Node", True), ("ReplicaSet", False)):
            owner = {"kind": kind, "name": "o", "uid": "o", "apiVersion": "v1", "controller": True}
            assert pod_view(raw_pod(meta={"ownerReferences": [owner]})).resident is resident
        mirror = {"ownerReferences": [], "annotations": {"kubernetes.io/config.mirror": "x"}}
        assert pod_view(raw_pod(meta=mirror)).resident
        assert not pod_view(raw_pod(meta={"annotations": {"kubernetes.io/config.mirror": "x"}})).resident, "ours"

    def test_a_phase_of_the_future_is_pending(self) -> None:
        assert pod_view(raw_pod(status={"phase": "Dreaming"})).phase is PodPhase.PENDING

    def test_equal_pods_share_what_they_ask_for(self) -> None:
        spec = {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1", "nvidia.com/gpu": "8"}}}]}
        a, b = pod_view(raw_pod(spec=spec)), pod_view(raw_pod(spec=spec))
        assert a.resources == (("cpu", 1000), ("nvidia.com/gpu", 8))
        assert a.resources is b.resources

    def test_the_node_it_is_pinned_to(self) -> None:
        term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n7"]}]}
        affinity = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [term]}}}
        assert pod_view(raw_pod(spec={"affinity": affinity})).pinned == "n7"
        assert pod_view(raw_pod(spec={"affinity": {}})).pinned == ""

    def test_a_packed_spec_says_the_same_as_one_that_is_not(self) -> None:
        spec = {"nodeName": "n1", "priority": 5, "schedulingGates": [{"name": "g"}], "containers": TRAINER_AND_PORT}
        raw = raw_pod(spec=spec, status=told(running={}))
        view = pod_view(packed(raw))
        assert view.spec_hash
        assert replace(view, spec_hash=0) == pod_view(raw)

    def test_the_same_packed_spec_is_read_once(self) -> None:
        raw = raw_pod(spec={"nodeName": "n1", "containers": TRAINER_AND_PORT})
        first = pod_view(packed(raw))
        # Were it read again, it would tell the truth about itself.
        second = pod_view(packed({**raw, "status": told(running={})}), replace(first, node="as read before"))
        assert (second.node, second.trainer.started, second.host_ports) == ("as read before", True, (8080,))

    def test_another_packed_spec_is_read_anew(self) -> None:
        first = pod_view(packed(raw_pod()))
        bound = pod_view(packed(raw_pod(spec={"nodeName": "n1"})), first)
        assert bound == pod_view(packed(raw_pod(spec={"nodeName": "n1"})))
        assert bound.spec_hash != first.spec_hash


@given(st.dictionaries(st.text("trainyd.ev/jobk", max_size=20), st.text(max_size=20)), st.text(max_size=2000))
def test_whatever_tenants_write_into_a_pod_is_read(labels: dict[str, str], message: str) -> None:
    view = pod_view(raw_pod(meta={"labels": labels}, status={"message": message, "reason": message}))
    assert len(view.message) <= MAX_TEXT
