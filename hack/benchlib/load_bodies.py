"""The requests of the load generator: the very pods the operator would create, rendered by the same code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from trainyard.kube.resources import PODS
from trainyard.launch import LaunchSettings, draft_record, render_pods
from trainyard.model.cluster import Grant
from trainyard.model.translate import job_view

Object = dict[str, Any]
NOT_OURS = "bench.example.com/raw"
"""Who manages the job that owns the load generator's pods: nobody."""


def training_job(name: str, namespace: str, replicas: int, gpus: int, *, managed_by: str | None = None) -> Object:
    """A torch job of one role whose trainers sleep."""
    container = {
        "name": "trainer",
        "image": "trainyard.dev/busybox:1",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "1000000"],
    }
    role = {"name": "worker", "replicas": replicas, "gpus": gpus, "template": {"spec": {"containers": [container]}}}
    spec: Object = {"framework": "torch", "roles": [role], "failurePolicy": {"maxRestarts": 100}}
    if managed_by:
        spec["managedBy"] = managed_by
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "trainyard.dev/v1alpha1", "kind": "TrainingJob", "metadata": meta, "spec": spec}


def creates(stored: Mapping[str, Any], nodes: Sequence[str]) -> Iterator[Object]:
    """One POST a rank, each pod pinned to its node."""
    job = job_view(stored)
    settings = LaunchSettings()
    grant = Grant(job.key, job.uid, 0, job.spec_hash, tuple(nodes), 0.0)
    record = draft_record(job, grant, None, build="bench", dead=(), settings=settings)
    for body in render_pods(job, record, range(len(nodes)), settings):
        yield {"method": "POST", "path": PODS.path(job.namespace), "body": body, "type": "application/json"}


def deletes(namespace: str, pods: Iterable[tuple[str, str]], grace: int | None) -> Iterator[Object]:
    """One DELETE a pod, with the precondition that it is still that pod."""
    for name, uid in pods:
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        yield {"method": "DELETE", "path": PODS.path(namespace, name), "body": body, "type": "application/json"}


def touches(namespace: str, names: Iterable[str], value: str) -> Iterator[Object]:
    """One PATCH a pod that changes nothing anybody cares about: one watch event each."""
    for name in names:
        body = {"metadata": {"annotations": {"bench.example.com/touched": value}}}
        yield {
            "method": "PATCH",
            "path": PODS.path(namespace, name),
            "body": body,
            "type": "application/merge-patch+json",
        }


def flips(namespace: str, names: Iterable[str], ready: bool) -> Iterator[Object]:
    """One PATCH a pod that makes it Ready or not: its owner's counts move."""
    for name in names:
        body = {"status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}}
        yield {
            "method": "PATCH",
            "path": PODS.path(namespace, name, "status"),
            "body": body,
            "type": "application/strategic-merge-patch+json",
        }
