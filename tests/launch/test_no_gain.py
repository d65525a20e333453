"""Whatever a template says: can a child reach another namespace, or gain a right?"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from launch.builders import SETTINGS, Json, make_job, make_record, role
from trainyard.launch import render_claim, render_hosts, render_pods, render_probe_pod, render_record, render_service
from trainyard.model.views import JobView

REACH = (
    "serviceAccountName",
    "serviceAccount",
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "hostUsers",
    "shareProcessNamespace",
    "securityContext",
    "runtimeClassName",
    "imagePullSecrets",
    "resourceClaims",
    "setHostnameAsFQDN",
    "schedulingGates",
)
"""What of a pod's spec gives it reach. Of these a child has exactly what its template has."""
ESCAPES: Json = {
    "name": "elsewhere",
    "generateName": "elsewhere-",
    "namespace": "kube-system",
    "finalizers": ["example.com/stay"],
    "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u", "controller": True}],
}
_POD = st.fixed_dictionaries(
    {},
    optional={
        "serviceAccountName": st.just("admin"),
        "automountServiceAccountToken": st.booleans(),
        "hostNetwork": st.booleans(),
        "hostPID": st.booleans(),
        "hostIPC": st.booleans(),
        "shareProcessNamespace": st.booleans(),
        "securityContext": st.sampled_from([{}, {"runAsUser": 0}, {"runAsNonRoot": True, "fsGroup": 5}]),
        "runtimeClassName": st.just("kata"),
        "imagePullSecrets": st.just([{"name": "mine"}]),
        "volumes": st.lists(
            st.sampled_from(
                [
                    {"name": "host", "hostPath": {"path": "/"}},
                    {"name": "secret", "secret": {"secretName": "mine"}},
                    {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
                ]
            ),
            max_size=3,
            unique_by=lambda volume: str(volume["name"]),
        ),
    },
)
_SECURITY = st.sampled_from(
    [{}, {"privileged": True}, {"capabilities": {"add": ["SYS_ADMIN"], "drop": ["ALL"]}}, {"runAsUser": 1000}]
)


@st.composite
def bold_jobs(draw: st.DrawFn) -> JobView:
    """Valid jobs whose templates ask for much, or say where they would rather be."""
    own: Json = {}
    if draw(st.booleans()):
        own["securityContext"] = draw(_SECURITY)
    sidecar = {"name": "sidecar", "image": "s:1", "securityContext": draw(_SECURITY)}
    pod = draw(_POD)
    meta: Json = {"labels": {"team": "a"}, **(ESCAPES if draw(st.booleans()) else {})}
    made = role("worker", draw(st.integers(1, 3)), pod=pod, meta=meta, container=own, gpus=draw(st.integers(0, 2)))
    made["template"]["spec"]["containers"].append(sidecar)
    spec: Json = {}
    if draw(st.booleans()):
        spec["rdma"] = {"resource": "rdma/hca", "perPod": 1, "ipcLock": draw(st.sampled_from(["Add", "Never"]))}
    claim = {"spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}}
    volume = draw(st.sampled_from([None, {"claimName": "ckpt"}, {"claimTemplate": claim}]))
    if volume is not None:
        spec["checkpoint"] = {"volume": volume}
    return make_job(made, **spec)


def children(job: JobView) -> tuple[list[Json], list[Json]]:
    """Everything that is ever created for it: (pods, all else)."""
    assert job.spec is not None
    record = make_record(job)
    pods = [*render_pods(job, record, range(record.size), SETTINGS), render_probe_pod(job, "worker", SETTINGS)]
    others = [render_record(job, record, SETTINGS), render_hosts(job, record, SETTINGS), render_service(job, SETTINGS)]
    if job.spec.checkpoint is not None and job.spec.checkpoint.volume.claim_name is None:
        others.append(render_claim(job, SETTINGS))
    return pods, others


@settings(max_examples=100)
@given(bold_jobs())
def test_children_live_in_the_jobs_namespace_and_are_its_own(job: JobView) -> None:
    pods, others = children(job)
    for child in (*pods, *others):
        meta = child["metadata"]
        assert meta["namespace"] == job.namespace
        assert set(meta) <= {"name", "namespace", "labels", "annotations", "ownerReferences"}
        assert {owner["uid"] for owner in meta.get("ownerReferences", ())} <= {job.uid}
        assert meta["name"] != "elsewhere"
    assert {child["kind"] for child in others} <= {"ConfigMap", "Service", "PersistentVolumeClaim"}
    for pod in pods:
        labels = pod["metadata"]["labels"]
        assert (labels["trainyard.dev/job"], labels["trainyard.dev/job-uid"]) == (job.name, job.uid)
        assert labels["team"] == "a"


@settings(max_examples=100)
@given(bold_jobs())
def test_a_pod_reaches_no_further_than_its_template(job: JobView) -> None:
    assert job.spec is not None
    own = job.spec.roles[0].template["spec"]
    for pod in children(job)[0]:
        spec = pod["spec"]
        assert {name: spec.get(name) for name in REACH} == {name: own.get(name) for name in REACH}
        assert spec["automountServiceAccountToken"] is own.get("automountServiceAccountToken", False)
        assert _added(own.get("volumes", []), spec["volumes"]) <= {"configMap", "emptyDir", "persistentVolumeClaim"}
        for before, after in zip(own["containers"], spec["containers"], strict=True):
            _no_more_rights(job, before, after)
            ours = [entry for entry in after.get("env", ()) if entry not in before.get("env", ())]
            assert all(set(entry.get("valueFrom", {"fieldRef": 0})) == {"fieldRef"} for entry in ours)
            assert after.get("envFrom") == before.get("envFrom")


def _added(before: list[Json], after: list[Json]) -> set[str]:
    """Kinds of the volumes that are there besides the template's; of other claims or maps than the job's own, none."""
    more = [volume for volume in after if volume not in before]
    assert len(more) == len(after) - len(before)
    return {kind for volume in more for kind in volume if kind != "name"}


def _no_more_rights(job: JobView, before: Json, after: Json) -> None:
    """The one thing that is ever added is IPC_LOCK, to the trainer of a role that pins memory for its fabric."""
    had, has = _rights(before), _rights(after)
    more = [capability for capability in has["add"] if capability not in had["add"]]
    assert job.spec is not None
    rdma = job.spec.rdma
    if more:
        assert after["name"] == "trainer" and more == ["IPC_LOCK"] and rdma is not None and rdma.ipc_lock == "Add"
    assert {**has, "add": ()} == {**had, "add": ()}


def _rights(container: Json) -> Json:
    context: dict[str, Any] = dict(container.get("securityContext") or {})
    capabilities = context.pop("capabilities", {})
    return {"context": context, "drop": capabilities.get("drop"), "add": tuple(capabilities.get("add", ()))}
