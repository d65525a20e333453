"""Does a job say so when others share its nodes, hold its pods back, or serve its accelerators and its volume?"""

from __future__ import annotations

import asyncio
from typing import Any

from support.manifests import BUSYBOX, job, role
from support.world import World
from trainyard.kube.resources import NODES, PERSISTENT_VOLUMES, PODS

GPU = "nvidia.com/gpu"


def placed(world: World, name: str) -> str:
    return str(world.condition(name, "Placed").get("reason"))


def foreign_pod(name: str, node: str) -> dict[str, Any]:
    """A pod of nobody we know, with an accelerator of this node."""
    container = {"name": "c", "image": BUSYBOX, "resources": {"limits": {GPU: "1"}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"nodeName": node, "containers": [container]},
    }


async def test_a_strangers_accelerator_pod_on_a_node_of_the_gang_is_told(world: World) -> None:
    (node,) = await world.add_nodes(1)
    await world.operator()
    await world.apply(job("j", role(replicas=1, gpus=4)))
    await world.until_phase("j", "Running")
    assert placed(world, "j") == "GangPlaced"
    pod = await world.apply(foreign_pod("stranger", node))
    await world.until(lambda: placed(world, "j") == "SharedNodes", "the stranger to be told of")
    assert node in world.condition("j", "Placed")["message"]
    await world.client.delete(PODS, "stranger", world.namespace, uid=pod["metadata"]["uid"])
    await world.until(lambda: placed(world, "j") == "GangPlaced", "the stranger's end to be told of")
    assert world.status("j")["attempt"] == 0 and world.phase("j") == "Running"


async def test_a_gate_of_another_controller_is_told_and_no_nodes_fault(world: World) -> None:
    await world.add_nodes(1)
    await world.operator()
    gated = {"schedulingGates": [{"name": "others.example/admission"}]}
    await world.apply(job("j", role(replicas=2, gpus=4, pod=gated)))
    await world.until(lambda: world.status("j").get("reason") == "ForeignAdmission", "the gate to be told of")
    assert "others.example/admission" in world.condition("j", "Running")["message"]
    assert world.status("j")["attempt"] == 0, "nothing is given back for it before the start's deadline"
    await world.seen(PODS)
    for pod in world.pods("j"):
        name = pod["metadata"]["name"]
        await world.client.patch(PODS, name, {"spec": {"schedulingGates": []}}, world.namespace)
    await world.until_phase("j", "Running")
    assert world.status("j")["episodes"] == []


async def test_a_pod_kept_by_anothers_finalizer_is_told_and_waited_for(world: World) -> None:
    await world.add_nodes(1)
    await world.operator()
    await world.apply(job("j", role(replicas=2, gpus=4), failurePolicy={"restartGracePeriodSeconds": 1}))
    await world.until_phase("j", "Running")
    kept, failing = (p["metadata"]["name"] for p in world.pods("j"))
    await finalizers(world, kept, ["others.example/keep"])
    await world.annotate(failing, exit_code="1")
    await world.until(lambda: placed(world, "j") == "ForeignAdmission", "the finalizer to be told of")
    assert "others.example/keep" in world.condition("j", "Placed")["message"]
    assert world.pods("j", 1) == []
    await finalizers(world, kept, [])
    await world.until(lambda: world.status("j")["attempt"] == 1, "the next attempt")
    await world.until_phase("j", "Running")


async def finalizers(world: World, pod: str, names: list[str]) -> None:
    await world.client.patch(PODS, pod, {"metadata": {"finalizers": names}}, world.namespace)


async def test_accelerators_that_no_node_shows_are_left_to_the_clusters_scheduler(world: World) -> None:
    await world.operator(device_backed="example.com/dra-gpu")
    accelerator = {"resource": "example.com/dra-gpu"}
    await world.apply(job("j", role(replicas=2, gpus=1, accelerator=accelerator)))
    await world.until(lambda: len(world.pods("j")) == 2, "unpinned pods")
    await world.until(lambda: placed(world, "j") == "DeviceBacked", "the job to say so")
    assert all("affinity" not in p["spec"] or "matchFields" not in str(p["spec"]["affinity"]) for p in world.pods("j"))
    (node,) = await world.add_nodes(1)
    amounts = {"capacity": {"example.com/dra-gpu": "2"}, "allocatable": {"example.com/dra-gpu": "2"}}
    await world.client.patch(NODES, node, {"status": amounts}, subresource="status")
    await world.until_phase("j", "Running")


DEVICES = """
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: %(node)s}
spec: {selectors: [{cel: {expression: "device.driver == 'gpu.example.com'"}}]}
---
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
metadata: {name: %(node)s}
spec:
  driver: gpu.example.com
  nodeName: %(node)s
  pool: {name: %(node)s, generation: 1, resourceSliceCount: 1}
  devices: [{name: gpu-0}, {name: gpu-1}]
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {name: one-gpu, namespace: %(namespace)s}
spec: {spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: %(node)s}}]}}}
"""


async def test_a_gang_that_claims_its_devices_is_left_to_the_clusters_scheduler(world: World) -> None:
    (node,) = await world.add_nodes(1, gpus=0)
    devices = DEVICES % {"node": node, "namespace": world.namespace}
    await asyncio.to_thread(world.cluster.kubectl, "apply", "-f", "-", stdin=devices)
    try:
        await world.operator()
        mine = {"resources": {"claims": [{"name": "gpu"}]}}
        claim = {"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]}
        await world.apply(job("j", role(replicas=2, pod=claim, container=mine)))
        await world.until_phase("j", "Running")
        assert placed(world, "j") == "DeviceBacked"
        assert [p["spec"]["nodeName"] for p in world.pods("j")] == [node, node]
    finally:
        await asyncio.to_thread(world.cluster.kubectl, "delete", "deviceclass,resourceslice", node)


async def test_a_volume_that_one_node_reaches_puts_the_gang_there(world: World) -> None:
    nodes = await world.add_nodes(3)
    home = nodes[1]
    await bound_to(world, "local", home, "ReadWriteOnce")
    await world.operator()
    volume = {"volume": {"claimName": "local"}}
    await world.apply(job("j", role(replicas=2, gpus=4), checkpoint=volume))
    await world.until_phase("j", "Running")
    assert [p["spec"]["nodeName"] for p in world.pods("j")] == [home, home]
    await world.apply(job("wide", role(replicas=3, gpus=4), checkpoint={**volume, "directory": "wide"}))
    await world.until(lambda: placed(world, "wide") == "ClaimAccessMode", "the claim to be named")
    assert "ReadWriteOnce" in world.condition("wide", "Placed")["message"] and world.pods("wide") == []


async def test_a_claim_for_one_pod_alone_is_refused_to_a_gang(world: World) -> None:
    (node,) = await world.add_nodes(1)
    await bound_to(world, "single", node, "ReadWriteOncePod")
    await world.operator()
    volume = {"volume": {"claimName": "single"}}
    await world.apply(job("gang", role(replicas=2, gpus=1), checkpoint=volume))
    await world.until(lambda: placed(world, "gang") == "ClaimAccessMode", "the claim to be named")
    assert "ReadWriteOncePod" in world.condition("gang", "Placed")["message"] and world.pods("gang") == []
    await world.apply(job("alone", role(replicas=1, gpus=1), checkpoint={**volume, "directory": "alone"}))
    await world.until_phase("alone", "Running")


async def bound_to(world: World, claim: str, node: str, mode: str) -> None:
    """A claim that is bound to a local volume of this node."""
    name, size = f"{world.namespace}-{claim}", {"storage": "1Gi"}
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    spec = {
        "capacity": size,
        "accessModes": [mode],
        "claimRef": {"namespace": world.namespace, "name": claim},
        "local": {"path": "/mnt/disk"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        "persistentVolumeReclaimPolicy": "Retain",
    }
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}
    await world.client.create(PERSISTENT_VOLUMES, volume)
    world.volumes.append(name)
    wish = {"accessModes": [mode], "resources": {"requests": size}, "volumeName": name, "storageClassName": ""}
    body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": claim}, "spec": wish}
    await world.apply(body)
