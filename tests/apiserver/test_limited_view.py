"""Does an installation without rights in the whole cluster run jobs, and does it say what it cannot do?"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from support.manifests import BUSYBOX, job, role
from support.operator import OperatorProcess
from support.world import World

Object = dict[str, Any]
SERVED: list[Object] = [
    {"apiGroups": ["trainyard.dev"], "resources": ["trainingjobs"], "verbs": ["get", "list", "watch", "delete"]},
    {"apiGroups": ["trainyard.dev"], "resources": ["trainingjobs/status"], "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["pods", "configmaps"], "verbs": ["get", "list", "watch", "create", "delete"]},
    {
        "apiGroups": [""],
        "resources": ["services", "persistentvolumeclaims"],
        "verbs": ["get", "list", "watch", "create"],
    },
    {"apiGroups": [""], "resources": ["resourcequotas"], "verbs": ["list", "watch"]},
    {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "get", "update"]},
]
VIEW: list[Object] = [{"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["list", "watch"]}]
ACCOUNT = "limited"


def grant(kind: str, name: str, namespace: str, rules: list[Object]) -> list[Object]:
    """A role and its binding to this test's service account."""
    group = "rbac.authorization.k8s.io"
    meta = {"name": name, **({"namespace": namespace} if kind == "Role" else {})}
    subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}
    reference = {"apiGroup": group, "kind": kind, "name": name}
    version = f"{group}/v1"
    return [
        {"apiVersion": version, "kind": kind, "metadata": meta, "rules": rules},
        {
            "apiVersion": version,
            "kind": f"{kind}Binding",
            "metadata": meta,
            "roleRef": reference,
            "subjects": [subject],
        },
    ]


@pytest.fixture
async def limited(world: World) -> AsyncIterator[World]:
    """A world whose service account has what its namespace can give; what the cluster gave is taken back."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}}
    world.kubectl("apply", "-f", "-", documents=[account, *grant("Role", ACCOUNT, world.namespace, SERVED)])
    yield world
    for kind in ("clusterrolebinding", "clusterrole"):
        world.kubectl("delete", kind, world.namespace, "--ignore-not-found")


def see_the_cluster(world: World) -> None:
    world.kubectl("apply", "-f", "-", documents=grant("ClusterRole", world.namespace, world.namespace, VIEW))


async def limited_operator(world: World) -> OperatorProcess:
    """With that account's token and nothing else."""
    token = world.kubectl("create", "token", ACCOUNT).strip()
    config = json.loads(world.cluster.kubectl("config", "view", "--minify", "--raw", "-o", "json").stdout)
    config["users"][0]["user"] = {"token": token}
    path = world.folder / "limited.kubeconfig"
    path.write_text(json.dumps(config))
    return await world.operator(kubeconfig=str(path))


def placed(world: World, name: str) -> str:
    return str(world.condition(name, "Placed").get("reason"))


def pins(world: World, name: str) -> list[bool]:
    """Whether each of its pods is pinned to a node."""
    return ["matchFields" in json.dumps(p["spec"].get("affinity", {})) for p in world.pods(name)]


async def test_without_the_cluster_in_sight_gangs_are_left_to_its_scheduler(limited: World) -> None:
    world = limited
    await world.add_nodes(2)
    operator = await limited_operator(world)
    await world.apply(job("blind", role(replicas=2, gpus=8)))
    await world.until_phase("blind", "Running")
    assert placed(world, "blind") == "LimitedView" and pins(world, "blind") == [False, False]
    assert {p["spec"]["nodeName"] for p in world.pods("blind")} == set(world.nodes), "only on the nodes it owns"
    await world.annotate(world.pods("blind")[1]["metadata"]["name"], exit_code="3")
    await world.until(lambda: world.status("blind")["attempt"] == 1, "the close")
    await world.until_phase("blind", "Running")
    await world.finish_all("blind")
    await world.until_phase("blind", "Succeeded")
    assert [e["cause"] for e in world.status("blind")["episodes"]] == ["ApplicationFailure"]
    see_the_cluster(world)
    await world.poll(lambda: "Builtin gangs are placed" in operator.tail(), "the operator to find out")
    await world.apply(job("seen", role(replicas=2, gpus=8)))
    await world.until_phase("seen", "Running")
    assert placed(world, "seen") == "GangPlaced" and pins(world, "seen") == [True, True]


async def test_pods_of_namespaces_that_are_not_served_take_room(limited: World) -> None:
    world = limited
    see_the_cluster(world)
    (node,) = await world.add_nodes(1)
    taken = {"limits": {"nvidia.com/gpu": "1"}}
    container = {"name": "c", "image": BUSYBOX, "resources": taken}
    meta = {"name": world.namespace, "namespace": "default"}
    stranger = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "spec": {"nodeName": node, "containers": [container]},
    }
    world.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(stranger))
    try:
        await limited_operator(world)
        await world.apply(job("whole", role(replicas=1, gpus=8)))
        await world.until(lambda: placed(world, "whole") == "InsufficientCapacity", "the room to be counted")
        assert world.pods("whole") == []
    finally:
        world.cluster.kubectl("-n", "default", "delete", "pod", world.namespace, "--wait=false")
    await world.until_phase("whole", "Running")
    assert placed(world, "whole") == "GangPlaced"
