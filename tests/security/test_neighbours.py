"""Can a neighbour, in a namespace of his own, hurt a job of another by objects that name it as their owner?"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.manifests import BUSYBOX, job, role
from support.world import World
from trainyard.api.constants import (
    LABEL_ATTEMPT,
    LABEL_INDEX,
    LABEL_JOB,
    LABEL_JOB_UID,
    LABEL_RANK,
    LABEL_ROLE,
)
from trainyard.kube.resources import CONFIG_MAPS, NAMESPACES, PODS

pytestmark = pytest.mark.apiserver

Object = dict[str, Any]
STAYS = "example.com/stays"


def owned(world: World, kind: str, name: str, namespace: str, **fields: Any) -> Object:
    """As if the job `victim` controlled it; it cannot be collected."""
    uid = world.job("victim")["metadata"]["uid"]
    owner = {"apiVersion": "trainyard.dev/v1alpha1", "kind": "TrainingJob", "name": "victim", "uid": uid}
    labels = {LABEL_JOB: "victim", LABEL_JOB_UID: uid, LABEL_ATTEMPT: "0"}
    labels |= {LABEL_ROLE: "worker", LABEL_INDEX: "0", LABEL_RANK: "0"}
    meta: Object = {"name": name, "namespace": namespace, "labels": labels, "finalizers": [STAYS]}
    meta["ownerReferences"] = [{**owner, "controller": True}]
    return {"apiVersion": "v1", "kind": kind, "metadata": meta, **fields}


async def test_a_neighbours_objects_neither_stop_nor_restart_a_job(world: World) -> None:
    elsewhere = f"{world.namespace}-b"
    kubectl = world.cluster.kubectl
    await world.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": elsewhere}})
    await world.add_nodes(2)
    await world.operator(namespaces=f"{world.namespace},{elsewhere}")
    await world.apply(job("victim", role(replicas=2), suspend=True))
    await world.until_phase("victim", "Suspended")
    gated = {"containers": [{"name": "trainer", "image": BUSYBOX}], "schedulingGates": [{"name": "test/never"}]}
    made = [
        (CONFIG_MAPS, owned(world, "ConfigMap", "victim-hosts", elsewhere, data={"hosts": "evil"})),
        (PODS, owned(world, "Pod", "one", elsewhere, spec=gated)),
    ]
    try:
        await asyncio.gather(*(world.client.create(resource, body) for resource, body in made))
        await world.patch_job("victim", {"suspend": False})
        await world.until_phase("victim", "Running")
        late = owned(world, "Pod", "two", elsewhere, spec=gated)
        made.append((PODS, late))
        await world.client.create(PODS, late)
        await asyncio.to_thread(kubectl, "-n", elsewhere, "delete", "pods,configmaps", "--all", "--wait=false")
        await world.apply(job("next", role(replicas=1)))
        await world.until_phase("next", "Running")
        await world.quiet(1)
        assert (world.phase("victim"), world.status("victim")["attempt"]) == ("Running", 0)
        await world.finish_all("victim")
        await world.until_phase("victim", "Succeeded")
    finally:
        for resource, body in made:
            await world.client.patch(resource, body["metadata"]["name"], {"metadata": {"finalizers": []}}, elsewhere)
        await asyncio.to_thread(kubectl, "delete", "namespace", elsewhere, "--wait=false")
