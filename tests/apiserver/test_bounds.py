"""Does a large gang cost no more writes than it has to, and do faults on the way cost it nothing?"""

from __future__ import annotations

import re
import time
from collections import Counter

import aiohttp

from support.manifests import job, role
from support.operator import OperatorProcess
from support.proxy import Wire
from support.series import Scrape
from support.world import World

LARGE = 240
GANG = 50
FAILING = 7
_OWN_PART = re.compile(r"^(calm|hard)-[a-z0-9]{5}")


async def writes(operator: OperatorProcess) -> Counter[tuple[str, str]]:
    """(verb, resource) → requests that write, by the operator's own count."""
    url = f"http://127.0.0.1:{operator.metrics_port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        scrape = Scrape(await answer.text())
    counted: Counter[tuple[str, str]] = Counter()
    for labels, value in scrape.all("api_requests_total"):
        if labels["verb"] not in ("get", "list", "watch") and not labels["resource"].startswith("leases"):
            counted[(labels["verb"], labels["resource"])] += int(value)
    return counted


async def test_a_large_start_costs_one_create_a_pod_and_few_status_writes(world: World) -> None:
    """I14: per pod its POST and nothing else; of the status no more than a write a second."""
    await world.add_nodes(LARGE // 8)
    operator = await world.operator()
    await world.apply(job("calm", role(replicas=LARGE, gpus=1)))
    began = time.monotonic()
    await world.until_phase("calm", "Running", seconds=180)
    await world.until(lambda: world.status("calm")["ready"] == f"{LARGE}/{LARGE}", "all to be ready", seconds=60)
    seconds = time.monotonic() - began
    told = await writes(operator)
    assert told[("create", "pods")] == LARGE and told[("dry-run", "pods")] == 1, "one dry run, of the one role"
    assert told[("create", "configmaps")] == 2 and told[("create", "services")] == 1
    status = told[("patch", "trainingjobs.trainyard.dev/status")]
    assert status <= 8 + seconds, f"{status} status writes in {seconds:.0f} s"
    events = told[("create", "events.events.k8s.io")] + told[("patch", "events.events.k8s.io")]
    assert events <= 6
    assert sum(told.values()) == LARGE + 1 + 3 + status + events, told


def objects(world: World, name: str) -> Counter[tuple[str, str, str]]:
    """(kind, name without what is the job's own, happened) → how often, of everything the job's children went
    through."""
    counted: Counter[tuple[str, str, str]] = Counter()
    for happening in world.history.ordered():
        ours = (happening.object["metadata"].get("labels") or {}).get("trainyard.dev/job") == name
        if ours and happening.type in ("ADDED", "DELETED"):
            counted[(happening.kind, _OWN_PART.sub("", happening.name), happening.type)] += 1
    return counted


async def live(world: World, name: str, *, hard: OperatorProcess | None = None, wire: Wire | None = None) -> None:
    """Run, fail once, run again, succeed, be deleted; a hard life has its operator killed and its wires cut."""

    async def fault() -> None:
        if wire is not None:
            wire.drop()
        if hard is not None:
            await hard.kill()
            await hard.start()

    await world.apply(job(name, role(replicas=GANG, gpus=1)))
    for part in (GANG // 5, GANG // 2):
        await world.until(lambda part=part: len(world.pods(name)) >= part, f"{part} pods")  # type: ignore[misc]
        await fault()
    await world.until_phase(name, "Running", seconds=120)
    await world.annotate(world.pods(name)[FAILING]["metadata"]["name"], exit_code="1")
    await world.until(lambda: world.status(name)["attempt"] == 1, "the close")
    await fault()
    await world.until(lambda: len(world.pods(name, 0)) < GANG // 2, "half of the old pods to be gone")
    await fault()
    await world.until(lambda: len(world.pods(name, 1)) >= GANG // 2, "half of the new pods", seconds=120)
    await fault()
    await world.until_phase(name, "Running", seconds=120)
    assert world.status(name)["attempt"] == 1
    await world.finish_all(name)
    await fault()
    await world.until_phase(name, "Succeeded", seconds=120)
    await world.delete_job(name)
    await world.until(lambda: not world.pods(name), "nothing to be left", seconds=120)


async def test_a_hard_life_of_a_large_gang_ends_as_an_easy_one(world: World) -> None:
    """I18: each object is created and deleted as often as without faults."""
    await world.add_nodes(GANG // 8 + 1)
    async with Wire(world.cluster, world.folder) as wire:
        settings = {"create_window": "8", "delete_window": "8"}
        operator = await world.operator(kubeconfig=str(wire.kubeconfig), **settings)
        await live(world, "calm")
        await live(world, "hard", hard=operator, wire=wire)
    await world.until(lambda: objects(world, "hard") == objects(world, "calm"), "the same to have happened to both")
    pods = [count for (kind, _, _), count in objects(world, "hard").items() if kind == "Pod"]
    assert len(pods) == 2 * 2 * GANG and set(pods) == {1}
