"""What failures cost: how many attempts a job may open, and what never spends its budget."""

from __future__ import annotations

import re

from support.manifests import job, role
from support.world import World
from trainyard.kube.resources import PODS

CRASHING = {"kwok.trainyard.dev/exit-code": "1", "kwok.trainyard.dev/exit-after": "2s"}
"""A trainer that dies two seconds after each start."""


def attempts(world: World) -> list[int]:
    """Attempts that ever had a pod."""
    return sorted({int(found[1]) for n in world.history.created("Pod") if (found := re.search(r"-a(\d+)-", n))})


async def test_a_crash_loop_opens_as_many_attempts_as_its_budget_allows(world: World) -> None:
    """Much faster than blame is found: what is not yet charged counts as if it were."""
    await world.add_nodes(2)
    await world.operator(settle_time="10s")
    policy = {"maxRestarts": 2, "backoff": {"initialSeconds": 0, "maxSeconds": 0}}
    await world.apply(job("loop", role(replicas=2, annotations=CRASHING), failurePolicy=policy))
    await world.until(
        lambda: world.condition("loop", "Placed").get("reason") == "AwaitingCause", "the job to wait for the verdict"
    )
    assert attempts(world) == [0, 1, 2]
    await world.until_phase("loop", "Failed")
    assert attempts(world) == [0, 1, 2], "one attempt and two restarts"
    assert world.condition("loop", "Failed")["reason"] == "MaxRestartsExceeded"
    status = world.status("loop")
    assert (status["restarts"]["total"], status["restarts"]["application"]) == (3, 3)
    assert [(e["attempt"], e["charged"]) for e in status["episodes"]] == [(0, True), (1, True), (2, True)]
    assert world.live("loop") == []


async def test_the_second_failure_in_a_row_waits_its_backoff(world: World) -> None:
    await world.add_nodes(2)
    await world.operator()
    policy = {"maxRestarts": 5, "backoff": {"initialSeconds": 3600, "maxSeconds": 3600}}
    await world.apply(job("slow", role(replicas=1, annotations=CRASHING), failurePolicy=policy))
    await world.until(lambda: world.condition("slow", "Placed").get("reason") == "Backoff", "the backoff")
    assert attempts(world) == [0, 1], "the first restart is at once"
    message = world.condition("slow", "Placed")["message"]
    assert "(2)" in message, "it tells which attempt"
    assert re.search(r" at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", message), f"and when: {message}"


async def test_disruptions_are_never_charged_however_many(world: World) -> None:
    await world.add_nodes(2)
    await world.operator(settle_time="1s")
    await world.apply(job("robbed", role(replicas=2), failurePolicy={"maxRestarts": 0}))
    for attempt in range(3):
        await world.until(lambda n=attempt: runs(world, n), f"attempt {attempt} to run")  # type: ignore[misc]
        await world.seen(PODS)
        await world.delete_pod(world.pods("robbed", attempt)[0]["metadata"]["name"])
    await world.until(lambda: runs(world, 3), "the fourth attempt to run")
    assert world.status("robbed")["restarts"] == {"total": 3, "application": 0, "disruption": 3, "charged": []}


def runs(world: World, attempt: int) -> bool:
    return bool(world.phase("robbed") == "Running" and world.status("robbed")["attempt"] == attempt)


async def test_one_failure_of_many_ranks_counts_once(world: World) -> None:
    await world.add_nodes(4)
    await world.operator(settle_time="1s")
    await world.apply(job("mass", role(replicas=16)))
    await world.until_phase("mass", "Running")
    await world.finish_all("mass", code=1)
    await world.until(lambda: world.status("mass")["restarts"]["application"] == 1, "the charge")
    await world.until_phase("mass", "Running")
    assert world.status("mass")["restarts"]["total"] == 1
    assert len(world.status("mass")["episodes"]) == 1
