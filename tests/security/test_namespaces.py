"""Does a job run in a guarded namespace or say why not: pod-security levels with quotas, limits, network policies?

No program of the test cluster enforces network policies: what is checked is that the example's selectors mean the gang.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from security.pods import GOOD, GOOD_POD
from security.test_pod_security import enforce
from support.manifests import job, role
from support.world import World
from support.yard import ROOT

pytestmark = pytest.mark.apiserver

Object = dict[str, Any]
LEVELS = ("baseline", "restricted")
ASKS = {"cpu": "2", "memory": "1Gi"}


def well_behaved(resources: Object | None = None, **fields: Any) -> Object:
    """A role that both levels admit."""
    container = {"securityContext": GOOD, **({"resources": resources} if resources else {})}
    return role(
        gpus=1, replicas=2, pod={"securityContext": {**GOOD_POD, "runAsUser": 1000}}, container=container, **fields
    )


async def guarded(world: World, level: str, *objects: Object) -> None:
    """The namespace enforces the level and has these objects; an operator serves it."""
    await world.add_nodes(1)
    await enforce(world, level)
    world.kubectl("apply", "-f", "-", documents=objects)
    await world.operator()


async def why(world: World, name: str, reason: str) -> str:
    """What the job says it waits for, once that is the reason."""
    await world.until(lambda: world.status(name).get("reason") == reason, f"{name} to say {reason}")
    return str(world.condition(name, "Placed")["message"])


async def refused_by_level(world: World, level: str) -> None:
    """A job that the level does not admit says so in the API server's words."""
    bad = role(gpus=1, pod={"hostNetwork": True}, container={"resources": {"limits": ASKS}})
    await world.apply(job("bad", bad))
    message = await why(world, "bad", "PodRefused")
    assert f'violates PodSecurity "{level}:' in message and "hostNetwork=true" in message
    await world.delete_job("bad")


@pytest.mark.parametrize("level", LEVELS)
async def test_under_a_quota(world: World, level: str) -> None:
    hard = {"limits.cpu": "4", "limits.memory": "2Gi", "requests.nvidia.com/gpu": "8"}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"}, "spec": {"hard": hard}}
    await guarded(world, level, quota)
    counted = lambda: (world.get("ResourceQuota", "team") or {}).get("status", {}).get("used")  # noqa: E731
    await world.until(counted, "the quota to be counted")
    await refused_by_level(world, level)
    await world.apply(job("says-nothing", well_behaved()))
    assert "failed quota: team: must specify limits.cpu for: trainer" in await why(world, "says-nothing", "PodRefused")
    await world.apply(job("fits", well_behaved({"limits": ASKS})))
    await world.until_phase("fits", "Running")
    await world.apply(job("more", well_behaved({"limits": ASKS})))
    assert "team" in await why(world, "more", "QuotaExceeded")


@pytest.mark.parametrize("level", LEVELS)
async def test_under_a_limit_range(world: World, level: str) -> None:
    limits = [{"type": "Container", "default": ASKS, "defaultRequest": ASKS, "max": {"cpu": "4", "memory": "4Gi"}}]
    await guarded(
        world, level, {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l"}, "spec": {"limits": limits}}
    )
    await refused_by_level(world, level)
    await world.apply(job("by-default", well_behaved()))
    await world.until_phase("by-default", "Running")
    given = world.pods("by-default")[0]["spec"]["containers"][0]["resources"]
    assert given["limits"]["cpu"] == "2" and given["limits"]["nvidia.com/gpu"] == "1"
    await world.apply(job("more", well_behaved({"limits": {"cpu": "8", "memory": "1Gi"}})))
    assert "maximum cpu usage per Container is 4, but limit is 8" in await why(world, "more", "PodRefused")


@pytest.mark.parametrize("level", LEVELS)
async def test_under_network_policies(world: World, level: str) -> None:
    deny = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    everything = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "deny"},
        "spec": deny,
    }
    allow = yaml.safe_load((ROOT / "manifests" / "examples" / "network-policy.yaml").read_text(encoding="utf-8"))
    await guarded(world, level, everything, allow)
    await refused_by_level(world, level)
    await world.apply(job("runs", well_behaved()))
    await world.until_phase("runs", "Running")
    (peers,) = allow["spec"]["ingress"][0]["from"]
    (expression,) = allow["spec"]["podSelector"]["matchExpressions"]
    assert peers["podSelector"] == allow["spec"]["podSelector"] == allow["spec"]["egress"][0]["to"][0]["podSelector"]
    selected = world.kubectl("get", "pods", "-l", expression["key"], "-o", "name").split()
    assert len(selected) == 2 == len(world.pods("runs"))
