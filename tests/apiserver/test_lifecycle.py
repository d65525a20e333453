"""Does a job live its life on a real API server: from apply to success or failure, suspended, resumed, cleaned up?"""

from __future__ import annotations

from typing import Any

import pytest

from support.manifests import job, role
from support.world import World
from trainyard.kube.resources import CONFIG_MAPS

Object = dict[str, Any]


def names(pods: list[Object]) -> list[str]:
    return [p["metadata"]["name"] for p in pods]


async def run(world: World, manifest: Object, *, nodes: int = 4, **settings: str) -> str:
    """Apply a job in a world with nodes and an operator; returns when every rank runs."""
    await world.add_nodes(nodes)
    await world.operator(**settings)
    name = str((await world.apply(manifest))["metadata"]["name"])
    await world.until_phase(name, "Running")
    return name


async def test_a_gang_runs_to_success_and_leaves_nothing_live(world: World) -> None:
    name = await run(world, job("gpt", role(replicas=3, gpus=8)))
    pods = world.pods(name)
    status = world.status(name)
    record = status["attemptRecord"]
    assert names(pods) == [f"{record['name']}-worker-{i}" for i in range(3)]
    assert len({p["spec"]["nodeName"] for p in pods}) == 3, "8 GPUs a pod fill a node each"
    assert (status["ready"], status["gpus"], status["attempt"], status["gangCreated"]) == ("3/3", 24, 0, True)
    assert world.get("ConfigMap", f"{record['name']}-hosts") is not None
    assert world.condition(name, "Running")["status"] == "True"

    await world.finish_all(name)
    await world.until_phase(name, "Succeeded")
    await world.seen(CONFIG_MAPS)
    assert world.status(name)["roles"][0]["completed"] == "0-2"
    assert world.live(name) == []
    assert world.get("ConfigMap", f"{record['name']}-hosts") is None, "no late pod of the attempt can start"
    assert world.condition(name, "Succeeded")["reason"] == "AllCompleted"
    assert await world.quiet(3) == [], "a finished job is written no more"


async def test_a_running_job_costs_no_writes(world: World) -> None:
    name = await run(world, job("calm"))
    await world.until(lambda: world.status(name)["ready"] == "2/2", "both ready")
    assert await world.quiet(5) == []


async def test_one_failed_rank_restarts_the_whole_gang_once(world: World) -> None:
    name = await run(world, job("phoenix", role(replicas=3)))
    victim = names(world.pods(name))[1]
    await world.annotate(victim, exit_code="1", exit_message="CUDA error: an illegal memory access")
    await world.until(lambda: world.status(name)["attempt"] == 1, "the attempt to move")
    await world.until_phase(name, "Running")

    episode = world.status(name)["episodes"][-1]
    assert (episode["rank"], episode["exitCode"], episode["pod"]) == (1, 1, victim)
    assert "CUDA error" in episode["message"]
    assert (episode["settled"], episode["charged"]) == (False, False), "restart now, blame later"
    assert world.status(name)["restarts"]["total"] == 1
    assert names(world.pods(name, attempt=0)) == [victim], "only the first failed pod stays to be read"
    assert len(world.pods(name, attempt=1)) == 3
    await world.finish_all(name)
    await world.until_phase(name, "Succeeded")


async def test_a_failure_without_evidence_is_charged_after_the_settling_time(world: World) -> None:
    name = await run(world, job("blamed"), settle_time="2s")
    await world.annotate(names(world.pods(name))[0], exit_code="7")
    await world.until(lambda: world.status(name)["restarts"]["application"] == 1, "the charge", seconds=60)
    assert world.status(name)["episodes"][-1]["charged"] is True
    assert len(world.status(name)["restarts"]["charged"]) == 1


async def test_no_restart_is_left_so_an_application_failure_ends_the_job(world: World) -> None:
    policy = {"maxRestarts": 0}
    name = await run(world, job("strict", failurePolicy=policy), settle_time="2s")
    await world.annotate(names(world.pods(name))[0], exit_code="3")
    await world.until_phase(name, "Failed", seconds=90)
    failed = world.condition(name, "Failed")
    assert failed["reason"] == "MaxRestartsExceeded"
    assert "exited with 3" in failed["message"]
    attempts = {p["metadata"]["labels"]["trainyard.dev/attempt"] for p in world.pods(name)}
    created = [n for n in world.history.created("Pod") if "-a1-" in n]
    assert (attempts, created) == ({"0"}, []), "no second attempt was opened"


async def test_a_pod_deleted_by_hand_is_a_disruption_and_never_charged(world: World) -> None:
    name = await run(world, job("robbed", failurePolicy={"maxRestarts": 0}), settle_time="2s")
    await world.delete_pod(names(world.pods(name))[0])
    await world.until(lambda: world.status(name)["attempt"] == 1, "the attempt to move")
    await world.until_phase(name, "Running")
    restarts = world.status(name)["restarts"]
    assert (restarts["total"], restarts["disruption"], restarts["application"]) == (1, 1, 0)
    assert world.status(name)["episodes"][-1]["cause"] == "Disruption"


async def test_exit_0_of_a_rank_whose_pod_was_collected_still_counts(world: World) -> None:
    name = await run(world, job("early", role(replicas=3), failurePolicy={"maxRestarts": 0}))
    first, *others = names(world.pods(name))
    await world.annotate(first, exit_code="0")
    await world.until(lambda: world.status(name)["roles"][0].get("completed") == "0", "rank 0 to be counted")
    await world.delete_pod(first)  # as the garbage collector of pods does with one that has ended
    await world.until(lambda: world.get("Pod", first) is None, "its pod to be gone")
    (operator,) = world.operators
    await operator.kill()
    await operator.start()  # this one never saw the pod
    for pod in others:
        await world.annotate(pod, exit_code="0")
    await world.until_phase(name, "Succeeded")
    status = world.status(name)
    assert (status["attempt"], status["restarts"]["total"], status["roles"][0]["completed"]) == (0, 0, "0-2")


async def test_suspend_frees_everything_and_resume_goes_on(world: World) -> None:
    name = await run(world, job("nap"))
    await world.patch_job(name, {"suspend": True})
    await world.until_phase(name, "Suspended")
    assert world.pods(name) == []
    assert world.condition(name, "Suspended")["status"] == "True"
    await world.patch_job(name, {"suspend": False})
    await world.until_phase(name, "Running")
    assert world.status(name)["attempt"] == 1
    assert world.status(name)["restarts"]["total"] == 0


async def test_a_spec_edited_while_suspended_shapes_the_next_attempt(world: World) -> None:
    name = await run(world, job("grow", role(replicas=1), suspend=False))
    await world.patch_job(name, {"suspend": True})
    await world.until_phase(name, "Suspended")
    await world.patch_job(name, {"suspend": False, "roles": [role(replicas=3)]})
    await world.until(lambda: world.status(name).get("ready") == "3/3", "three ranks")


async def test_a_job_created_suspended_has_no_pod(world: World) -> None:
    await world.add_nodes(1)
    await world.operator()
    await world.apply(job("later", suspend=True))
    await world.until_phase("later", "Suspended")
    assert world.history.created("Pod") == []


async def test_the_active_deadline_ends_a_job(world: World) -> None:
    name = await run(world, job("late", activeDeadlineSeconds=15))
    await world.until_phase(name, "Failed")
    assert world.condition(name, "Failed")["reason"] == "ActiveDeadlineExceeded"
    assert world.live(name) == []


async def test_a_finished_job_goes_after_its_time_to_live(world: World) -> None:
    name = await run(world, job("brief", ttlSecondsAfterFinished=1, cleanPods="All"))
    await world.finish_all(name)
    await world.until(lambda: world.job(name) == {}, "the job to be deleted")
    await world.until(lambda: world.all("Pod") == [], "its pods to go with it")


CLEANED = {"Running": 2, "None": 2, "All": 0}
"""cleanPods → ended pods that a finished job keeps; the server's, which still ran, always goes."""


@pytest.mark.parametrize(("clean", "kept"), CLEANED.items(), ids=CLEANED.keys())
async def test_pods_of_a_finished_job_go_as_asked(world: World, clean: str, kept: int) -> None:
    name = await run(world, job("tidy", role("ps", 1, completes=False), role("worker", 2), cleanPods=clean))
    for pod in world.pods(name)[1:]:
        await world.annotate(pod["metadata"]["name"], exit_code="0")
    await world.until_phase(name, "Succeeded")
    await world.seen(CONFIG_MAPS)
    await world.until(lambda: len(world.pods(name)) == kept, f"{kept} pods to be left")
    assert {p["metadata"]["labels"]["trainyard.dev/role"] for p in world.pods(name)} <= {"worker"}
    assert await world.quiet(2) == []


async def test_servers_never_complete_and_end_with_the_workers(world: World) -> None:
    name = await run(world, job("ps", role("ps", 1, completes=False), role("worker", 2)))
    for pod in world.pods(name):
        if pod["metadata"]["labels"]["trainyard.dev/role"] == "worker":
            await world.annotate(pod["metadata"]["name"], exit_code="0")
    await world.until_phase(name, "Succeeded")
    assert world.live(name) == []


@pytest.mark.parametrize("statuses", ["containerStatuses", "initContainerStatuses"])
async def test_an_invalid_image_name_fails_at_once(world: World, statuses: str) -> None:
    await world.add_nodes(1)
    await world.operator()
    await world.apply(job("typo", role(replicas=1, annotations={"kwok.trainyard.dev/start": "never"})))
    await world.until(lambda: bool(world.pods("typo")), "its pod")
    pod = world.pods("typo")[0]
    await world.until(lambda: bool(world.pods("typo")[0]["spec"].get("nodeName")), "its binding")
    container = "trainer" if statuses == "containerStatuses" else "fetch"
    waiting = {"name": container, "image": "UPPER:case", "imageID": "", "ready": False, "restartCount": 0}
    waiting["state"] = {"waiting": {"reason": "InvalidImageName", "message": "couldn't parse image name"}}
    await world.set_pod_status(pod["metadata"]["name"], {statuses: [waiting]})
    await world.until_phase("typo", "Failed")
    failed = world.condition("typo", "Failed")
    assert failed["reason"] == "ImageInvalid" and ("container fetch" in failed["message"]) == (container == "fetch")
