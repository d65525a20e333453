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


Words = tuple[str, ...]
ESCALATION = "securityContext.allowPrivilegeEscalation is not false"
DROPS = "securityContext.capabilities.drop lacks ALL"
SECCOMP = "container trainer: securityContext.seccompProfile is not RuntimeDefault or Localhost"
NON_ROOT = "container trainer: securityContext.runAsNonRoot is not true"
ELSEWHERE = "container trainer: a host in a probe or lifecycle hook"

BEYOND_BASELINE: dict[str, Words] = {
    "host network": ("hostNetwork: true",),
    "host pid": ("hostPID: true",),
    "host ipc": ("hostIPC: true",),
    "host port": ("container trainer: hostPort 80",),
    "host path": ("volume v: hostPath",),
    "privileged": ("container trainer: securityContext.privileged: true",),
    "privileged init": ("container before: securityContext.privileged: true",),
    "ipc lock": ("container trainer: capability IPC_LOCK",),
    "all capabilities": ("container trainer: capability ALL",),
    "seccomp unconfined pod": ("securityContext.seccompProfile: Unconfined",),
    "seccomp unconfined container": ("container trainer: securityContext.seccompProfile: Unconfined",),
    "seccomp mended by container": ("securityContext.seccompProfile: Unconfined",),
    "app armor unconfined": ("container trainer: securityContext.appArmorProfile: Unconfined",),
    "app armor of pod": ("securityContext.appArmorProfile: Unconfined",),
    "app armor by annotation": ("annotation container.apparmor.security.beta.kubernetes.io/trainer: unconfined",),
    "selinux type": ("container trainer: securityContext.seLinuxOptions",),
    "selinux user": ("securityContext.seLinuxOptions",),
    "selinux role": ("securityContext.seLinuxOptions",),
    "unsafe sysctl": ("securityContext.sysctls: kernel.msgmax",),
    "probe elsewhere": (ELSEWHERE,),
    "hook elsewhere": (ELSEWHERE,),
    "host process": (
        "hostNetwork: true",
        "securityContext.windowsOptions.hostProcess: true",
        "container trainer: securityContext.windowsOptions.hostProcess: true",
    ),
}
"""What `baseline` has against the cases; nothing where one is not named here."""

BEYOND_RESTRICTED: dict[str, Words] = {
    "bare": (f"container trainer: {ESCALATION}", f"container trainer: {DROPS}", SECCOMP, NON_ROOT),
    "nfs": ("volume v: nfs",),
    "privileged": (f"container trainer: {ESCALATION}",),
    "privileged init": (f"container before: {ESCALATION}", f"container before: {DROPS}"),
    "bare init": (f"container before: {ESCALATION}", f"container before: {DROPS}"),
    "capability of baseline": ("container trainer: capability CHOWN",),
    "drops too little": (f"container trainer: {DROPS}",),
    "drops nothing": (f"container trainer: {DROPS}",),
    "escalation": (f"container trainer: {ESCALATION}",),
    "escalation unsaid": (f"container trainer: {ESCALATION}",),
    "proc mount": ("container trainer: securityContext.procMount: Unmasked",),
    "seccomp unconfined pod": (SECCOMP,),
    "seccomp unconfined container": (SECCOMP,),
    "seccomp unsaid": (SECCOMP,),
    "root": ("container trainer: securityContext.runAsUser: 0",),
    "root pod": ("securityContext.runAsUser: 0",),
    "non-root unsaid": (NON_ROOT,),
    "non-root false": ("securityContext.runAsNonRoot: false", NON_ROOT),
    "non-root mended by container": ("securityContext.runAsNonRoot: false",),
    "non-root spoilt by container": (NON_ROOT,),
    "windows as anybody": (NON_ROOT,),
}
"""What `restricted` has against them besides."""


@pytest.mark.parametrize("name", CASES)
def test_what_is_broken_is_named_and_nothing_else(name: str) -> None:
    baseline = BEYOND_BASELINE.get(name, ())
    assert violations(CASES[name], PodSecurity.BASELINE) == baseline
    assert violations(CASES[name], PodSecurity.RESTRICTED) == baseline + BEYOND_RESTRICTED.get(name, ())


def test_every_verdict_is_about_a_case() -> None:
    assert [name for name in (*BEYOND_BASELINE, *BEYOND_RESTRICTED) if name not in CASES] == []


def test_all_that_is_broken_is_named_once() -> None:
    """The API server refuses to judge a proc mount outside of a user namespace, so it is no case."""
    found = pod({"procMount": "Unmasked"}, hostNetwork=True, hostPID=True)
    words = ("hostNetwork: true", "hostPID: true", "container trainer: securityContext.procMount: Unmasked")
    assert violations(found, PodSecurity.BASELINE) == violations(found, PodSecurity.RESTRICTED) == words


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
        if "error looking up service account" in error.message:  # the namespace is too young
            return ""
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
