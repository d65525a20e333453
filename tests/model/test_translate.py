"""Do views say what the API server's objects say, and do odd objects harm nobody?"""

from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.raw_objects import AT, INSTANT, OWNER
from trainyard.model.raw import Raw
from trainyard.model.record import RECORD_KEY, RecordDraft, RecordRole, encode_record
from trainyard.model.translate import (
    LAST_APPLIED,
    binds_late,
    child_view,
    claim_view,
    job_view,
    namespace_view,
    node_view,
    priority_class_view,
    quota_view,
    record_view,
    volume_view,
)
from trainyard.model.views import (
    ChildView,
    ClaimView,
    NodeReady,
    PriorityClassView,
    Requirement,
    Taint,
)


@pytest.mark.parametrize("owner", [OWNER, {"apiVersion": "v1", "kind": "ConfigMap", "uid": "c", "controller": True}])
def test_a_claim_tells_who_controls_it_of_whatever_kind(owner: dict[str, Any]) -> None:
    raw = {"metadata": {"name": "c", "namespace": "ns", "ownerReferences": [{"uid": "x"}, owner]}}
    assert claim_view(raw).owner_uid == owner["uid"]
    raw["metadata"]["ownerReferences"] = [{"uid": "x"}]
    assert claim_view(raw).owner_uid == ""


def class_term(operator: str, *values: str) -> dict[str, Any]:
    return {"scopeName": "PriorityClass", "operator": operator, **({"values": list(values)} if values else {})}


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

    @pytest.mark.parametrize("status, since", [("Unknown", INSTANT), ("False", 0.0), ("True", 0.0)])
    def test_since_when_it_is_silent(self, status: str, since: float) -> None:
        ready = {"type": "Ready", "status": status, "lastTransitionTime": AT}
        view = node_view({"metadata": {"name": "n"}, "status": {"conditions": [ready]}})
        assert view.silent_since == since

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
            }
        )
        assert (view.owner_uid, view.phase, view.volume, view.access_modes) == (
            "job-1",
            "Bound",
            "pv",
            ("ReadWriteMany",),
        )
        assert (view.deleting, view.storage_class) == (True, "late")

    @pytest.mark.parametrize("spec", [{}, {"storageClassName": None}, {"storageClassName": ""}])
    def test_a_claim_without_a_class(self, spec: dict[str, str | None]) -> None:
        view = claim_view({"metadata": STORAGE_META, "spec": spec})
        assert (view.phase, view.storage_class, view.wait_for_consumer) == ("Pending", "", False)

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
    @pytest.mark.parametrize("read", [child_view, claim_view])
    def test_a_state_is_the_same_in_whatever_version(self, read: Callable[[Raw], ChildView | ClaimView]) -> None:
        early, late = (read({"metadata": {**SMALL_META, "resourceVersion": version}}) for version in ("9", "10"))
        assert (early.resource_version, late.resource_version) == (9, 10)
        assert early == late

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
            ({"scopes": ["NotBestEffort"]}, {"cpu": 2000, "pods": 5}),
            ({"scopes": ["PriorityClass", "Terminating"]}, {"cpu": 2000, "pods": 5}),
            ({"scopes": ["CrossNamespacePodAffinity"]}, None),
        ],
    )
    def test_quota(self, spec: dict[str, Any], hard: dict[str, int] | None) -> None:
        status = {"hard": {"cpu": "2", "pods": "5"}, "used": {"cpu": "1", "pods": "1", "secrets": "9"}}
        view = quota_view({"metadata": SMALL_META, "spec": spec, "status": status})
        assert (dict(view.hard) if view else None) == hard
        if view:
            assert dict(view.used).keys() == dict(view.hard).keys()
            assert view.scopes == {s for s in spec.get("scopes", ()) if s != "PriorityClass"}

    @pytest.mark.parametrize(
        "spec, bound",
        [
            ({}, {"", "high", "low"}),
            ({"scopes": ["PriorityClass"]}, {"high", "low"}),
            ({"scopeSelector": {"matchExpressions": [class_term("Exists")]}}, {"high", "low"}),
            ({"scopeSelector": {"matchExpressions": [class_term("DoesNotExist")]}}, {""}),
            ({"scopeSelector": {"matchExpressions": [class_term("In", "high", "top")]}}, {"high"}),
            ({"scopeSelector": {"matchExpressions": [class_term("NotIn", "high")]}}, {"", "low"}),
            (
                {"scopes": ["PriorityClass"], "scopeSelector": {"matchExpressions": [class_term("NotIn", "high")]}},
                {"low"},
            ),
        ],
    )
    def test_a_quota_of_priority_classes_binds_their_pods(self, spec: dict[str, Any], bound: set[str]) -> None:
        view = quota_view({"metadata": SMALL_META, "spec": {"hard": {"pods": "5"}, **spec}})
        assert view is not None
        assert {name for name in ("", "high", "low") if view.binds(name)} == bound
        assert view.binds(None) is not bool(spec), "nobody knows the class"

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
