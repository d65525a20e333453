"""Does the hash move with what shapes an attempt, and with nothing else?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from api.builders import container, parsed, role
from trainyard.api.crdgen import training_job_crd
from trainyard.api.hashing import ANY_ORDER, ATTEMPT_FIELDS, attempt_fields_hash
from trainyard.api.types import JobSpec


def test_the_hash_of_a_known_spec_never_changes() -> None:
    """An upgrade of the operator must not close every running attempt."""
    assert attempt_fields_hash(parsed()) == "ad3d57f31b3b174c"


@pytest.mark.parametrize(
    "change",
    [
        {"suspend": True},
        {"managedBy": "a.dev/b"},
        {"failurePolicy": {"maxRestarts": 1}},
        {"activeDeadlineSeconds": 5},
        {"ttlSecondsAfterFinished": 5},
        {"cleanPods": "All"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_shapes_no_attempt_does_not_move_it(change: dict[str, Any]) -> None:
    assert attempt_fields_hash(parsed(**change)) == attempt_fields_hash(parsed())


@pytest.mark.parametrize(
    "change",
    [
        {"framework": "jax"},
        {"accelerator": {"resource": "amd.com/gpu"}},
        {"rdma": {"resource": "rdma/hca"}},
        {"roles": [role(replicas=2)]},
        {"roles": [role("worker", container(args=["--lr", "1"]))]},
        {"scheduling": {"startDeadlineSeconds": 60}},
        {"rendezvous": {"port": 3000}},
        {"checkpoint": {"volume": {"claimName": "ckpt"}}},
    ],
    ids=str,
)
def test_what_shapes_an_attempt_moves_it(change: dict[str, Any]) -> None:
    changed = JobSpec.model_validate({"roles": [role()], **change})
    assert attempt_fields_hash(changed) != attempt_fields_hash(parsed())


def test_a_default_spelled_out_does_not_move_it() -> None:
    spelled = parsed(
        role(replicas=1, completes=True),
        framework="torch",
        accelerator={"resource": "nvidia.com/gpu"},
        scheduling={"placement": "Builtin", "startDeadlineSeconds": 600},
        rendezvous={},
    )
    assert attempt_fields_hash(spelled) == attempt_fields_hash(parsed())


def lists(schema: dict[str, Any], field: str = "") -> Iterator[str]:
    """Fields of a schema that hold lists which are equal in any order."""
    if schema.get("x-kubernetes-list-type") in ("map", "set"):
        yield field
    for name, inner in schema.get("properties", {}).items():
        yield from lists(inner, name)
    if isinstance(schema.get("items"), dict):
        yield from lists(schema["items"], field)


def test_every_list_that_is_equal_in_any_order_is_hashed_so_or_its_order_is_compared() -> None:
    """Else sorting a manifest anew, which the API server lets pass, would close a running attempt."""
    spec = training_job_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    compared = {"roles", "containers", "initContainers"}
    refused = {"values"}  # of restartPolicyRules, which no rule lets in
    assert set(lists(spec)) == ANY_ORDER | compared | refused


def test_a_list_sorted_anew_does_not_move_it() -> None:
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    mounts = [{"name": "v", "mountPath": "/a"}, {"name": "w", "mountPath": "/b"}]
    volumes = [{"name": "v", "emptyDir": {}}, {"name": "w", "emptyDir": {}}]

    def with_lists(step: int, **more: Any) -> str:
        trainer = container(env=env[::step], volumeMounts=mounts[::step], **more)
        return attempt_fields_hash(parsed(role("worker", trainer, pod={"volumes": volumes[::step]})))

    assert with_lists(1) == with_lists(-1)
    assert with_lists(1, args=["a", "b"]) != with_lists(1, args=["b", "a"])


def test_every_field_is_on_one_side() -> None:
    elsewhere = {
        "suspend",
        "managed_by",
        "failure_policy",
        "active_deadline_seconds",
        "ttl_seconds_after_finished",
        "clean_pods",
    }
    assert set(ATTEMPT_FIELDS) | elsewhere == set(JobSpec.model_fields)
