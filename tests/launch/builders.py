"""Jobs as the launch tests write them, and random ones."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

from trainyard.api.types import Placement
from trainyard.launch import LaunchSettings, draft_record, render_record
from trainyard.model.cluster import Grant
from trainyard.model.record import Record
from trainyard.model.translate import job_view, record_view
from trainyard.model.views import JobView

Json = dict[str, Any]
SETTINGS = LaunchSettings()
UID = "0b5c3a1e-7f0e-4a39-9d6c-6f1f5a1b2c3d"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def role(
    name: str = "worker", replicas: int = 2, *, pod: Json | None = None, meta: Json | None = None, **more: Any
) -> Json:
    """A role; `pod` is laid over the pod's spec, `container` over the trainer."""
    container = {"name": "trainer", "image": "train:1", **more.pop("container", {})}
    template: Json = {"spec": {"containers": [container], **(pod or {})}}
    if meta:
        template["metadata"] = meta
    return {"name": name, "replicas": replicas, "template": template, **more}


def make_job(
    *roles: Json, name: str = "gpt", meta: Json | None = None, status: Json | None = None, **spec: Any
) -> JobView:
    """A valid job of these roles."""
    raw = {
        "metadata": {"name": name, "namespace": "research", "uid": UID, "generation": 1, **(meta or {})},
        "spec": {"roles": list(roles) or [role()], **spec},
        "status": status or {},
    }
    view = job_view(copy.deepcopy(raw))
    if view.problems:
        raise AssertionError(view.problems)
    return view


def make_record(job: JobView, attempt: int = 2, *, placed: bool = True, settings: LaunchSettings = SETTINGS) -> Record:
    """The record of an attempt, as read back: rank r on node-r, or placed by another."""
    size = sum(role.replicas for role in job.spec.roles) if job.spec else 0
    nodes = tuple(f"node-{rank}" if placed else "" for rank in range(size))
    placement = Placement.BUILTIN if placed else Placement.DELEGATED
    grant = Grant(job.key, job.uid, attempt, job.spec_hash, nodes, 0.0, placement)
    draft = draft_record(job, grant, None, build="test", dead=(), settings=settings)
    stored = render_record(job, draft, settings)
    stored["metadata"] |= {"uid": "record-1", "creationTimestamp": "2026-01-02T03:04:05Z"}
    return record_view(stored)


def env_of(pod: Json, container: int = 0) -> Json:
    """Variables of a container: name → value, or the raw valueFrom."""
    entries = pod["spec"]["containers"][container]["env"]
    names = [entry["name"] for entry in entries]
    if len(set(names)) != len(names):
        raise AssertionError(f"a variable is set twice: {names}")
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in entries}


def node_affinity(*terms: Json) -> Json:
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": list(terms)}}}


_TERMS: st.SearchStrategy[list[Json]] = st.lists(
    st.sampled_from(
        [
            {},
            {"matchExpressions": [{"key": "gpu", "operator": "In", "values": ["h100"]}]},
            {"matchExpressions": [{"key": "zone", "operator": "Exists"}]},
            {"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["node-9"]}]},
        ]
    ),
    min_size=1,
    max_size=3,
)


@st.composite
def roles(draw: st.DrawFn, name: str) -> Json:
    container: Json = {}
    if draw(st.booleans()):
        container["env"] = [{"name": "PET_NNODES", "value": "7"}, {"name": "MINE", "value": "$(TRAINYARD_RANK)"}]
    if draw(st.booleans()):
        container["volumeMounts"] = [
            {"name": "own", "mountPath": draw(st.sampled_from(["/dev/shm", "/dev/shm/", "/x"]))}
        ]
    pod: Json = {"volumes": [{"name": "own", "emptyDir": {}}]}
    if draw(st.booleans()):
        pod["affinity"] = node_affinity(*draw(_TERMS))
    if draw(st.booleans()):
        pod["hostNetwork"] = True
    if draw(st.booleans()):
        pod["initContainers"] = [{"name": "fetch", "image": "fetch:1"}]
    more: Json = {"gpus": gpus} if (gpus := draw(st.integers(0, 8))) else {}
    if draw(st.booleans()):
        more["processesPerPod"] = draw(st.integers(1, 4))
    framework = draw(st.none() | st.sampled_from(["torch", "tensorflow", "jax", "custom"]))
    if framework:
        more["framework"] = framework
    return role(name, draw(st.integers(1, 12)), pod=pod, container=container, **more)


@st.composite
def jobs(draw: st.DrawFn) -> JobView:
    """Any valid job, small."""
    names = draw(st.lists(st.sampled_from(["worker", "ps", "chief", "a", "evaluator"]), min_size=1, unique=True))
    spec: Json = {}
    if draw(st.booleans()):
        spec["rdma"] = {"resource": "rdma/hca", "perPod": draw(st.integers(1, 2))}
    if draw(st.booleans()):
        spec["checkpoint"] = {"volume": {"claimName": "ckpt"}}
    if draw(st.booleans()):
        spec["rendezvous"] = {"names": draw(st.sampled_from(["All", "Coordinators"]))}
    if draw(st.booleans()):
        spec["accelerator"] = {"nodeSelector": {"gpu": "h100"}, "tolerations": [{"operator": "Exists"}]}
    return make_job(*(draw(roles(name)) for name in names), **spec)
