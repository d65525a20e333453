"""Does a job come back by itself when a node is drained, dies for good or refuses it, and is the zombie harmless?"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest

from support.manifests import job, role
from support.world import World
from trainyard.kube.resources import CONFIG_MAPS, LEASES, NODES

Object = dict[str, Any]
SHORT = {"terminationGracePeriodSeconds": 2}


def nodes_of(world: World, name: str, attempt: int) -> list[str]:
    return [p["spec"].get("nodeName", "") for p in world.pods(name, attempt)]


def instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


async def yard(world: World, command: str, *arguments: str) -> None:
    await asyncio.to_thread(world.cluster.yard, command, *arguments)


async def test_a_drain_moves_the_gang_and_costs_no_budget(world: World) -> None:
    await world.apply(job("moved", role(replicas=2, gpus=8, pod=SHORT), failurePolicy={"maxRestarts": 0}))
    await world.until_phase("moved", "Running")
    node = nodes_of(world, "moved", 0)[1]
    for pod in world.pods("moved"):
        if pod["spec"]["nodeName"] == node:
            world.history.meddled.add(pod["metadata"]["uid"])
    selector = "--pod-selector=trainyard.dev/job=moved"
    try:
        drain = ("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", selector, "--timeout=60s")
        await asyncio.to_thread(world.cluster.kubectl, *drain)
        await world.until(lambda: world.status("moved")["attempt"] == 1, "the attempt to move")
        await world.until_phase("moved", "Running")
        assert node not in nodes_of(world, "moved", 1)
        assert world.status("moved")["restarts"]["application"] == 0
        assert world.status("moved")["episodes"][0]["cause"] == "Disruption"
    finally:
        await asyncio.to_thread(world.cluster.kubectl, "uncordon", node)


# Renamed into place: a trainer killed in the middle of a write would leave an empty beat, and a reader could meet one.
BEAT = """
mkdir -p $TRAINYARD_CHECKPOINT_DIR; cd $TRAINYARD_CHECKPOINT_DIR; n=0
beat=beat-$TRAINYARD_ATTEMPT-$TRAINYARD_RANK
while true; do n=$((n+1)); echo $n > .$beat; mv .$beat $beat; sleep 0.2; done
"""


async def beats(world: World, asking: str, attempt: int, rank: int) -> bool:
    """Whether the trainer of that rank still runs: it writes to the volume all ranks share, whoever can reach it."""
    read = f"cd $TRAINYARD_CHECKPOINT_DIR; cat beat-{attempt}-{rank}; sleep 1; cat beat-{attempt}-{rank}"
    told = await asyncio.to_thread(world.cluster.kubectl, "-n", world.namespace, "exec", asking, "--", "sh", "-c", read)
    before, after = told.stdout.split()
    return before != after


@pytest.mark.timeout(420)
@pytest.mark.parametrize("how", ["power cut", "silent"])
async def test_a_node_that_dies_for_good_is_left_behind_and_its_zombie_is_harmless(world: World, how: str) -> None:
    await world.add_shared_volume("beats")
    sturdy = role(replicas=2, gpus=8, command=["sh", "-c", BEAT], pod=SHORT)
    volume = {"volume": {"claimName": "beats"}}
    await world.apply(job("sturdy", sturdy, failurePolicy={"maxRestarts": 0}, checkpoint=volume))
    await world.until_phase("sturdy", "Running")
    # The node of the operator itself is spared: how fast a standby takes over is another question.
    lost = next(n for n in nodes_of(world, "sturdy", 0) if n != operator_node(world))
    rank = nodes_of(world, "sturdy", 0).index(lost)
    world.history.meddled.add(world.pods("sturdy", 0)[rank]["metadata"]["uid"])
    await yard(world, "node-stop", lost, *(["--kubelet-only"] if how == "silent" else []))
    try:
        lease = await world.client.get(LEASES, lost, "kube-node-lease")
        last_heartbeat = instant(lease["spec"]["renewTime"])
        await world.until(
            lambda: (world.status("sturdy").get("attemptRecord") or {}).get("attempt") == 1, "the next attempt", 120
        )
        name = world.status("sturdy")["attemptRecord"]["name"]
        record = await world.client.get(CONFIG_MAPS, name, world.namespace)  # the mirror may be behind that of jobs
        opened = instant(record["metadata"]["creationTimestamp"])
        print(f"\n{how}: next attempt opened {opened - last_heartbeat:.0f} s after the last heartbeat")
        assert opened - last_heartbeat <= 70
        await world.until_phase("sturdy", "Running")
        assert lost not in nodes_of(world, "sturdy", 1)
        assert world.status("sturdy")["restarts"]["application"] == 0
        asking = world.pods("sturdy", 1)[0]["metadata"]["name"]
        assert await beats(world, asking, 0, rank) is (how == "silent"), "a silent node's containers run on"
    finally:
        await yard(world, "node-start", lost)
    await world.until(lambda: world.pods("sturdy", 0) == [], "the zombie to be told that it is over", 120)
    assert not await beats(world, asking, 0, rank), "and it has ended"
    assert world.status("sturdy")["attempt"] == 1
    assert world.phase("sturdy") == "Running"


async def test_two_kubelets_that_refuse_for_one_reason_blame_the_template(world: World) -> None:
    two = [node["metadata"]["name"] for node in (await world.client.list(NODES)).items][:2]
    boast = asyncio.create_task(boasting(world, two, 16))
    try:
        await world.apply(job("large", role(replicas=1, gpus=16, pod=SHORT), failurePolicy={"maxRestarts": 0}))
        await world.until(lambda: len(world.status("large").get("episodes", [])) == 2, "the second refusal")
    finally:
        boast.cancel()
        await asyncio.gather(boast, return_exceptions=True)
        await world.poll(lambda: "16" not in allocatable(world), "the kubelets to put it right", 60)
    first, second = world.status("large")["episodes"]
    assert (first["cause"], first["reason"]) == ("StartRolledBack", "NodeRefused")
    assert (second["cause"], second["reason"]) == ("ApplicationFailure", "AdmissionError")
    assert {first["node"], second["node"]} == set(two)
    assert "refused pod" in first["message"] and first["node"] in second["message"]


async def boasting(world: World, nodes: list[str], gpus: int) -> None:
    """Their status claims more GPUs than they have; kubelets put it right, and refuse what it invites."""
    claim = {"status": {kind: {"nvidia.com/gpu": str(gpus)} for kind in ("capacity", "allocatable")}}
    while True:
        for node in nodes:
            await world.client.patch(NODES, node, claim, subresource="status")
        await asyncio.sleep(0.2)


def allocatable(world: World) -> list[str]:
    """GPUs by node."""
    path = "jsonpath={.items[*].status.allocatable.nvidia\\.com/gpu}"
    return world.cluster.kubectl("get", "nodes", "-o", path).stdout.split()


def operator_node(world: World) -> str:
    path = "jsonpath={.items[0].spec.nodeName}"
    return world.cluster.kubectl("-n", "trainyard-system", "get", "pods", "-o", path).stdout
