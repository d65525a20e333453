"""Does the chart install, upgrade, roll back and go on a real cluster, by real Helm, while jobs run undisturbed?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest

from chart.release import OPERATOR, Release, as_build, removal
from support.manifests import job, role
from support.world import TEST_LABEL, World
from trainyard.api.constants import ANNOTATION_BUILD
from trainyard.kube.resources import LEASES
from yardlib import build

pytestmark = [pytest.mark.nodes, pytest.mark.timeout(900)]  # Helm may have to be built first

Object = dict[str, Any]
# Real nodes only: the operator's image has a Python, and a shell is not needed.
SLEEP = ["python3", "-c", "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit()); signal.pause()"]
SOON = 8.0  # seconds; a candidate looks every two, and half of what a Lease lasts that nobody gave back
KEPT = {"serviceaccount", "configmap", "deployment", "clusterrole", "clusterrolebinding", "validatingadmissionpolicy"}


def resident(name: str, replicas: int = 2) -> Object:
    """A job on real nodes that runs until it is told to stop."""
    return job(name, role(replicas=replicas, image="trainyard.dev/operator:dev", command=SLEEP))


def uids(world: World, name: str) -> set[str]:
    return {pod["metadata"]["uid"] for pod in world.pods(name)}


def left_over(release: Release) -> str:
    """What Helm should have removed and did not."""
    kinds = ",".join(sorted(KEPT))
    told = release.cluster.kubectl("get", kinds, "-A", "-l", "app.kubernetes.io/part-of=trainyard", "-o", "name")
    return told.stdout.strip()


async def led_by_another(world: World, release: Release, before: str) -> str:
    """The pod that leads once it is not the one from before."""
    leader = await world.poll(lambda: (now := release.leader()) and now != before and now, "another leader")
    return str(leader)


@asynccontextmanager
async def lease_watched(world: World, release: Release) -> AsyncIterator[list[Object]]:
    """What the operators' Lease says while this is open, change by change."""
    one = f"metadata.name={OPERATOR}"
    page = await world.client.list(LEASES, release.home, fields=one)
    said: list[Object] = [lease["spec"] for lease in page.items]

    async def follow() -> None:
        version = page.resource_version
        async for event in world.client.watch(LEASES, release.home, resource_version=version, fields=one):
            if event.type != "BOOKMARK":
                said.append(event.object["spec"])

    watch = asyncio.create_task(follow())
    try:
        yield said
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


async def given_back_and_taken(world: World, said: list[Object], before: str) -> None:
    """The leader from before gave its Lease back, and another soon had it: a Lease that nobody gives back is taken too,
    but only when its 15 s are over. The instants are the Lease's own, by the API server's clock."""

    def later() -> list[Object]:
        last = max(n for n, spec in enumerate(said) if str(spec["holderIdentity"]).startswith(f"{before}_"))
        return said[last + 1 :]

    await world.poll(lambda: any(spec["holderIdentity"] for spec in later()), "another leader")
    given, *rest = later()
    assert given["holderIdentity"] == "", f"{before} did not give its Lease back: {given}"
    taken = next(spec for spec in rest if spec["holderIdentity"])
    waited = datetime.fromisoformat(taken["acquireTime"]) - datetime.fromisoformat(given["renewTime"])
    assert waited.total_seconds() < SOON, f"given back: {given}\ntaken: {taken}"


@pytest.mark.parametrize("program", ["helm", pytest.param("helm3", marks=pytest.mark.slow)])
async def test_it_is_installed_tested_upgraded_and_removed_under_a_running_job(
    world: World, release: Release, program: str
) -> None:
    build.ensure((program,))
    release.program = program
    await release.install(await release.older(), **as_build("older"))
    assert "Phase:          Succeeded" in await release.test()
    await world.open()
    await world.apply(resident("trains"))
    await world.until_phase("trains", "Running")
    before, leader = uids(world, "trains"), release.leader()

    async with lease_watched(world, release) as said:
        await release.upgrade("--wait", "--timeout=2m")
        await given_back_and_taken(world, said, leader)
    assert uids(world, "trains") == before
    assert world.phase("trains") == "Running"
    await world.apply(resident("another", replicas=1))
    await world.until_phase("another", "Running")  # which the new operator alone can do
    await world.delete_job("another")
    await world.until(lambda: not world.pods("another"), "its pods to go")

    await release.uninstall()
    assert left_over(release) == ""
    assert uids(world, "trains") == before, "jobs and their pods stay with the kind, as documented"
    await release.kubectl(*removal())
    await world.until(lambda: not world.pods("trains"), "the pods to go with their job")


@pytest.mark.slow
async def test_a_kind_that_is_not_kept_goes_with_the_release(world: World, release: Release) -> None:
    await release.install(crds={"keep": False})
    await world.open()
    await world.apply(resident("trains"))
    await world.until_phase("trains", "Running")
    await release.kubectl(*removal()[:-1])
    await world.until(lambda: not world.pods("trains"), "the pods to go with their job")

    await release.uninstall()
    assert left_over(release) == ""
    get = ("get", "crd", "trainingjobs.trainyard.dev", "--ignore-not-found", "-o", "name")
    await world.poll(lambda: not release.cluster.kubectl(*get).stdout.strip(), "the kind to go")


@pytest.mark.slow
async def test_a_rollback_leaves_running_jobs_alone(world: World, release: Release) -> None:
    await release.install(await release.older(), **as_build("older"))
    await release.upgrade("--wait", "--timeout=2m", settings={"workers": 8})
    await world.open()
    await world.apply(resident("trains"))
    await world.until_phase("trains", "Running")
    before, leader = uids(world, "trains"), str(await world.poll(release.leader, "a leader"))

    async with lease_watched(world, release) as said:
        await release.rollback(1)
        await given_back_and_taken(world, said, leader)
    assert uids(world, "trains") == before
    (pod,) = [pod for pod in release.operators() if not pod["metadata"].get("deletionTimestamp")]
    assert {"name": "TRAINYARD_BUILD", "value": "older"} in pod["spec"]["containers"][0]["env"]
    await world.patch_job("trains", {"suspend": True})
    await world.until_phase("trains", "Suspended")


@pytest.mark.slow
async def test_an_upgrade_in_the_middle_of_a_gangs_creation_starts_the_gang_anew(
    world: World, release: Release
) -> None:
    """One create at a time, and no overlap of old and new, so that the old build is cut off for certain."""
    rule = {"key": TEST_LABEL, "operator": "DoesNotExist"}  # a played node would play the operator too
    real = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [rule]}]}}
    slowly: Object = {
        "settings": {"createWindow": 1},
        "strategy": {"type": "Recreate", "rollingUpdate": None},
        "affinity": {"nodeAffinity": real},
    }
    await release.install(await release.older(), **as_build("older"), **slowly)
    await world.open()
    await world.add_nodes(8)
    gang = job("gang", role(replicas=800, pod={"nodeSelector": {TEST_LABEL: world.namespace}}))
    await world.apply(gang)
    await world.until(lambda: len(world.pods("gang", 0)) >= 20, "some pods of the gang")
    await release.upgrade(**{**slowly, "settings": {}})
    await world.until(lambda: world.status("gang").get("attempt") == 1, "the attempt to be closed", seconds=90)
    created = len(world.history.created("Pod"))
    assert created < 800, "the old build was not cut off; make the gang larger"
    (episode,) = world.status("gang")["episodes"]
    assert episode["cause"] == "OperatorUpgraded"
    assert not episode["charged"]
    await world.until_phase("gang", "Running", seconds=120)
    assert len(world.pods("gang", 1)) == 800
    records = [m for m in world.all("ConfigMap") if ANNOTATION_BUILD in m["metadata"].get("annotations", {})]
    assert {record["metadata"]["annotations"][ANNOTATION_BUILD] for record in records} >= {"older"}


@pytest.mark.slow
async def test_a_job_started_while_the_leader_dies_runs(world: World, release: Release) -> None:
    two: Object = {"replicaCount": 2, "podDisruptionBudget": {"enabled": True}, "flowControl": {"enabled": True}}
    await release.install(**two, priorityClass={"create": True})
    assert len({pod["spec"]["nodeName"] for pod in release.operators()}) == 2, "spread over the nodes"
    await world.open()
    leader = str(await world.poll(release.leader, "a leader"))
    kill = ("delete", "pod", leader, "--grace-period=0", "--force")
    await asyncio.to_thread(release.cluster.kubectl, "-n", release.home, *kill)
    await world.apply(resident("meanwhile"))
    await led_by_another(world, release, leader)
    await world.until_phase("meanwhile", "Running")


@pytest.mark.slow
@pytest.mark.parametrize("reads", [True, False], ids=["nodes read", "nodes unknown"])
async def test_a_namespaced_installation_serves_its_namespaces_and_no_other(
    world: World, release: Release, reads: bool
) -> None:
    await release.install()  # for the kind, which is kept
    await release.uninstall()
    await world.open()
    rights = {"clusterReads": reads, "aggregateClusterRoles": False}
    scope: Object = {"watchNamespaces": [world.namespace], "crds": {"install": False}, "rbac": rights}
    await release.install(**scope, admissionPolicy={"enabled": False})
    assert "Phase:          Succeeded" in await release.test()
    await world.apply(resident("inside"))
    await world.until_phase("inside", "Running")
    elsewhere = {**resident("outside"), "metadata": {"name": "outside", "namespace": "default"}}
    kubectl = release.cluster.kubectl
    try:
        kubectl("apply", "-f", "-", stdin=json.dumps(elsewhere))
        await world.delete_job("inside")
        await world.until(lambda: not world.pods("inside"), "the pods inside to go")
        assert kubectl("-n", "default", "get", "tj", "outside", "-o", "jsonpath={.status}").stdout == ""
    finally:
        kubectl("-n", "default", "delete", "tj", "outside")
    denied = [line for line in release.log().splitlines() if "403" in line and "trainingjobs" in line]
    assert denied == []
