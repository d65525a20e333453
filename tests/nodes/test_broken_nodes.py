"""Does a job come back by itself when a node is drained, or dies for good, and is the zombie harmless?"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest

from support.manifests import job, role
from support.world import World
from trainyard.kube.resources import LEASES

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


@pytest.mark.timeout(420)
async def test_a_node_that_dies_for_good_is_left_behind_and_its_zombie_is_harmless(world: World) -> None:
    await world.apply(job("sturdy", role(replicas=2, gpus=8, pod=SHORT), failurePolicy={"maxRestarts": 0}))
    await world.until_phase("sturdy", "Running")
    # The node of the operator itself is spared: how fast a standby takes over is another question.
    lost = next(n for n in nodes_of(world, "sturdy", 0) if n != operator_node(world))
    for pod in world.pods("sturdy"):
        if pod["spec"]["nodeName"] == lost:
            world.history.meddled.add(pod["metadata"]["uid"])
    await yard(world, "node-stop", lost)
    try:
        lease = await world.client.get(LEASES, lost, "kube-node-lease")
        last_heartbeat = instant(lease["spec"]["renewTime"])
        await world.until(
            lambda: (world.status("sturdy").get("attemptRecord") or {}).get("attempt") == 1, "the next attempt", 120
        )
        record = world.get("ConfigMap", world.status("sturdy")["attemptRecord"]["name"])
        assert record is not None
        opened = instant(record["metadata"]["creationTimestamp"])
        print(f"\nnext attempt opened {opened - last_heartbeat:.0f} s after the last heartbeat")
        assert opened - last_heartbeat <= 70
        await world.until_phase("sturdy", "Running")
        assert lost not in nodes_of(world, "sturdy", 1)
        assert world.status("sturdy")["restarts"]["application"] == 0
    finally:
        await yard(world, "node-start", lost)
    await world.until(lambda: world.pods("sturdy", 0) == [], "the zombie to be told that it is over", 120)
    assert world.status("sturdy")["attempt"] == 1
    assert world.phase("sturdy") == "Running"


def operator_node(world: World) -> str:
    path = "jsonpath={.items[0].spec.nodeName}"
    return world.cluster.kubectl("-n", "trainyard-system", "get", "pods", "-o", path).stdout
