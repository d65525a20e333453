"""Does deletion leave nothing, in every form that kubectl knows, with the operator up and down?"""

from __future__ import annotations

import pytest

from support.manifests import job, role
from support.world import World
from trainyard.kube.resources import NAMESPACES, PERSISTENT_VOLUMES


async def running(world: World, name: str = "j", replicas: int = 3) -> None:
    await world.add_nodes(3)
    await world.apply(job(name, role(replicas=replicas)))
    await world.until_phase(name, "Running")


def nothing_left(world: World) -> bool:
    ours = [c for c in world.all("ConfigMap") if "trainyard.dev/job" in (c["metadata"].get("labels") or {})]
    return not (world.all("Pod") or ours or world.all("Service") or world.all("TrainingJob"))


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
async def test_deletion_leaves_nothing(world: World, propagation: str) -> None:
    await world.operator()
    await running(world)
    await world.delete_job("j", propagation)
    await world.until(lambda: nothing_left(world), "nothing to be left")


async def test_deletion_with_the_operator_down_leaves_nothing(world: World) -> None:
    operator = await world.operator()
    await running(world)
    await operator.kill()
    await world.delete_job("j")
    await world.until(lambda: nothing_left(world), "owner references to clear everything", seconds=90)


async def test_orphaned_pods_are_left_alone(world: World) -> None:
    await world.operator()
    await running(world)
    before = {p["metadata"]["uid"] for p in world.pods("j")}
    await world.delete_job("j", "Orphan")
    await world.until(lambda: world.job("j") == {}, "the job to be gone")
    await world.quiet(5)
    assert {p["metadata"]["uid"] for p in world.live("j")} == before


async def test_a_job_applied_again_waits_for_pods_that_were_left_behind(world: World) -> None:
    """Two jobs in one checkpoint folder must not happen unseen: a person ends the old pods, by the command told."""
    await world.operator()
    await running(world)
    await world.delete_job("j", "Orphan")
    await world.until(lambda: world.job("j") == {}, "the job to be gone")
    await world.apply(job("j", role(replicas=2)))
    # The garbage collector frees the pods one after the other. Before the first it is told that they are ending.
    told = "3 pods of an earlier job named j run on and belong to nobody (--cascade=orphan)"
    await world.until(lambda: told in world.condition("j", "Placed").get("message", ""), "the job to wait for all")
    message = world.condition("j", "Placed")["message"]
    assert world.condition("j", "Placed")["reason"] == "EarlierJobEnding"
    assert await world.quiet(3) == [] and len(world.live("j")) == 3
    world.history.meddled.update(p["metadata"]["uid"] for p in world.pods("j"))
    command = message[message.index("kubectl delete pods") :].split()
    assert command[3:5] == ["-n", world.namespace]
    world.kubectl(*command[1:], "--wait=false")
    await world.until_phase("j", "Running")
    assert len(world.live("j")) == 2


async def test_a_job_applied_again_waits_for_the_pods_of_the_earlier_one(world: World) -> None:
    await world.operator()
    await world.add_nodes(3)
    lingering = {"kwok.trainyard.dev/delete-after": "8s"}
    await world.apply(job("again", role(replicas=2, annotations=lingering)))
    await world.until_phase("again", "Running")
    await world.delete_job("again")
    await world.until(lambda: world.job("again") == {}, "the job to be gone")
    await world.apply(job("again", role(replicas=2)))
    await world.until(
        lambda: world.condition("again", "Placed").get("reason") == "EarlierJobEnding", "the new job to wait"
    )
    await world.until_phase("again", "Running")


async def test_a_terminating_namespace_gets_nothing_new(world: World) -> None:
    # Its rights go with the namespace. It renews nothing meanwhile: a Lease refused would be a right found missing.
    await world.operator(lease_duration="300s", renew_deadline="200s", retry_period="100s")
    await running(world)
    world.history.meddled.update(p["metadata"]["uid"] for p in world.pods("j"))
    namespace = await world.client.get(NAMESPACES, world.namespace)
    await world.client.delete(NAMESPACES, world.namespace, uid=namespace["metadata"]["uid"])
    await world.until(lambda: nothing_left(world), "the namespace to empty", seconds=90)
    assert len(world.history.created("Pod")) == 3


def lost(world: World, claim: str) -> bool:
    return ((world.get("PersistentVolumeClaim", claim) or {}).get("status") or {}).get("phase") == "Lost"


async def lose_the_volume(world: World) -> None:
    """Somebody deletes the volume below the running gang, protection and all."""
    (name,) = world.volumes
    volume = await world.client.get(PERSISTENT_VOLUMES, name)
    await world.client.delete(PERSISTENT_VOLUMES, name, uid=volume["metadata"]["uid"])
    await world.client.patch(PERSISTENT_VOLUMES, name, {"metadata": {"finalizers": None}})
    await world.until(lambda: lost(world, "ckpt"), "the claim to be Lost")


def being_deleted(world: World) -> list[str]:
    """Nodes of the pods that are left, once all of them are asked to go."""
    pods = world.pods("j")
    asked = all(p["metadata"].get("deletionTimestamp") for p in pods)
    return [p["spec"]["nodeName"] for p in pods] if asked else []


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
async def test_deletion_completes_whatever_is_broken(world: World, propagation: str) -> None:
    """A node that does not answer, a volume that is gone, a quota that is full: none of them holds the job (I17)."""
    dead, *_ = await world.add_nodes(3)
    await world.add_shared_volume("ckpt")
    await world.operator()
    await world.apply(job("j", role(replicas=3, gpus=8), checkpoint={"volume": {"claimName": "ckpt"}}))
    await world.until_phase("j", "Running")
    await lose_the_volume(world)
    await world.set_quota("full", 3)
    await world.silence_node(dead)
    await world.delete_job("j", propagation)
    await world.until(lambda: being_deleted(world) == [dead], "the pods on nodes that answer to go, the other to wait")
    if propagation == "Background":
        await world.until(lambda: world.job("j") == {}, "the job to be gone, whatever its node does")
    await world.revive_node(dead)
    await world.until(lambda: nothing_left(world), "nothing to be left")


async def test_the_job_applied_again_starts_without_the_dead_node(world: World) -> None:
    dead, *_ = await world.add_nodes(3)
    await world.operator()
    await world.apply(job("j", role(replicas=2, gpus=8)))
    await world.until_phase("j", "Running")
    await world.silence_node(dead)
    await world.delete_job("j")
    await world.until(lambda: world.job("j") == {}, "the job to be gone")
    await world.apply(job("j", role(replicas=2, gpus=8)))
    await world.until_phase("j", "Running", seconds=120)
    assert dead not in {p["spec"]["nodeName"] for p in world.live("j") if not p["metadata"].get("deletionTimestamp")}
