"""Are foreign objects under our names left alone, said, and got round or waited for?"""

from __future__ import annotations

from typing import Any

import pytest

from support.manifests import job, role
from support.world import World
from trainyard.api.names import hosts_name, owned_claim_name, pod_name, record_name, service_name, uid5
from trainyard.kube.client import Client
from trainyard.kube.resources import CONFIG_MAPS, PERSISTENT_VOLUME_CLAIMS, PODS, SERVICES, Resource

Object = dict[str, Any]


async def suspended(world: World, **spec: Any) -> str:
    """A job that waits to be resumed, so that a stranger can take a name first; five characters of its UID."""
    await world.add_nodes(2)
    await world.operator()
    await world.apply(job("j", role(replicas=2), suspend=True, **spec))
    await world.until_phase("j", "Suspended")
    return uid5(world.job("j")["metadata"]["uid"])


def stranger(kind: str, name: str, **fields: Any) -> Object:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": {"owner": "stranger"}}, **fields}


async def untouched(client: Client, resource: Resource, made: Object) -> bool:
    meta = made["metadata"]
    found = await client.get(resource, meta["name"], meta["namespace"])
    same: bool = found["metadata"]["uid"] == meta["uid"] and "deletionTimestamp" not in found["metadata"]
    return same


async def until_foreign(world: World, name: str) -> None:
    await world.until(lambda: world.condition("j", "Placed").get("reason") == "ForeignObject", "the job to say so")
    assert name in world.condition("j", "Placed")["message"]
    assert world.live("j") == []


async def test_a_pod_is_left_alone_and_the_next_attempt_has_other_names(world: World) -> None:
    name = pod_name("j", await suspended(world), 0, "worker", 1)
    gated = {"containers": [{"name": "c", "image": "x"}], "schedulingGates": [{"name": "test/never"}]}
    made = await world.apply(stranger("Pod", name, spec=gated))
    await world.patch_job("j", {"suspend": False})
    await world.until_phase("j", "Running")
    assert world.status("j")["attempt"] == 1, "the attempt that met the stranger was given back"
    assert world.status("j")["restarts"]["total"] == 0
    assert await untouched(world.client, PODS, made)


async def test_a_host_list_is_left_alone_and_the_next_attempt_has_other_names(world: World) -> None:
    name = hosts_name("j", await suspended(world), 0)
    made = await world.apply(stranger("ConfigMap", name, data={"hosts": "evil"}))
    await world.patch_job("j", {"suspend": False})
    await world.until_phase("j", "Running")
    assert world.status("j")["attempt"] == 1
    assert world.status("j")["restarts"]["total"] == 0
    assert await untouched(world.client, CONFIG_MAPS, made)
    assert [n for n in world.history.created("Pod") if "-a0-" in n] == [], "no pod may mount a stranger's list"


@pytest.mark.parametrize("labelled", [False, True], ids=["plain", "with our label"])
async def test_a_service_is_waited_for_without_a_pod(world: World, labelled: bool) -> None:
    name = service_name("j", await suspended(world))
    body = stranger("Service", name, spec={"clusterIP": "None", "selector": {"app": "stranger"}})
    if labelled:
        body["metadata"]["labels"]["trainyard.dev/job"] = "j"
    made = await world.apply(body)
    await world.patch_job("j", {"suspend": False})
    await until_foreign(world, name)
    assert await untouched(world.client, SERVICES, made)
    await world.client.delete(SERVICES, name, world.namespace, uid=made["metadata"]["uid"])
    await world.until_phase("j", "Running")


async def test_a_record_is_waited_for_without_a_pod(world: World) -> None:
    name = record_name("j", await suspended(world), 0)
    made = await world.apply(stranger("ConfigMap", name, data={"record": "not ours"}))
    await world.patch_job("j", {"suspend": False})
    await until_foreign(world, name)
    assert await untouched(world.client, CONFIG_MAPS, made)
    assert world.history.created("Pod") == []
    await world.delete_config_map(name)
    await world.until_phase("j", "Running")
    assert world.status("j")["attempt"] == 0


@pytest.mark.parametrize("kind", ["TrainingJob", "ConfigMap"])
async def test_a_claim_that_another_object_controls_is_waited_for_without_a_pod(world: World, kind: str) -> None:
    spec = {"accessModes": ["ReadWriteMany"], "storageClassName": "none", "resources": {"requests": {"storage": "1Gi"}}}
    volume = {"claimTemplate": {"whenDeleted": "Delete", "spec": spec}}
    name = owned_claim_name("j", await suspended(world, checkpoint={"volume": volume}))
    body = stranger("PersistentVolumeClaim", name, spec=spec)
    other = await world.apply(job("other", role(), suspend=True) if kind == "TrainingJob" else stranger(kind, "other"))
    owner = {"apiVersion": other["apiVersion"], "kind": kind, "name": "other", "uid": other["metadata"]["uid"]}
    body["metadata"]["ownerReferences"] = [{**owner, "controller": True}]
    made = await world.apply(body)
    await world.patch_job("j", {"suspend": False})
    await until_foreign(world, name)
    assert await untouched(world.client, PERSISTENT_VOLUME_CLAIMS, made)


async def test_a_pod_that_asks_for_more_than_there_can_be_stops_nobody(world: World) -> None:
    """The API server takes such numbers; written out, each has a million digits."""
    await world.add_nodes(2)
    await world.operator()
    huge = [{"name": f"c{i}", "image": "x", "resources": {"limits": {"memory": f"{i}e999999"}}} for i in range(1, 9)]
    await world.apply(stranger("Pod", "huge", spec={"containers": huge, "schedulingGates": [{"name": "test/never"}]}))
    await world.apply(job("j", role(replicas=2)))
    await world.until_phase("j", "Running")
