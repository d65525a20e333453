"""What may change when, judged by a real API server: the table in the reference, line by line."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from apiserver.crd.conftest import Kubectl

pytestmark = pytest.mark.apiserver

Job = dict[str, Any]


def role(name: str, **fields: Any) -> dict[str, Any]:
    containers = [{"name": "trainer", "image": "trainyard.dev/busybox:1", "command": ["sleep", "1"]}]
    return {"name": name, **fields, "template": {"spec": {"containers": containers}}}


def job(**spec: Any) -> Job:
    return {
        "apiVersion": "trainyard.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": "changes"},
        "spec": {"roles": [role("worker"), role("ps", completes=False)], **spec},
    }


def metadata(kubectl: Kubectl) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kubectl.must("get", "trainingjob", "changes", "-o", "json"))["metadata"]
    return found


@pytest.fixture
def applied(kubectl: Kubectl) -> Iterator[Callable[..., Job]]:
    """Applies a job and returns its manifest, to be edited and applied again."""

    def apply(**spec: Any) -> Job:
        manifest = job(**spec)
        kubectl.must("apply", "-f", "-", documents=(manifest,))
        return copy.deepcopy(manifest)

    yield apply
    kubectl("delete", "trainingjob", "changes", "--ignore-not-found")


@pytest.mark.parametrize(
    "change",
    [
        {"failurePolicy": {"maxRestarts": 3}},
        {"failurePolicy": {"backoff": {"initialSeconds": 1}}},
        {"activeDeadlineSeconds": 60},
        {"ttlSecondsAfterFinished": 60},
        {"cleanPods": "All"},
        {"suspend": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_may_change_at_any_time(change: dict[str, Any], applied: Callable[..., Job], kubectl: Kubectl) -> None:
    manifest = applied()
    manifest["spec"].update(change)
    assert kubectl.apply(manifest).code == 0


def test_everything_that_shapes_an_attempt_may_change_while_suspended(
    applied: Callable[..., Job], kubectl: Kubectl
) -> None:
    manifest = applied(suspend=True)
    manifest["spec"].update(
        framework="jax",
        accelerator={"resource": "amd.com/gpu"},
        rdma={"resource": "rdma/hca"},
        roles=[role("chief"), role("worker", replicas=4), role("ps")],
        scheduling={"placement": "Delegated"},
        rendezvous={"port": 3000},
        checkpoint={"volume": {"claimName": "ckpt"}},
    )
    assert kubectl.apply(manifest).code == 0


def test_edit_and_resume_in_one_write(applied: Callable[..., Job], kubectl: Kubectl) -> None:
    manifest = applied(suspend=True)
    manifest["spec"].update(suspend=False, roles=[role("worker", replicas=2), role("ps", completes=False)])
    assert kubectl.apply(manifest).code == 0


def test_applying_the_same_again_changes_nothing(applied: Callable[..., Job], kubectl: Kubectl) -> None:
    manifest = applied(checkpoint={"volume": {"claimName": "ckpt"}}, rdma={"resource": "rdma/hca"})
    before = metadata(kubectl)
    assert kubectl.apply(manifest).code == 0
    assert metadata(kubectl)["resourceVersion"] == before["resourceVersion"]


@pytest.mark.usefixtures("applied")
def test_server_side_apply_merges_roles_by_name(kubectl: Kubectl) -> None:
    """Another manager says one role's replicas and touches no other role."""
    one = {**job(), "spec": {"roles": [role("worker", replicas=7)]}}
    for manager, manifest in (("owner", job(suspend=True)), ("scaler", one)):
        arguments = ("apply", "--server-side", f"--field-manager={manager}", "--force-conflicts", "-f", "-")
        kubectl.must(*arguments, documents=(manifest,))
    spec = json.loads(kubectl.must("get", "trainingjob", "changes", "-o", "json"))["spec"]
    assert [(r["name"], r["replicas"]) for r in spec["roles"]] == [("worker", 7), ("ps", 1)]
