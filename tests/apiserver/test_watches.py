"""Does the operator see the truth again after its watches broke, its API server died, or it slept through a gap?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from support.manifests import job, role
from support.operator import OperatorProcess
from support.proxy import Wire
from support.world import World
from support.worlds import judged_world
from support.yard import Cluster, own, run_yard, simulated_cluster
from trainyard.handlers.process import Exit
from trainyard.kube.informer import GRACE

GANG = 6


@pytest.fixture(scope="module")
def mortal() -> Iterator[Cluster]:
    """A control plane of this process alone, whose API server may die."""
    name = own("mortal")
    try:
        yield simulated_cluster(name, profile="default")  # an outage of the server must not look like dead nodes
    finally:
        run_yard("down", "--name", name)


@pytest.fixture
async def mortal_world(mortal: Cluster, tmp_path: Path) -> AsyncIterator[World]:
    async with judged_world(mortal, tmp_path) as made:
        yield made


async def restart_api_server(world: World) -> None:
    """SIGKILL and a new start; its watch cache begins empty, so every older version is answered with 410."""
    await asyncio.to_thread(world.cluster.yard, "apiserver-restart")


def uids(world: World, name: str) -> list[str]:
    return [p["metadata"]["uid"] for p in world.pods(name)]


async def test_the_api_server_dies_while_one_gang_runs_and_another_is_created(mortal_world: World) -> None:
    world = mortal_world
    await world.add_nodes(2 + GANG)
    await world.operator(create_window="1")
    await world.apply(job("steady", role(replicas=2, gpus=8)))
    await world.until_phase("steady", "Running")
    before = uids(world, "steady")
    await world.apply(job("young", role(replicas=GANG, gpus=8)))
    await world.until(lambda: world.pods("young"), "the first pod")
    await restart_api_server(world)
    await world.until_phase("young", "Running", seconds=90)
    assert world.status("young")["attempt"] == 0, "the half created gang was gone on with"
    assert len(world.history.created("Pod")) == 2 + GANG
    assert uids(world, "steady") == before
    assert world.status("steady")["attempt"] == 0
    for name in ("steady", "young"):
        await world.finish_all(name)
        await world.until_phase(name, "Succeeded")


async def test_what_changed_in_a_gap_is_seen_after_it(mortal_world: World) -> None:
    """The operator sleeps while pods and a job vanish and a trainer fails; the API server that told of it dies too."""
    world = mortal_world
    await world.add_nodes(8)
    lease = {"lease_duration": "4s", "renew_deadline": "3s", "retry_period": "500ms"}
    operator = await world.operator(**lease)
    for name in ("robbed", "failing", "ended", "deleted"):
        await world.apply(job(name, role(replicas=2, gpus=8)))
    for name in ("robbed", "failing", "ended", "deleted"):
        await world.until_phase(name, "Running")
    operator.freeze()
    await world.delete_pod(world.pods("robbed")[0]["metadata"]["name"])
    await world.annotate(world.pods("failing")[1]["metadata"]["name"], exit_code="5")
    await world.finish_all("ended")
    for pod in world.pods("ended"):  # while the operator sees none of it
        await world.until(lambda name=pod["metadata"]["name"]: succeeded(world, name), "the exit")  # type: ignore[misc]
    await world.delete_job("deleted", "Orphan")  # nobody but the operator knows that they are to be left alone
    await world.until(lambda: len(world.pods("robbed")) == 1 and not world.job("deleted"), "the changes")
    orphans = uids(world, "deleted")
    await restart_api_server(world)
    operator.thaw()
    for name in ("robbed", "failing"):
        await world.until(lambda name=name: world.status(name)["attempt"] == 1, f"{name} to be closed")  # type: ignore[misc]
        await world.until_phase(name, "Running", seconds=90)
        assert world.status(name)["restarts"]["total"] == 1
    assert world.status("robbed")["episodes"][0]["cause"] == "Disruption"
    assert world.status("failing")["episodes"][0]["exitCode"] == 5
    await world.until_phase("ended", "Succeeded")
    assert uids(world, "deleted") == orphans
    assert operator.running


def succeeded(world: World, pod: str) -> bool:
    found = world.get("Pod", pod)
    return found is not None and found["status"].get("phase") == "Succeeded"


async def test_watches_that_are_dropped_again_and_again_lose_nothing(world: World) -> None:
    await world.add_nodes(GANG)
    async with Wire(world.cluster, world.folder) as wire:
        operator = await world.operator(kubeconfig=str(wire.kubeconfig), create_window="2")
        await world.apply(job("j", role(replicas=GANG, gpus=8)))
        for size in range(1, GANG):  # in the middle of creating
            await world.until(lambda size=size: len(world.pods("j")) >= size, f"{size} pods")  # type: ignore[misc]
            wire.drop()
        await world.until_phase("j", "Running")
        assert (world.status("j")["attempt"], len(world.history.created("Pod"))) == (0, GANG)
        await world.annotate(world.pods("j")[3]["metadata"]["name"], exit_code="1")
        wire.drop()
        await world.until(lambda: world.status("j")["attempt"] == 1, "the close")
        wire.drop()
        await world.until_phase("j", "Running")
        await world.finish_all("j")
        wire.drop()
        await world.until_phase("j", "Succeeded")
        assert world.status("j")["restarts"]["total"] == 1
        assert len(world.history.created("Pod")) == 2 * GANG
        assert wire.accepted > GANG
        assert operator.running


async def until_ready(world: World, operator: OperatorProcess, ready: bool, seconds: float) -> str:
    """What it says of itself once it is ready, or is not."""
    deadline = time.monotonic() + seconds
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"http://127.0.0.1:{operator.port}/readyz") as answer:
                told = await answer.text()
            if (answer.status == 200) is ready:
                return told
            assert time.monotonic() < deadline, f"within {seconds:.0f} s: {answer.status} {told}"
            await world.quiet(0.5)


async def test_a_server_that_is_there_and_says_nothing_is_left_for_a_new_start(world: World) -> None:
    """Connections stand, nothing comes: not ready after silence and grace, ended when that has lasted (I15)."""
    await world.add_nodes(2)
    silence, lost_after = 10.0, 5.0
    settings = {"watch_silence": f"{silence}s", "watch_lost_after": f"{lost_after}s", "report_interval": "500ms"}
    async with Wire(world.cluster, world.folder) as wire:
        operator = await world.operator(kubeconfig=str(wire.kubeconfig), api_timeout="2s", **settings)
        await world.apply(job("j", role(replicas=2, gpus=8)))
        await world.until_phase("j", "Running")
        await until_ready(world, operator, True, 30)
        began = time.monotonic()
        wire.stall()
        told = await until_ready(world, operator, False, silence + GRACE + 10)
        assert time.monotonic() - began >= GRACE, "and not at the first hiccup"
        assert "no watch for" in told or "nothing heard for" in told
        code = await operator.wait()
        assert code == Exit.RESTART
        assert time.monotonic() - began < silence + GRACE + lost_after + 20
    assert "nothing heard" in operator.tail() or "no watch" in operator.tail()


async def test_watches_that_fall_silent_are_opened_anew(world: World) -> None:
    """Only the connections of that moment are dead: whoever connects anew is served."""
    await world.add_nodes(2)
    async with Wire(world.cluster, world.folder) as wire:
        operator = await world.operator(kubeconfig=str(wire.kubeconfig), api_timeout="2s", watch_silence="10s")
        await world.apply(job("j", role(replicas=2, gpus=8)))
        await world.until_phase("j", "Running")
        wire.stall()
        await world.annotate(world.pods("j")[0]["metadata"]["name"], exit_code="1")
        await world.quiet(1)
        wire.leave_stalled()
        await world.until(lambda: world.status("j")["attempt"] == 1, "the close", seconds=60)
        await world.until_phase("j", "Running")
        assert operator.running


async def test_an_operator_cut_off_for_longer_than_its_lease_goes_on_when_it_can(world: World) -> None:
    await world.add_nodes(2)
    lease = {"lease_duration": "4s", "renew_deadline": "3s", "retry_period": "500ms"}
    async with Wire(world.cluster, world.folder) as wire:
        operator = await world.operator(kubeconfig=str(wire.kubeconfig), **lease)
        await world.apply(job("j", role(replicas=2, gpus=8)))
        await world.until_phase("j", "Running")
        await world.until(lambda: world.status("j")["ready"] == "2/2", "both ready")
        await wire.cut()
        await world.annotate(world.pods("j")[0]["metadata"]["name"], exit_code="1")
        await world.poll(lambda: "no longer leading" in operator.tail(), "the Lease to be given up")
        assert world.status("j")["attempt"] == 0
        await wire.mend()
        await world.until(lambda: world.status("j")["attempt"] == 1, "the close")
        await world.until_phase("j", "Running")
        assert operator.running
