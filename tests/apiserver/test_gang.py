"""Is a gang placed whole or not at all, does a waiting job say why, and is a refused start given back?"""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime
from typing import Any

import pytest

from support.manifests import job, role
from support.world import World
from trainyard.kube.resources import PODS

Object = dict[str, Any]


def nodes_of(world: World, name: str, attempt: int | None = None) -> list[str]:
    return [p["spec"].get("nodeName", "") for p in world.pods(name, attempt)]


async def until_waiting(world: World, name: str, reason: str) -> str:
    """Returns the message beside the reason."""
    await world.until(lambda: world.condition(name, "Placed").get("reason") == reason, f"{name} to wait: {reason}")
    await world.seen(PODS)
    return str(world.condition(name, "Placed")["message"])


async def test_of_two_gangs_that_do_not_fit_together_one_waits_without_a_pod(world: World) -> None:
    await world.add_nodes(3)
    await world.operator()
    await world.apply(job("first", role(replicas=2, gpus=8)))
    await world.until_phase("first", "Running")
    await world.apply(job("second", role(replicas=2, gpus=8)))
    message = await until_waiting(world, "second", "InsufficientCapacity")
    assert "2" in message and "8" in message, message
    assert world.pods("second") == []
    await world.finish_all("first")
    await world.until_phase("second", "Running")
    await world.until_phase("first", "Succeeded")


async def test_two_gangs_applied_at_once_never_hold_each_other(world: World) -> None:
    await world.add_nodes(3)
    await world.operator()
    for name in ("a", "b"):
        await world.apply(job(name, role(replicas=2, gpus=8)))
    await world.until(lambda: "Running" in (world.phase("a"), world.phase("b")), "one of them to run")
    waiting = "b" if world.phase("a") == "Running" else "a"
    await until_waiting(world, waiting, "InsufficientCapacity")
    assert world.pods(waiting) == []


async def test_a_required_rack_holds_the_whole_gang(world: World) -> None:
    await world.add_nodes(1, prefix="small", labels={"topology.trainyard.dev/rack": "r1"})
    large = await world.add_nodes(2, prefix="large", labels={"topology.trainyard.dev/rack": "r2"})
    await world.operator()
    await world.apply(job("close", role(replicas=2, gpus=8), scheduling={"topology": {"required": "rack"}}))
    await world.until_phase("close", "Running")
    assert sorted(nodes_of(world, "close")) == sorted(large)
    await world.apply(job("wide", role(replicas=3, gpus=8), scheduling={"topology": {"required": "rack"}}))
    assert "rack" in await until_waiting(world, "wide", "UnsatisfiableResource")


async def test_the_next_attempt_keeps_its_nodes(world: World) -> None:
    await world.add_nodes(6)
    await world.operator()
    await world.apply(job("home", role(replicas=3, gpus=8)))
    await world.until_phase("home", "Running")
    before = nodes_of(world, "home")
    await world.annotate(world.pods("home")[2]["metadata"]["name"], exit_code="1")
    await world.until(lambda: world.status("home")["attempt"] == 1, "the attempt to move")
    await world.until_phase("home", "Running")
    assert nodes_of(world, "home", 1) == before


WAITING = {
    "an unknown priority class": (
        {"scheduling": {"priorityClassName": "nobody-made-it"}},
        "UnknownPriorityClass",
        "nobody-made-it",
    ),
    "a claim that does not exist": ({"checkpoint": {"volume": {"claimName": "missing"}}}, "ClaimNotFound", "missing"),
    "a topology level that no node carries": (
        {"scheduling": {"topology": {"required": "planet"}}},
        "NoSuchTopologyLevel",
        "planet",
    ),
    "more GPUs than any node has": ({"roles": [role(replicas=1, gpus=16)]}, "UnsatisfiableResource", "16"),
}


@pytest.mark.parametrize("case", WAITING.values(), ids=WAITING.keys())
async def test_what_no_schema_can_see_is_a_typed_reason(world: World, case: tuple[dict[str, object], str, str]) -> None:
    spec, reason, word = case
    await world.add_nodes(1)
    await world.operator()
    manifest = job("odd", role(replicas=1))
    manifest["spec"] |= spec
    await world.apply(manifest)
    assert word in await until_waiting(world, "odd", reason)
    assert world.pods("odd") == []


async def test_the_gang_is_checked_against_quota_before_a_pod_exists(world: World) -> None:
    await world.add_nodes(2)
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "1"}}}
    await world.apply(quota)
    await world.operator()
    await world.apply(job("big"))
    assert "few" in await until_waiting(world, "big", "QuotaExceeded")
    assert world.history.created("Pod") == []


async def test_a_quota_of_a_priority_class_binds_its_jobs_alone(world: World) -> None:
    await world.add_nodes(4)
    named = "system-cluster-critical"  # every cluster has it
    term = {"scopeName": "PriorityClass", "operator": "In", "values": [named]}
    spec = {"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [term]}}
    await world.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": spec})
    await world.operator()
    await world.apply(job("bound", scheduling={"priorityClassName": named}))
    assert "few" in await until_waiting(world, "bound", "QuotaExceeded")
    assert world.history.created("Pod") == []
    await world.apply(job("free"))
    await world.until_phase("free", "Running")


async def test_two_jobs_never_share_a_checkpoint_directory(world: World) -> None:
    await world.add_nodes(2)
    await world.add_shared_volume("shared")
    await world.operator()
    checkpoint = {"volume": {"claimName": "shared"}, "directory": "same"}
    for name in ("one", "two"):
        await world.apply(job(name, role(replicas=1), checkpoint=checkpoint))
        await world.until(lambda name=name: bool(world.status(name)), f"{name} to be seen")  # type: ignore[misc]
    await world.until(
        lambda: any(world.condition(n, "Placed").get("reason") == "DirectoryInUse" for n in ("one", "two")),
        "one to wait",
    )
    waiting = next(n for n in ("one", "two") if world.condition(n, "Placed").get("reason") == "DirectoryInUse")
    assert world.pods(waiting) == []


async def test_a_restarting_job_keeps_its_checkpoint_directory_and_a_suspended_one_gives_it_up(world: World) -> None:
    await world.add_nodes(2)
    await world.add_shared_volume("shared")
    await world.operator()
    saving: dict[str, Any] = {
        "checkpoint": {"volume": {"claimName": "shared"}, "directory": "same"},
        "failurePolicy": {"backoff": {"initialSeconds": 4}},
    }
    await world.apply(job("one", role(replicas=1), **saving))
    await world.until_phase("one", "Running")
    await world.apply(job("two", role(replicas=1), **saving))
    await until_waiting(world, "two", "DirectoryInUse")
    await world.finish_all("one", code=1)
    await world.until(lambda: world.status("one")["attempt"] == 1, "the first failure")
    await world.until_phase("one", "Running")
    await world.finish_all("one", code=1)
    await until_waiting(world, "one", "Backoff")
    assert world.live("one") == [] and world.condition("two", "Placed")["reason"] == "DirectoryInUse"
    await world.until_phase("one", "Running")
    assert world.status("one")["attempt"] == 2 and world.pods("two") == []

    await world.patch_job("one", {"suspend": True})
    await world.until_phase("two", "Running")
    await world.patch_job("one", {"suspend": False})
    assert "belongs to job two" in await until_waiting(world, "one", "DirectoryInUse")
    assert world.live("one") == []


async def test_a_directory_changed_after_a_suspension_is_held_until_the_old_pods_are_gone(world: World) -> None:
    await world.add_nodes(2)
    await world.add_shared_volume("shared")
    await world.operator()
    saving: dict[str, Any] = {"checkpoint": {"volume": {"claimName": "shared"}, "directory": "same"}}
    await world.apply(job("one", role(replicas=1), **saving))
    await world.until_phase("one", "Running")
    (pod,) = (p["metadata"]["name"] for p in world.live("one"))
    await world.client.patch(PODS, pod, {"metadata": {"finalizers": ["test.trainyard.dev/keep"]}}, world.namespace)
    await world.patch_job("one", {"suspend": True})
    await world.until_phase("one", "Suspending")
    await world.patch_job("one", {"checkpoint": {"directory": "other"}})
    await world.apply(job("two", role(replicas=1), **saving))
    assert "job one" in await until_waiting(world, "two", "DirectoryInUse")
    assert world.pods("two") == []
    await world.client.patch(PODS, pod, {"metadata": {"finalizers": None}}, world.namespace)
    await world.until_phase("two", "Running")


async def test_a_start_that_misses_its_deadline_is_given_back_whole(world: World) -> None:
    await world.add_nodes(2)
    await world.operator()
    slow = role(replicas=2, annotations={"kwok.trainyard.dev/start": "never"})
    await world.apply(job("slow", slow, scheduling={"startDeadlineSeconds": 10}, failurePolicy={"maxRestarts": 0}))
    await world.until(lambda: world.status("slow").get("attempt") == 1, "the roll back", seconds=60)
    episode = world.status("slow")["episodes"][-1]
    assert (episode["cause"], episode["reason"]) == ("StartRolledBack", "StartDeadlineExceeded")
    assert world.status("slow")["restarts"] == {"total": 0, "application": 0, "disruption": 0, "charged": []}
    await world.until(lambda: world.pods("slow", 0) == [], "the pods of the refused start to go")


def recluse(node: str, shuns: str) -> Object:
    """A stranger's pod on this node that suffers no pod of this job beside it: nothing that the operator looks at."""
    never = {"labelSelector": {"matchLabels": {"trainyard.dev/job": shuns}}, "topologyKey": "kubernetes.io/hostname"}
    spec = {
        "nodeName": node,
        "containers": [{"name": "c", "image": "trainyard.dev/busybox:1"}],
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [never]}},
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "recluse"}, "spec": spec}


async def test_a_pinned_pod_that_kube_scheduler_refuses_is_rolled_back_and_its_node_avoided(world: World) -> None:
    taken, free = await world.add_nodes(2)
    await world.set_node(free, unschedulable=True)  # so that the first choice is the node that will be refused
    await world.apply(recluse(taken, shuns="pinned"))
    await world.until(lambda: phase_of(world, "recluse") == "Running", "the stranger to run")
    await world.operator(unschedulable_time="2s")
    await world.apply(job("pinned", role(replicas=1, gpus=8), failurePolicy={"maxRestarts": 0}))
    await world.until(lambda: unschedulable(world, "pinned"), "kube-scheduler to refuse the pinned pod")
    await world.set_node(free, unschedulable=False)
    await world.until(lambda: world.status("pinned")["attempt"] == 1, "the roll back")
    await world.until_phase("pinned", "Running")
    episode = world.status("pinned")["episodes"][0]
    assert (episode["cause"], episode["reason"], episode["node"]) == ("StartRolledBack", "Unschedulable", taken)
    assert "anti-affinity" in episode["message"], "the words of kube-scheduler are passed on"
    assert nodes_of(world, "pinned", 1) == [free]
    assert world.status("pinned")["restarts"] == {"total": 0, "application": 0, "disruption": 0, "charged": []}
    assert phase_of(world, "recluse") == "Running"


def phase_of(world: World, pod: str) -> str:
    return str((world.get("Pod", pod) or {"status": {}})["status"].get("phase", ""))


def unschedulable(world: World, name: str) -> bool:
    conditions = [c for p in world.pods(name) for c in p["status"].get("conditions", [])]
    return any(c["type"] == "PodScheduled" and c.get("reason") == "Unschedulable" for c in conditions)


async def test_delegated_pods_wait_for_nodes_that_appear_later(world: World) -> None:
    await world.operator()
    selector = {"nodeSelector": {"pool": world.namespace}}
    gang = job("cloud", role(replicas=2, gpus=8, pod=selector), scheduling={"placement": "Delegated"})
    await world.apply(gang)
    await world.until(lambda: len(world.pods("cloud")) == 2, "unpinned pods")
    await world.until(lambda: world.condition("cloud", "Placed").get("reason") == "GangDelegated", "that to be said")
    assert nodes_of(world, "cloud") == ["", ""]
    await world.add_nodes(2, labels={"pool": world.namespace})
    await world.until_phase("cloud", "Running")


async def test_a_delegated_gang_that_is_not_whole_at_its_deadline_is_given_back_and_tried_again(world: World) -> None:
    await world.add_nodes(1, labels={"pool": world.namespace})
    await world.operator()
    selector = {"nodeSelector": {"pool": world.namespace}}
    scheduling = {"placement": "Delegated", "startDeadlineSeconds": 10}
    gang = role(replicas=2, gpus=8, pod=selector)
    await world.apply(job("cloud", gang, scheduling=scheduling, failurePolicy={"maxRestarts": 0}))
    await world.until(lambda: len([n for n in nodes_of(world, "cloud") if n]) == 1, "half of the gang to be bound")
    await world.until(lambda: world.status("cloud")["attempt"] == 1, "the roll back at the deadline")
    await world.until(lambda: world.pods("cloud", 0) == [], "the whole gang to go")
    episode = world.status("cloud")["episodes"][0]
    assert (episode["cause"], episode["reason"]) == ("StartRolledBack", "StartDeadlineExceeded")
    await world.add_nodes(1, prefix="late", labels={"pool": world.namespace})
    await world.until_phase("cloud", "Running")
    assert world.status("cloud")["restarts"] == {"total": 0, "application": 0, "disruption": 0, "charged": []}


async def test_a_node_that_stops_answering_is_left_behind(world: World) -> None:
    nodes = await world.add_nodes(3)
    await world.operator()
    await world.apply(job("sturdy", role(replicas=2, gpus=8), failurePolicy={"maxRestarts": 0}))
    await world.until_phase("sturdy", "Running")
    lost = nodes_of(world, "sturdy")[0]
    await world.silence_node(lost)
    await world.until(lambda: world.status("sturdy")["attempt"] == 1, "the attempt to move", seconds=90)
    await world.until_phase("sturdy", "Running", seconds=90)
    assert lost in nodes
    assert lost not in nodes_of(world, "sturdy", 1)
    episode = world.status("sturdy")["episodes"][0]
    assert (episode["cause"], episode["node"]) == ("Disruption", lost)
    assert world.status("sturdy")["restarts"]["application"] == 0


async def test_a_gang_that_fell_silent_whole_is_waited_for(world: World) -> None:
    await world.add_nodes(2)
    await world.operator()
    await world.apply(job("packed", role(replicas=2, gpus=4, pod={"terminationGracePeriodSeconds": 2})))
    await world.until_phase("packed", "Running")
    (lost,) = set(nodes_of(world, "packed"))
    await world.silence_node(lost)
    await world.until(lambda: world.status("packed")["attempt"] == 1, "the attempt to move", seconds=90)
    message = await until_waiting(world, "packed", "EarlierAttemptEnding")
    assert f"kubectl delete node {lost}" in message
    await world.poll(lambda: all(past_its_grace(p) for p in world.pods("packed", 0)), "its pods to be dead")
    assert await world.quiet(5) == []
    assert len(world.pods("packed", 0)) == 2 and world.pods("packed", 1) == []
    await world.revive_node(lost)
    await world.until_phase("packed", "Running", seconds=90)
    assert world.status("packed")["restarts"]["application"] == 0


def past_its_grace(pod: Object) -> bool:
    text = pod["metadata"].get("deletionTimestamp")
    return text is not None and datetime.fromisoformat(text).timestamp() < time.time()


async def test_pods_in_their_nodes_network_share_nodes_but_for_the_coordinators_port(world: World) -> None:
    await world.add_nodes(2)
    await world.operator()
    await world.apply(job("hosty", role(replicas=4, gpus=4, pod={"hostNetwork": True}), framework="torch"))
    await world.until_phase("hosty", "Running")
    assert sorted(Counter(nodes_of(world, "hosty")).values()) == [2, 2]
    ports = [p["spec"]["containers"][0].get("ports", []) for p in world.pods("hosty")]
    assert sorted(map(len, ports)) == [0, 0, 0, 1]


async def test_the_exit_of_a_survivor_is_not_charged_once_its_peer_node_is_seen_dead(world: World) -> None:
    await world.add_nodes(3)
    await world.operator(settle_time="60s")
    await world.apply(job("echo", role(replicas=2, gpus=8), failurePolicy={"maxRestarts": 0}))
    await world.until_phase("echo", "Running")
    await world.silence_node(nodes_of(world, "echo")[0])
    await world.annotate(world.pods("echo")[1]["metadata"]["name"], exit_code="1")
    await world.until(lambda: world.status("echo")["attempt"] == 1, "the close")
    assert world.status("echo")["episodes"][0]["cause"] == "ApplicationFailure"
    await world.until_phase("echo", "Running", seconds=90)
    settled = world.status("echo")["episodes"][0]
    assert (settled["cause"], settled["settled"], settled["charged"]) == ("Disruption", True, False)
    assert world.status("echo")["restarts"]["application"] == 0
