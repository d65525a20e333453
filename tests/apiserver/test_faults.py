"""Does a job survive the operator's death between any commit and its effects, two operators, and other hands?"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from support.manifests import job, role
from support.world import World
from trainyard.kube.resources import PODS

GANG = 6
QUICK = {"lease_duration": "4s", "renew_deadline": "3s", "retry_period": "500ms"}
"""A Lease that is soon believed in no more."""
LARGE = 120
"""Takes long enough to create, one by one, for a test to step in between."""


def attempt(world: World) -> int:
    return int(world.status("j").get("attempt", 0))


CRASH_POINTS: dict[str, Callable[[World], object]] = {
    "the record is stored": lambda w: any(c["metadata"]["name"].endswith("-a0") for c in w.all("ConfigMap")),
    "the attempt is open": lambda w: w.status("j").get("attemptRecord"),
    "the hosts are stored": lambda w: any(c["metadata"]["name"].endswith("-a0-hosts") for c in w.all("ConfigMap")),
    "the first pod is created": lambda w: w.pods("j"),
    "half of the gang is created": lambda w: len(w.pods("j")) >= GANG // 2,
    "the whole gang is created": lambda w: w.status("j").get("gangCreated"),
}


@pytest.mark.parametrize("point", CRASH_POINTS.values(), ids=CRASH_POINTS.keys())
async def test_killed_while_an_attempt_opens(world: World, point: Callable[[World], object]) -> None:
    await world.add_nodes(GANG)
    operator = await world.operator(create_window="1")
    await world.apply(job("j", role(replicas=GANG, gpus=8)))
    await world.until(lambda: point(world), "the crash point")
    await operator.kill()
    await operator.start()
    await world.until_phase("j", "Running")
    assert attempt(world) == 0, "the half opened attempt is gone on with"
    assert len(world.history.created("Pod")) == GANG
    await world.finish_all("j")
    await world.until_phase("j", "Succeeded")


CLOSE_POINTS: dict[str, Callable[[World], object]] = {
    "the close is written": lambda w: attempt(w) == 1,
    "the hosts are deleted": lambda w: (
        attempt(w) == 1 and not any(c["metadata"]["name"].endswith("-a0-hosts") for c in w.all("ConfigMap"))
    ),
    "some pods are deleted": lambda w: attempt(w) == 1 and len(w.pods("j", 0)) < GANG,
    "the next record is stored": lambda w: any(c["metadata"]["name"].endswith("-a1") for c in w.all("ConfigMap")),
    "the next attempt is open": lambda w: (w.status("j").get("attemptRecord") or {}).get("attempt") == 1,
}


def second_attempt(world: World) -> list[str]:
    return [name for name in world.history.created("Pod") if "-a1-" in name]


@pytest.mark.parametrize("point", CLOSE_POINTS.values(), ids=CLOSE_POINTS.keys())
async def test_killed_while_an_attempt_closes(world: World, point: Callable[[World], object]) -> None:
    await world.add_nodes(GANG)
    operator = await world.operator(delete_window="1")
    await world.apply(job("j", role(replicas=GANG, gpus=8)))
    await world.until_phase("j", "Running")
    await world.annotate(world.pods("j")[3]["metadata"]["name"], exit_code="1")
    await world.until(lambda: point(world), "the crash point")
    await operator.kill()
    await operator.start()
    await world.until(lambda: attempt(world) == 1 and world.phase("j") == "Running", "the second attempt to run")
    assert world.status("j")["restarts"]["total"] == 1, "one failure, counted once"
    # The pods come by a watch of their own, and may be seen later than the status.
    await world.until(lambda: len(second_attempt(world)) >= GANG, "all pods of the second attempt to be seen")
    assert len(second_attempt(world)) == GANG


async def test_killed_while_a_job_finishes(world: World) -> None:
    await world.add_nodes(2)
    operator = await world.operator()
    await world.apply(job("j", role("ps", 1, completes=False), role("worker", 2)))
    await world.until_phase("j", "Running")
    for pod in world.pods("j")[1:]:
        await world.annotate(pod["metadata"]["name"], exit_code="0")
    await world.until(lambda: world.status("j").get("finishing"), "the decision")
    await operator.kill()
    await operator.start()
    await world.until_phase("j", "Succeeded")
    assert attempt(world) == 0


async def test_a_restarted_operator_does_not_miss_a_server_that_had_served_and_is_gone(world: World) -> None:
    await world.add_nodes(2)
    operator = await world.operator()
    await world.apply(job("j", role("ps", 1, completes=False), role("worker", 2)))
    await world.until_phase("j", "Running")
    server, worker, other = world.pods("j")
    await world.annotate(worker["metadata"]["name"], exit_code="0")
    await world.until(lambda: world.status("j")["roles"][1].get("completed") == "0", "a worker to be counted")
    await world.annotate(server["metadata"]["name"], exit_code="1")
    await world.until(lambda: world.status("j")["roles"][0].get("completed") == "0", "the server to be counted too")
    assert world.status("j")["ready"] == "3/3"

    await operator.kill()
    await world.delete_pod(server["metadata"]["name"])
    await world.until(lambda: len(world.pods("j")) == 2, "the server's pod to go")
    await operator.start()
    await world.annotate(other["metadata"]["name"], exit_code="0")
    await world.until_phase("j", "Succeeded")
    assert attempt(world) == 0


async def test_a_restarted_operator_leaves_a_running_gang_alone(world: World) -> None:
    await world.add_nodes(2)
    operator = await world.operator()
    await world.apply(job("j", role(replicas=2, gpus=8)))
    await world.until_phase("j", "Running")
    await world.until(lambda: world.status("j")["ready"] == "2/2", "both ready")
    before = [p["metadata"]["uid"] for p in world.pods("j")]
    assert await operator.stop() == 0
    upgraded = await world.operator("upgraded", build="next")
    await world.poll(lambda: "[trainyard.engine.operator]" in upgraded.tail(200), "the next build to lead")
    assert await world.quiet(4) == [], "nothing was needed, nothing was written"
    assert [p["metadata"]["uid"] for p in world.pods("j")] == before
    await world.finish_all("j")
    await world.until_phase("j", "Succeeded")


async def test_another_build_starts_a_half_created_gang_anew(world: World) -> None:
    await world.add_nodes(4)
    operator = await world.operator(create_window="1", **QUICK)
    await world.apply(job("j", role(replicas=LARGE)))
    await world.until(lambda: world.pods("j"), "the first pod")
    operator.freeze()
    await operator.kill()
    if world.status("j").get("gangCreated"):
        pytest.fail("the gang was complete before the operator could be frozen; make it larger")
    await world.operator("upgraded", build="next", **QUICK)
    await world.until_phase("j", "Running")
    assert world.status("j")["episodes"][-1]["cause"] == "OperatorUpgraded"
    assert world.status("j")["restarts"]["total"] == 0


async def test_a_standby_takes_over_when_the_leader_dies(world: World) -> None:
    await world.add_nodes(2)
    leader = await world.operator("one", **QUICK)
    await world.apply(job("before", role(replicas=1)))
    await world.until_phase("before", "Running")
    await world.operator("two", **QUICK)
    await leader.kill()
    await world.apply(job("after", role(replicas=1)))
    await world.until_phase("after", "Running")
    assert world.phase("before") == "Running"


async def test_a_leader_that_is_stopped_hands_over_in_the_middle_of_a_start(world: World) -> None:
    """With the Lease given back, the next one waits for no Lease to run out."""
    await world.add_nodes(4)
    lease = {"lease_duration": "60s", "renew_deadline": "40s", "retry_period": "500ms"}
    leader = await world.operator("one", create_window="1", **lease)
    await world.apply(job("j", role(replicas=LARGE)))
    await world.until(lambda: world.pods("j"), "the first pod")
    await world.operator("two", **lease)
    assert await leader.stop() == 0
    await world.until_phase("j", "Running", seconds=30)
    assert attempt(world) == 0, "the same attempt is gone on with"
    assert len(world.history.created("Pod")) == LARGE


async def test_a_paused_leader_that_wakes_late_writes_nothing(world: World) -> None:
    """What it was about to create is new again when it wakes: that attempt is over and its pods are gone, so only the
    fence keeps it from creating them. One may be late all the same, whose bytes were on their way to the kernel."""
    await world.add_nodes(4)
    paused = await world.operator("one", create_window="1", **QUICK)
    await world.apply(job("j", role(replicas=LARGE)))
    await world.until(lambda: world.pods("j"), "the first pod")
    paused.freeze()
    if world.status("j").get("gangCreated"):
        pytest.fail("the gang was complete before the operator could be frozen; make it larger")
    await world.operator("two", **QUICK)
    await world.until_phase("j", "Running")
    await world.annotate(world.pods("j")[0]["metadata"]["name"], exit_code="1")
    await world.until(lambda: attempt(world) == 1 and world.phase("j") == "Running", "the second attempt to run")
    await world.until(lambda: len(world.pods("j", 0)) <= 1, "the first attempt's pods to go, but for the one kept")
    await world.seen(PODS)  # the watch of pods may be behind that of jobs, which says that all of them run
    created = world.history.created("Pod")
    paused.thaw()
    await world.poll(lambda: "no longer leading" in paused.tail(), "the first to learn that it no longer leads")
    await world.quiet(2)
    assert len(set(created)) == 2 * LARGE
    late = [h for h in world.history.ordered() if h.kind == "Pod" and h.type == "ADDED"][len(created) :]
    assert len(late) <= 1, [h.name for h in late]
    world.history.latecomers.update(h.object["metadata"]["uid"] for h in late)
    assert world.pods("j", 0)[1:] == [], "a late pod is deleted"
    assert world.status("j")["restarts"]["total"] == 1


async def test_a_record_deleted_by_hand_leaves_the_gang_alone(world: World) -> None:
    await world.add_nodes(2)
    await world.operator()
    await world.apply(job("j"))
    await world.until_phase("j", "Running")
    await world.delete_config_map(world.status("j")["attemptRecord"]["name"])
    await world.until(lambda: world.condition("j", "Placed").get("reason") == "RecordLost", "the condition")
    assert attempt(world) == 0
    await world.finish_all("j")
    await world.until_phase("j", "Succeeded")


async def test_hosts_deleted_by_hand_are_made_again(world: World) -> None:
    await world.add_nodes(2)
    await world.operator()
    await world.apply(job("j"))
    await world.until_phase("j", "Running")
    hosts = world.status("j")["attemptRecord"]["name"] + "-hosts"
    old = world.get("ConfigMap", hosts)
    assert old is not None
    await world.delete_config_map(hosts)
    await world.until(
        lambda: (
            (found := world.get("ConfigMap", hosts)) is not None and found["metadata"]["uid"] != old["metadata"]["uid"]
        ),
        "new hosts",
    )
    assert attempt(world) == 0


async def test_quota_that_fills_in_the_middle_of_a_gang_rolls_it_back(world: World) -> None:
    await world.add_nodes(4)
    await world.set_quota("shared", 200)
    operator = await world.operator(create_window="1")
    await world.apply(job("j", role(replicas=LARGE)))
    await world.until(lambda: world.pods("j"), "the first pod")
    operator.freeze()
    assert not world.status("j").get("gangCreated"), "the gang was complete before the operator could be frozen"
    await world.set_quota("shared", 1)
    operator.thaw()
    await world.until(lambda: attempt(world) == 1, "the roll back")
    await world.until(lambda: world.live("j") == [], "no part of the gang to be left")
    await world.until(lambda: world.condition("j", "Placed").get("reason") == "QuotaExceeded", "the job to say why")
    episode = world.status("j")["episodes"][0]
    assert (episode["cause"], episode["reason"]) == ("StartRolledBack", "QuotaExceeded")
    assert len(world.history.created("Pod")) < LARGE
    await world.set_quota("shared", 200)
    await world.until_phase("j", "Running")
    assert world.status("j")["restarts"] == {"total": 0, "application": 0, "disruption": 0, "charged": []}


async def test_a_poisoned_job_harms_only_itself(world: World) -> None:
    await world.add_nodes(2)
    await world.operator()
    await world.apply(job("good", role(replicas=1)))
    await world.until_phase("good", "Running")
    await world.apply(job("bad", role(replicas=1), suspend=True))
    await world.until_phase("bad", "Suspended")
    unknown = {"phase": "Failed", "reason": "ReasonOfANewerBuild", "message": ""}
    await world.poison_status("bad", {"finishing": unknown})
    await world.apply(job("other", role(replicas=1)))
    await world.until_phase("other", "Running")
    assert world.phase("good") == "Running", json.dumps(world.status("good"))
