"""Do views say what the API server's objects say, and do odd objects harm nobody?"""

import json
from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.model.record import RECORD_KEY, RecordDraft, RecordRole, encode_record
from trainyard.model.translate import (
    LAST_APPLIED,
    MAX_TEXT,
    binds_late,
    child_view,
    claim_view,
    job_view,
    namespace_view,
    node_view,
    pod_view,
    priority_class_view,
    quota_view,
    record_view,
    volume_view,
)
from trainyard.model.views import (
    ChildView,
    NodeReady,
    PodPhase,
    PriorityClassView,
    Requirement,
    Taint,
    TrainerState,
)

AT = "2026-01-02T03:04:05Z"
INSTANT = 1767323045.0
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
OWNER = {
    "apiVersion": "trainyard.dev/v1alpha1",
    "kind": "TrainingJob",
    "name": "gpt",
    "uid": "job-1",
    "controller": True,
}
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


@pytest.mark.parametrize("owner", [OWNER, {"apiVersion": "v1", "kind": "ConfigMap", "uid": "c", "controller": True}])
def test_a_claim_tells_who_controls_it_of_whatever_kind(owner: dict[str, Any]) -> None:
    raw = {"metadata": {"name": "c", "namespace": "ns", "ownerReferences": [{"uid": "x"}, owner]}}
    assert claim_view(raw).owner_uid == owner["uid"]
    raw["metadata"]["ownerReferences"] = [{"uid": "x"}]
    assert claim_view(raw).owner_uid == ""


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
        assert (view.phase, view.node, view.created, view.priority) == (PodPhase.RUNNING, "n1", INSTANT, 5)
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
        assert (view.unschedulable, view.unschedulable_since) == ("0/3 nodes", INSTANT)

    def test_conditions_that_do_not_hold(self) -> None:
        conditions = [
            {"type": "Ready", "status": "False"},
            {"type": "DisruptionTarget", "status": "False", "reason": "x"},
            {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"},
        ]
        view = pod_view(raw_pod(status={"conditions": conditions}))
        assert (view.ready, view.disruption, view.unschedulable, view.unschedulable_since) == (False, "", "", None)

    def test_conditions_without_words_still_say_something(self) -> None:
        conditions = [
            {"type": "DisruptionTarget", "status": "True"},
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"},
        ]
        view = pod_view(raw_pod(status={"conditions": conditions}))
        assert (view.disruption, view.unschedulable, view.unschedulable_since) == ("Unknown", "Unschedulable", 0.0)

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


class TestNode:
    def test_what_it_offers(self) -> None:
        view = node_view(
            {
                "metadata": {"name": "n1", "uid": "u", "labels": {"rack": "r1"}, "deletionTimestamp": AT},
                "spec": {"unschedulable": True, "taints": [{"key": "k", "effect": "NoSchedule"}]},
                "status": {
                    "allocatable": {"cpu": "8", "pods": "110"},
                    "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}],
                },
            }
        )
        assert (view.name, view.labels, view.unschedulable, view.deleting) == ("n1", {"rack": "r1"}, True, True)
        assert view.taints == (Taint("k", "", "NoSchedule"),)
        assert view.allocatable == (("cpu", 8000), ("pods", 110))
        assert view.ready is NodeReady.TRUE

    @pytest.mark.parametrize(
        "conditions, ready",
        [
            ([], NodeReady.UNKNOWN),
            ([{"type": "Ready", "status": "False"}], NodeReady.FALSE),
            ([{"type": "Ready", "status": "Unknown"}], NodeReady.UNKNOWN),
        ],
    )
    def test_ready(self, conditions: list[dict[str, str]], ready: NodeReady) -> None:
        view = node_view({"metadata": {"name": "n"}, "status": {"conditions": conditions}})
        assert (view.ready, view.deleting, view.unschedulable) == (ready, False, False)

    def test_a_node_that_says_nothing(self) -> None:
        view = node_view({"metadata": {"name": "n"}})
        assert (view.labels, view.taints, view.allocatable, view.ready) == ({}, (), (), NodeReady.UNKNOWN)


STORAGE_META = {"name": "ckpt", "namespace": "ns", "uid": "u"}


class TestStorage:
    def test_claim(self) -> None:
        view = claim_view(
            {
                "metadata": {**STORAGE_META, "ownerReferences": [OWNER], "deletionTimestamp": AT},
                "spec": {"volumeName": "pv", "accessModes": ["ReadWriteMany"], "storageClassName": "late"},
                "status": {"phase": "Bound"},
            },
            frozenset({"late"}),
        )
        assert (view.owner_uid, view.phase, view.volume, view.access_modes) == (
            "job-1",
            "Bound",
            "pv",
            ("ReadWriteMany",),
        )
        assert (view.deleting, view.wait_for_consumer) == (True, False)

    @pytest.mark.parametrize("storage_class, waits", [("late", True), ("now", False), (None, False)])
    def test_a_claim_may_wait_for_its_first_consumer(self, storage_class: str | None, waits: bool) -> None:
        raw = {"metadata": STORAGE_META, "spec": {"storageClassName": storage_class}}
        view = claim_view(raw, frozenset({"late"}))
        assert (view.phase, view.wait_for_consumer) == ("Pending", waits)

    def test_storage_classes(self) -> None:
        assert binds_late({"volumeBindingMode": "WaitForFirstConsumer"})
        assert not binds_late({"volumeBindingMode": "Immediate"})
        assert not binds_late({})

    def test_volume(self) -> None:
        term = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
        raw = {"metadata": {"name": "pv"}, "spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}}}
        assert volume_view(raw).nodes == ((Requirement("zone", "In", ("a",)),),)
        assert volume_view({"metadata": {"name": "pv"}}).nodes == ()


SMALL_META = {"name": "x", "namespace": "ns", "uid": "u"}


class TestSmall:
    def test_child(self) -> None:
        meta = {**SMALL_META, "ownerReferences": [OWNER], "labels": {"trainyard.dev/attempt": "3"}}
        assert child_view({"metadata": meta}) == ChildView("ns", "x", "u", "job-1", 3)
        assert child_view({"metadata": {**SMALL_META, "deletionTimestamp": AT}}) == ChildView(
            "ns", "x", "u", deleting=True
        )

    @pytest.mark.parametrize(
        "spec, hard",
        [
            ({}, {"cpu": 2000, "pods": 5}),
            ({"scopes": ["NotTerminating"]}, {"cpu": 2000, "pods": 5}),
            ({"scopes": ["NotBestEffort"]}, {"cpu": 2000}),
            ({"scopes": ["BestEffort"]}, None),
            ({"scopes": ["Terminating"]}, None),
            ({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "Exists"}]}}, None),
        ],
    )
    def test_quota(self, spec: dict[str, Any], hard: dict[str, int] | None) -> None:
        status = {"hard": {"cpu": "2", "pods": "5"}, "used": {"cpu": "1", "pods": "1", "secrets": "9"}}
        view = quota_view({"metadata": SMALL_META, "spec": spec, "status": status})
        assert (dict(view.hard) if view else None) == hard
        if view:
            assert dict(view.used).keys() == dict(view.hard).keys()

    def test_a_quota_not_counted_yet_is_known_by_its_spec(self) -> None:
        view = quota_view({"metadata": SMALL_META, "spec": {"hard": {"pods": "5"}}})
        assert view is not None
        assert (view.hard, view.used) == ((("pods", 5),), ())

    def test_priority_class(self) -> None:
        raw = {"metadata": {"name": "high"}, "value": 100, "globalDefault": True}
        assert priority_class_view(raw) == PriorityClassView("high", 100, True)
        assert priority_class_view({"metadata": {"name": "zero"}}) == PriorityClassView("zero", 0)

    @pytest.mark.parametrize(
        "raw, terminating",
        [
            ({"metadata": {"name": "a"}, "status": {"phase": "Active"}}, False),
            ({"metadata": {"name": "a"}}, False),
            ({"metadata": {"name": "a"}, "status": {"phase": "Terminating"}}, True),
            ({"metadata": {"name": "a", "deletionTimestamp": AT}}, True),
        ],
    )
    def test_namespace(self, raw: dict[str, Any], terminating: bool) -> None:
        assert namespace_view(raw).terminating is terminating


RECORD_META = {"name": "gpt-x7k2p-a2", "namespace": "ns", "uid": "u", "creationTimestamp": AT}


class TestRecord:
    DRAFT = RecordDraft("job-1", 2, (RecordRole("w", 1, True, "trainer", "torch", 0, 1),), ("n1",), "h", "b")

    def test_read(self) -> None:
        data = b64encode(encode_record(self.DRAFT)).decode()
        record = record_view({"metadata": RECORD_META, "binaryData": {RECORD_KEY: data}})
        assert (record.attempt, record.nodes, record.name) == (2, ("n1",), "gpt-x7k2p-a2")
        assert (record.created, record.deleting) == (INSTANT, False)

    @pytest.mark.parametrize("data", [None, {}, {RECORD_KEY: "!"}, {RECORD_KEY: "AAAA"}])
    def test_unreadable(self, data: Any) -> None:
        with pytest.raises(ValueError, match=r"gpt-x7k2p-a2 is not readable"):
            record_view({"metadata": RECORD_META, "binaryData": data})


JOB_ROLE = {"name": "worker", "template": {"spec": {"containers": [{"name": "trainer", "image": "i"}]}}}


class TestJob:
    def raw(self, spec: Any = None, status: Any = None, **meta: Any) -> dict[str, Any]:
        metadata = {"name": "gpt", "namespace": "ns", "uid": "u", "resourceVersion": "9", "generation": 3}
        out = {"metadata": {**metadata, "creationTimestamp": AT, **meta}, "spec": spec or {"roles": [JOB_ROLE]}}
        return {**out, "status": status} if status else out

    def test_sound(self) -> None:
        view = job_view(self.raw(labels={"a": "b"}, annotations={"c": "d", LAST_APPLIED: "{}"}))
        assert view.spec is not None
        assert (view.problems, len(view.spec_hash)) == ((), 16)
        assert (view.key, view.generation, view.resource_version, view.created) == (("ns", "gpt"), 3, "9", INSTANT)
        assert (view.labels, view.annotations) == ({"a": "b"}, {"c": "d"})
        assert (view.deletion, view.orphan, view.managed_by) == (None, False, "")

    def test_unsound_but_still_known(self) -> None:
        view = job_view(self.raw({"roles": [], "managedBy": "kueue.x-k8s.io/multikueue"}))
        assert (view.spec, view.spec_hash) == (None, "")
        assert view.problems[0].path == "spec.roles"
        assert view.managed_by == "kueue.x-k8s.io/multikueue"

    @pytest.mark.parametrize(("written", "suspend"), [(True, True), (False, False), ("true", False), (None, False)])
    def test_suspend_is_read_whatever_the_rest_says(self, written: Any, suspend: bool) -> None:
        view = job_view(self.raw({"roles": "x", "suspend": written}))
        assert view.spec is None and view.suspend is suspend

    @pytest.mark.parametrize("spec", [{"managedBy": 3}, {"roles": "x"}, {"roles": [{"name": "a", "template": {}}]}])
    def test_odd_specs_become_problems(self, spec: dict[str, Any]) -> None:
        view = job_view(self.raw(spec))
        assert view.spec is None
        assert view.problems
        assert view.managed_by == ""

    def test_a_rule_broken_is_told_with_its_remedy(self) -> None:
        template = {"spec": {**JOB_ROLE["template"]["spec"], "nodeName": "n1"}}  # type: ignore[index]
        view = job_view(self.raw({"roles": [{"name": "worker", "template": template}]}))
        assert "; " in view.problems[0].message

    def test_deleted_and_orphaning(self) -> None:
        view = job_view(self.raw(deletionTimestamp=AT, finalizers=["orphan"]))
        assert (view.deletion, view.orphan) == (INSTANT, True)

    def test_the_same_generation_is_not_judged_again(self) -> None:
        first = job_view(self.raw())
        again = job_view(self.raw(status={"attempt": 4}), first)
        assert again.spec is first.spec
        assert again.status.attempt == 4

    @pytest.mark.parametrize("change", [{"generation": 4}, {"uid": "other"}])
    def test_another_generation_or_job_is(self, change: dict[str, Any]) -> None:
        first = job_view(self.raw())
        assert job_view(self.raw(**change), first).spec is not first.spec

    @pytest.mark.parametrize("status", [{"attemptRecord": {"name": "x"}}, {"streaks": 3}, {"phase": "FromTheFuture"}])
    def test_a_status_that_cannot_be_read_is_not_guessed(self, status: dict[str, Any]) -> None:
        with pytest.raises(ValueError):
            job_view(self.raw(status=status))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["roles", "suspend", "framework", "managedBy", "checkpoint"]), JSON))
def test_whatever_stands_in_a_spec_is_read(spec: dict[str, Any]) -> None:
    view = job_view({"metadata": {"name": "gpt", "namespace": "ns", "uid": "u"}, "spec": spec})
    assert (view.spec is None) == bool(view.problems)


@given(st.dictionaries(st.text("trainyd.ev/jobk", max_size=20), st.text(max_size=20)), st.text(max_size=2000))
def test_whatever_tenants_write_into_a_pod_is_read(labels: dict[str, str], message: str) -> None:
    view = pod_view(raw_pod(meta={"labels": labels}, status={"message": message, "reason": message}))
    assert len(view.message) <= MAX_TEXT
