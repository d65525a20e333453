"""Checkpoint claims: created for the job, kept or deleted with it, found again, and never used while they go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from support.manifests import job, role
from support.world import World
from trainyard.kube.resources import PERSISTENT_VOLUME_CLAIMS, STORAGE_CLASSES

Object = dict[str, Any]
HOLD = "test.trainyard.dev/hold"


def keeping(world: World, when: str) -> Object:
    """A job whose claim is made from a template, on volumes of a class of this test alone."""
    spec = {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": world.namespace,
        "resources": {"requests": {"storage": "1Gi"}},
    }
    volume = {"claimTemplate": {"whenDeleted": when, "spec": spec}}
    return job("j", role(replicas=2), checkpoint={"volume": volume})


async def claims(world: World) -> dict[str, Object]:
    page = await world.client.list(PERSISTENT_VOLUME_CLAIMS, world.namespace)
    return {claim["metadata"]["name"]: claim for claim in page.items}


async def until_gone(world: World, name: str) -> None:
    def gone() -> bool:
        return world.get("PersistentVolumeClaim", name) is None

    await world.until(gone, f"claim {name} to go")


async def test_a_retained_claim_outlives_its_job_and_the_next_of_that_name_goes_on_with_it(world: World) -> None:
    await world.add_nodes(2)
    await world.add_volumes(1)
    await world.operator()
    await world.apply(keeping(world, "Retain"))
    await world.until_phase("j", "Running")
    (name, claim), *others = (await claims(world)).items()
    assert (name, others) == ("j-ckpt", [])
    assert "ownerReferences" not in claim["metadata"]
    mounted = [v["persistentVolumeClaim"]["claimName"] for v in volumes_of(world) if "persistentVolumeClaim" in v]
    assert mounted == [name]

    await world.delete_job("j")
    await world.until(lambda: not world.job("j") and not world.pods("j"), "the job to go")
    await world.apply(keeping(world, "Retain"))
    await world.until_phase("j", "Running")
    again = (await claims(world))["j-ckpt"]
    assert again["metadata"]["uid"] == claim["metadata"]["uid"], "the same claim, the same data"


def volumes_of(world: World) -> list[Object]:
    volumes: list[Object] = world.pods("j")[0]["spec"]["volumes"]
    return volumes


async def test_an_owned_claim_goes_with_its_job(world: World) -> None:
    await world.add_nodes(2)
    await world.add_volumes(1)
    await world.operator()
    await world.apply(keeping(world, "Delete"))
    await world.until_phase("j", "Running")
    ((name, claim),) = (await claims(world)).items()
    owners = [(o["kind"], o["uid"], o.get("blockOwnerDeletion", False)) for o in claim["metadata"]["ownerReferences"]]
    assert owners == [("TrainingJob", world.job("j")["metadata"]["uid"], False)]
    await world.delete_job("j")
    await until_gone(world, name)


async def test_a_claim_that_is_going_is_not_used_and_a_new_one_is_made(world: World) -> None:
    await world.add_nodes(2)
    await world.add_volumes(2)
    await world.operator()
    await world.apply(keeping(world, "Retain"))
    await world.until_phase("j", "Running")
    await world.patch_job("j", {"suspend": True})
    await world.until_phase("j", "Suspended")
    old = (await claims(world))["j-ckpt"]["metadata"]["uid"]
    await world.client.patch(PERSISTENT_VOLUME_CLAIMS, "j-ckpt", {"metadata": {"finalizers": [HOLD]}}, world.namespace)
    await world.client.delete(PERSISTENT_VOLUME_CLAIMS, "j-ckpt", world.namespace, uid=old)
    await world.patch_job("j", {"suspend": False})
    await world.until(
        lambda: world.condition("j", "Placed").get("reason") == "ClaimTerminating", "the job to say what it waits for"
    )
    assert "j-ckpt" in world.condition("j", "Placed")["message"]
    assert world.pods("j") == []
    await world.client.patch(PERSISTENT_VOLUME_CLAIMS, "j-ckpt", {"metadata": {"finalizers": None}}, world.namespace)
    await world.until_phase("j", "Running")
    assert (await claims(world))["j-ckpt"]["metadata"]["uid"] != old


async def test_a_claim_that_no_volume_serves_holds_the_job_back_by_name(world: World) -> None:
    await world.add_nodes(2)
    await world.operator()
    await world.apply(keeping(world, "Retain"))
    await world.until(lambda: world.condition("j", "Placed").get("reason") == "ClaimPending", "the job to say so")
    assert "j-ckpt" in world.condition("j", "Placed")["message"]
    assert world.history.created("Pod") == []
    await world.add_volumes(1)
    await world.until_phase("j", "Running")


@asynccontextmanager
async def late_class(world: World) -> AsyncIterator[None]:
    """The storage class of this test's claims, which binds them at their first pod."""
    body = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": world.namespace},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    stored = await world.client.create(STORAGE_CLASSES, body)
    try:
        yield
    finally:
        await world.client.delete(STORAGE_CLASSES, world.namespace, uid=stored["metadata"]["uid"])


async def test_a_class_that_comes_after_the_job_and_its_claim_lets_the_job_start(world: World) -> None:
    await world.add_nodes(2)
    await world.operator()
    await world.apply(keeping(world, "Retain"))
    await world.until(lambda: world.condition("j", "Placed").get("reason") == "ClaimPending", "the job to say so")
    async with late_class(world):
        await world.until(lambda: bool(world.pods("j")), "the first pods, which the claim waits for")
        await world.add_volumes(1)
        await world.until_phase("j", "Running")
