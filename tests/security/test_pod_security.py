"""Does the operator judge pods by the pod-security levels exactly as the API server does?"""

from __future__ import annotations

import pytest

from security.pods import CASES, Object, pod
from support.manifests import BUSYBOX, job, role
from support.world import World
from trainyard.kube.errors import ApiError, Forbidden
from trainyard.kube.resources import NAMESPACES, PODS
from trainyard.launch.pod_security import PodSecurity, violations

apiserver = pytest.mark.apiserver


@pytest.mark.parametrize(
    ("found", "level", "words"),
    [
        (pod(hostNetwork=True, hostPID=True), "baseline", ("hostNetwork: true", "hostPID: true")),
        (pod({"privileged": True}), "baseline", ("container trainer: securityContext.privileged: true",)),
        (pod(volumes=[{"name": "v", "nfs": {}}]), "restricted", ("volume v: nfs",)),
        (pod(volumes=[{"name": "v", "hostPath": {}}]), "restricted", ("volume v: hostPath",)),
        (pod({"runAsUser": 0}), "restricted", ("container trainer: securityContext.runAsUser: 0",)),
        (CASES["bare"], "baseline", ()),
    ],
)
def test_what_is_broken_is_named(found: Object, level: str, words: tuple[str, ...]) -> None:
    assert violations(found, PodSecurity(level)) == words


@pytest.mark.parametrize("level", [PodSecurity.NAMESPACE, PodSecurity.PRIVILEGED])
def test_these_levels_forbid_nothing(level: PodSecurity) -> None:
    assert [name for name, case in CASES.items() if violations(case, level)] == []


async def enforce(world: World, level: str) -> None:
    labels = {"pod-security.kubernetes.io/enforce": level}
    await world.client.patch(NAMESPACES, world.namespace, {"metadata": {"labels": labels}})
    bad = CASES["bare" if level == "restricted" else "host network"]
    while not await refused(world, bad):  # admission learns of labels by a watch of its own
        await world.quiet(0.05)


async def refused(world: World, case: Object) -> str:
    body = {**case, "metadata": {**case["metadata"], "namespace": world.namespace}}
    try:
        await world.client.create(PODS, body, dry_run=True)
    except Forbidden as error:
        assert "violates PodSecurity" in error.message, error.message
        return error.message
    except ApiError as error:
        raise AssertionError(f"the API server will not judge this pod: {error.message}") from error
    return ""


@apiserver
@pytest.mark.parametrize("level", ["baseline", "restricted"])
async def test_our_judgement_is_the_api_servers(world: World, level: str) -> None:
    await enforce(world, level)
    wrong = []
    for name, case in CASES.items():
        ours, theirs = violations(case, PodSecurity(level)), await refused(world, case)
        if bool(ours) != bool(theirs):
            wrong.append(f"{name}: we say {ours or 'good'}, the API server says {theirs or 'good'}")
    assert wrong == []


@apiserver
async def test_a_job_beyond_the_operators_level_says_so_and_makes_nothing(world: World) -> None:
    await world.add_nodes(1)
    await world.operator(pod_security="baseline")
    await world.apply(job("deep", role(gpus=8, replicas=1, pod={"hostPID": True})))
    await world.until(lambda: world.status("deep").get("reason") == "PodSecurity", "the reason to be told")
    message = world.condition("deep", "Placed")["message"]
    assert "role worker's pods go beyond pod security baseline" in message and "hostPID: true" in message
    assert world.all("Pod") == [] and world.all("Service") == []
    await world.patch_job("deep", {"suspend": True})
    await world.until_phase("deep", "Suspended")
    template = {"spec": {"containers": [{"name": "trainer", "image": BUSYBOX, "command": ["sleep", "1000"]}]}}
    mended = [{"name": "worker", "replicas": 1, "gpus": 8, "template": template}]
    await world.patch_job("deep", {"suspend": False, "roles": mended})
    await world.until_phase("deep", "Running")
