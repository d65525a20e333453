"""Does a gang outlive a time in which the control plane hears of hardly any node? On a cluster of its own: what most
nodes do concerns every job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from support.manifests import job, role
from support.world import World
from support.worlds import judged_world
from support.yard import Cluster, own, run_yard, simulated_cluster

PATIENT = [
    {"key": f"node.kubernetes.io/{taint}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 600}
    for taint in ("unreachable", "not-ready")
]
"""So that Kubernetes does not evict its pods meanwhile: this cluster would after 5 s, others after 300."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    name = own("api-outage")
    yield simulated_cluster(name)
    run_yard("down", "--name", name)


@pytest.fixture
async def world(cluster: Cluster, tmp_path: Path) -> AsyncIterator[World]:
    async with judged_world(cluster, tmp_path) as made:
        yield made


async def fall_silent(world: World, nodes: list[str]) -> None:
    await asyncio.gather(*(world.silence_node(node) for node in nodes))


def uids(world: World) -> set[str]:
    return {pod["metadata"]["uid"] for pod in world.pods("patient")}


async def test_a_gang_goes_on_through_an_outage_that_ends_and_restarts_in_one_that_does_not(world: World) -> None:
    nodes = await world.add_nodes(10)
    await world.operator(outage_time="40s")
    ranks = role(replicas=3, gpus=8, pod={"tolerations": PATIENT, "terminationGracePeriodSeconds": 2})
    await world.apply(job("patient", ranks, failurePolicy={"maxRestarts": 0}))
    await world.until_phase("patient", "Running")
    begun = uids(world)

    await fall_silent(world, nodes)
    await world.until(lambda: world.condition("patient", "Running")["reason"] == "NodesSilent", "the outage to be told")
    running = world.condition("patient", "Running")
    assert running["status"] == "True" and "at the latest" in running["message"]
    assert (world.phase("patient"), world.status("patient")["attempt"]) == ("Running", 0)
    await asyncio.gather(*(world.revive_node(node) for node in nodes))
    await world.until(lambda: world.status("patient")["reason"] == "AllRanksRunning", "the outage to be over")
    assert world.status("patient")["attempt"] == 0 and world.status("patient")["episodes"] == []
    assert uids(world) == begun

    await fall_silent(world, nodes)
    await world.until(lambda: world.status("patient")["attempt"] == 1, "patience to end", seconds=120)
    (episode,) = world.status("patient")["episodes"]
    assert (episode["cause"], episode["reason"]) == ("Disruption", "NodeUnreachable")
    assert world.status("patient")["restarts"]["application"] == 0
