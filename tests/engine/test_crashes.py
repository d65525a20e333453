"""Does the engine end where a fault-free run ends if it dies after every single one of its writes?

Each life executes one write and dies before it hears the answer; the next life finds what is there. So every place
between a commit and its effects is met, and every answer is lost once.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support.manifests import job, role
from support.world import TEST_LABEL, World
from support.worlds import judged_world
from support.yard import Cluster, shared_api
from trainyard.engine.engine_settings import EngineSettings
from trainyard.engine.operator import Engine
from trainyard.kube.client import Client
from trainyard.kube.credentials import from_kubeconfig
from trainyard.kube.lease import LeaseSettings
from trainyard.model.cluster import SchedulingPolicy
from trainyard.model.plan import PlanningPolicy

pytestmark = pytest.mark.apiserver
GANG = 3
MOST_LIVES = 120
UNCOUNTED = ("events.events.k8s.io",)


class MortalClient(Client):
    """Has one write executed and never hears of it: `died` is set, and nothing more is sent."""

    died: asyncio.Event
    writes: list[str]

    async def _call(self, *arguments: Any, **options: Any) -> Any:
        method, verb, resource = arguments[0], arguments[1], arguments[2]
        dry = (options.get("query") or {}).get("dryRun")
        if method == "GET" or dry or str(resource) in UNCOUNTED:
            return await super()._call(*arguments, **options)
        if not self.writes:
            self.writes.append(f"{verb} {resource}")
            try:
                await super()._call(*arguments, **options)
            finally:
                self.died.set()
        return await asyncio.Event().wait()


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    given = os.environ.get("TRAINYARD_TEST_KUBECONFIG")
    if given:
        return Cluster("given", given)
    return shared_api()


@pytest.fixture
async def world(cluster: Cluster, tmp_path: Path) -> AsyncIterator[World]:
    async with judged_world(cluster, tmp_path) as made:
        yield made


async def live_once(world: World) -> str:
    """One life of the engine, until its first write has been executed. Returns what that was."""
    source = from_kubeconfig(world.cluster.kubeconfig, None)
    settings = EngineSettings(
        planning=PlanningPolicy(build="b1"),
        lease=LeaseSettings(world.namespace, "lease", "the same pod"),
        scheduling=SchedulingPolicy(owned_nodes=((TEST_LABEL, world.namespace),)),
        namespaces=(world.namespace,),
    )
    async with MortalClient(source) as client, Client(source) as lease_client:
        client.died, client.writes = asyncio.Event(), []
        engine = asyncio.create_task(Engine(client, lease_client, settings).run())
        death = asyncio.create_task(client.died.wait())
        try:
            await asyncio.wait((engine, death), return_when=asyncio.FIRST_COMPLETED)
            if engine.done():
                engine.result()
        finally:
            for task in (engine, death):
                task.cancel()
            await asyncio.gather(engine, death, return_exceptions=True)
        return client.writes[0]


async def lives(world: World, writes: Counter[str]) -> None:
    """Life after life; the test ends it."""
    for _ in range(MOST_LIVES):
        writes[await live_once(world)] += 1
    raise AssertionError(f"not at rest after {MOST_LIVES} writes: {writes}")


async def test_death_after_every_write_changes_nothing(world: World) -> None:
    await world.add_nodes(GANG)
    await world.apply(job("j", role(replicas=GANG, gpus=8)))
    writes: Counter[str] = Counter()
    living = asyncio.create_task(lives(world, writes))
    try:
        await until(world, living, lambda: world.phase("j") == "Running", "the first attempt to run")
        await world.annotate(world.pods("j")[1]["metadata"]["name"], exit_code="1")
        await until(world, living, lambda: second_runs(world), "the second attempt to run")
        assert world.status("j")["restarts"]["total"] == 1
        await world.finish_all("j")
        await until(world, living, lambda: world.phase("j") == "Succeeded", "the end")
    finally:
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)
    created = world.history.created("Pod")
    assert len(created) == len(set(created)) == 2 * GANG, created
    assert world.status("j")["attempt"] == 1
    assert writes["create pods"] == 2 * GANG, "each of them was a life's last"
    assert writes["create configmaps"] == 4


async def test_death_after_every_write_of_suspend_resume_and_deletion(world: World) -> None:
    await world.add_nodes(GANG)
    await world.apply(job("j", role(replicas=GANG, gpus=8)))
    writes: Counter[str] = Counter()
    living = asyncio.create_task(lives(world, writes))
    try:
        await until(world, living, lambda: world.phase("j") == "Running", "the first attempt to run")
        await world.patch_job("j", {"suspend": True})
        await until(world, living, lambda: world.phase("j") == "Suspended", "nothing to be held")
        assert world.live("j") == []
        await world.patch_job("j", {"suspend": False})
        await until(world, living, lambda: second_runs(world), "the second attempt to run")
        assert world.status("j")["restarts"]["total"] == 0
        await world.delete_job("j")
        await until(world, living, lambda: not (world.job("j") or world.pods("j")), "nothing to be left")
    finally:
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)
    created = world.history.created("Pod")
    assert len(created) == len(set(created)) == 2 * GANG, created


def second_runs(world: World) -> bool:
    return bool(world.status("j").get("attempt") == 1 and world.phase("j") == "Running")


async def until(world: World, living: asyncio.Task[None], true: Any, what: str) -> None:
    """As `World.until`, but a life that breaks ends the wait."""
    waiting = asyncio.create_task(world.until(true, what, 120))
    await asyncio.wait((waiting, living), return_when=asyncio.FIRST_COMPLETED)
    if living.done():
        waiting.cancel()
        living.result()
    await waiting
