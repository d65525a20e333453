"""What the API server refuses a job, or another's pods keep from it: is it told, and does it go on once that ends?"""

from __future__ import annotations

from typing import Any

import pytest

from support.manifests import job, role
from support.world import World

Object = dict[str, Any]
TEMPLATE = {
    "claimTemplate": {"spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}}
}


def waits_for(world: World, name: str, reason: str) -> bool:
    return bool(world.condition(name, "Placed").get("reason") == reason)


def used(world: World, quota: str, key: str) -> str:
    """What the quota says of itself."""
    told: str = ((world.get("ResourceQuota", quota) or {}).get("status") or {}).get("used", {}).get(key, "")
    return told


async def test_a_record_that_a_quota_refuses_is_told_and_keeps_no_nodes(world: World) -> None:
    await world.add_nodes(2)
    await world.operator()
    await world.apply(job("before", role(replicas=2, gpus=8)))
    await world.until_phase("before", "Running")
    await world.set_quota("maps", 1, "count/configmaps")
    await world.finish_all("before")
    await world.until_phase("before", "Succeeded")
    await world.apply(job("j", role(replicas=2, gpus=8)))
    await world.until(lambda: waits_for(world, "j", "QuotaExceeded"), "the job to say why")
    await world.until(lambda: used(world, "maps", "count/configmaps") == "2", "the quota to be counted again")
    message = world.condition("j", "Placed")["message"]
    assert message.startswith("ConfigMap j-") and "kubectl describe quota" in message
    assert world.pods("j") == []
    assert await world.quiet(3) == [], "a refusal is told once"
    await world.set_quota("maps", 100, "count/configmaps")
    await world.until_phase("j", "Running", seconds=90)
    assert world.status("j")["attempt"] == 0 and world.status("j")["restarts"]["total"] == 0


async def test_a_claim_that_a_quota_refuses_is_told(world: World) -> None:
    await world.add_nodes(2)
    await world.operator()
    await world.set_quota("claims", 0, "count/persistentvolumeclaims")
    await world.apply(job("j", role(replicas=2), checkpoint={"volume": TEMPLATE}))
    await world.until(lambda: waits_for(world, "j", "QuotaExceeded"), "the job to say why")
    assert "PersistentVolumeClaim j-ckpt was refused (403)" in world.condition("j", "Placed")["message"]
    assert world.phase("j") == "Pending"


async def test_a_failed_pod_that_is_kept_makes_way_where_a_quota_counts_it(world: World) -> None:
    await world.add_nodes(2)
    await world.operator()
    await world.set_quota("pods", 3, "count/pods")
    await world.apply(job("j", role(replicas=3)))
    await world.until_phase("j", "Running")
    failed = world.pods("j", 0)[1]["metadata"]["name"]
    await world.annotate(failed, exit_code="1")
    await world.until(lambda: world.status("j")["attempt"] == 1, "the attempt to move")
    await world.until_phase("j", "Running", seconds=90)
    assert world.get("Pod", failed) is None
    assert world.status("j")["episodes"][0]["pod"] == failed, "what is known of it stays in the status"


@pytest.mark.parametrize("restarted", [False, True])
async def test_nobody_writes_where_pods_of_a_deleted_job_still_do(world: World, restarted: bool) -> None:
    await world.add_nodes(4)
    operator = await world.operator()
    await world.add_shared_volume("ckpt")
    where = {"volume": {"claimName": "ckpt"}, "directory": "same"}
    await world.apply(job("old", role(replicas=2), checkpoint=where))
    await world.until_phase("old", "Running")
    await world.delete_job("old", "Orphan")
    await world.until(lambda: not world.job("old"), "the job to go")
    await world.until(lambda: not any(p["metadata"].get("ownerReferences") for p in world.pods("old")), "its pods")
    if restarted:
        await operator.kill()
        await world.operator("another")
    await world.apply(job("new", role(replicas=2), checkpoint=where))
    told = "job old, which is over there but has pods left"
    await world.until(lambda: told in world.condition("new", "Placed").get("message", ""), "the job to say why")
    assert waits_for(world, "new", "DirectoryInUse") and world.pods("new") == []
    for pod in world.pods("old"):
        await world.delete_pod(pod["metadata"]["name"])
    await world.until_phase("new", "Running")
