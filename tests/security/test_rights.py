"""Are the chart's rights enough for whole lives of jobs, is each of them needed, and does none reach a Secret?"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from rightslib.cli import justified, key
from rightslib.rights import Account, Right, granted, superfluous, used
from security.chart import of_kind, render
from support.manifests import job, role
from support.operator import OperatorProcess
from support.world import TEST_LABEL, World
from support.worlds import judged_world
from support.yard import Cluster
from yardlib.paths import cluster_dir
from yardlib.pki import Authority

pytestmark = pytest.mark.apiserver

Object = dict[str, Any]
INSTALLED = (
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
)
QUICK = {"restartGracePeriodSeconds": 1, "backoff": {"initialSeconds": 1}}
FORMS: dict[str, Object] = {
    "everywhere": {},
    "namespaces": {"watchNamespaces": ["HERE"]},
    "nothing of the cluster": {"watchNamespaces": ["HERE"], "rbac": {"clusterReads": False}},
    "metrics by token": {"metrics": {"auth": "kubernetes", "tls": {"secretName": "tls"}}},
}
# Kinds that the operator can do without. It asks for them all the same, now and then: what is granted later is used.
OPTIONAL = (
    "namespaces",
    "nodes",
    "persistentvolumes",
    "pods",
    "priorityclasses.scheduling.k8s.io",
    "storageclasses.storage.k8s.io",
)
DENIED: dict[str, set[Right]] = {"nothing of the cluster": {Right(resource, "list") for resource in OPTIONAL}}


class Release:
    """The chart's roles in one of its forms, and the operator as their account."""

    def __init__(self, world: World, values: Object) -> None:
        self.world = world
        values = json.loads(json.dumps(values).replace("HERE", world.namespace))
        self.watched: list[str] = values.get("watchNamespaces", [])
        self.reviews = values.get("metrics", {}).get("auth") == "kubernetes"
        rendered = render(world.namespace, world.namespace, values)
        self.objects = of_kind(rendered, *INSTALLED)
        (account,) = of_kind(rendered, "ServiceAccount")
        self.account = Account(world.namespace, account["metadata"]["name"])

    async def start(self) -> OperatorProcess:
        kubectl = self.world.cluster.kubectl
        kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(self.objects))
        self.token = kubectl("-n", self.account.namespace, "create", "token", self.account.name).stdout.strip()
        config = json.loads(kubectl("config", "view", "--minify", "--raw", "-o", "json").stdout)
        config["users"][0]["user"] = {"token": self.token}
        path = self.world.folder / "operator.kubeconfig"
        path.write_text(json.dumps(config))
        flags = {
            "namespaces": ",".join(self.watched),
            "lease-namespace": self.world.namespace,
            "lease-name": self.account.name,
            "owned-nodes": f"{TEST_LABEL}={self.world.namespace}",
            "settle-time": "1s",
            **(self._certificate() if self.reviews else {}),
        }
        operator = OperatorProcess(str(path), self.world.folder / "operator.log", **flags)
        self.world.operators.append(operator)
        await operator.start()
        return operator

    def _certificate(self) -> dict[str, str]:
        authority = Authority(self.world.folder / "pki")
        authority.create()
        identity = authority.issue("metrics", "metrics", names=["IP:127.0.0.1"])
        files = {"metrics-tls-cert": str(identity.certificate), "metrics-tls-key": str(identity.key)}
        return {**files, "metrics-auth": "kubernetes"}

    async def scrape(self, operator: OperatorProcess) -> int:
        """What somebody without the right to read metrics is answered."""
        url, headers = f"https://127.0.0.1:{operator.metrics_port}/metrics", {"Authorization": f"Bearer {self.token}"}
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers, ssl=False) as answer:
            return answer.status

    def stop(self) -> None:
        self.world.cluster.kubectl(
            "delete", "--ignore-not-found", "--wait=false", "-f", "-", stdin=yaml.safe_dump_all(self.objects)
        )

    def may(self) -> list[Object]:
        """Every rule that holds for the account in its own namespace, by the API server's word."""
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview"}
        body = json.dumps({**review, "spec": {"namespace": self.world.namespace}})
        path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
        told = self.world.cluster.kubectl("create", f"--as={self.account.user}", "--raw", path, "-f", "-", stdin=body)
        rules: list[Object] = json.loads(told.stdout)["status"]["resourceRules"]
        return rules


@pytest.fixture
async def release(request: pytest.FixtureRequest, private: Cluster, tmp_path: Path) -> AsyncIterator[Release]:
    async with judged_world(private, tmp_path) as world:
        made = Release(world, FORMS[request.param])
        yield made
        made.stop()


async def fail_once(world: World, name: str, attempt: int) -> None:
    """Let the first rank of this attempt fail, once all run."""
    await world.until(lambda: world.phase(name) == "Running" and world.status(name)["attempt"] == attempt, "all to run")
    await world.annotate(world.pods(name, attempt)[0]["metadata"]["name"], exit_code="1")
    await world.until(lambda: world.status(name)["attempt"] == attempt + 1, "the attempt to move")


async def live_whole_lives(world: World) -> None:
    """Started, failed twice, suspended, resumed, finished, deleted by its time to live; another waits on its claim."""
    claim = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    await world.apply(job("claims", checkpoint={"volume": {"claimTemplate": claim}}))
    await world.apply(job("lives", role(replicas=2, gpus=8), ttlSecondsAfterFinished=1, failurePolicy=QUICK))
    await fail_once(world, "lives", 0)
    await fail_once(world, "lives", 1)
    await world.until_phase("lives", "Running")
    await world.patch_job("lives", {"suspend": True})
    await world.until_phase("lives", "Suspended")
    await world.patch_job("lives", {"suspend": False})
    await world.until_phase("lives", "Running")
    await world.finish_all("lives")
    await world.until(lambda: world.job("lives") == {}, "the job to be deleted after its time to live")


@pytest.mark.parametrize(("release", "form"), [(form, form) for form in FORMS], indirect=["release"])
async def test_whole_lives_need_these_rights_and_no_others(release: Release, form: str) -> None:
    world = release.world
    await world.add_nodes(2)
    operator = await release.start()
    await live_whole_lives(world)
    if release.reviews:
        assert await release.scrape(operator) == 403
    assert await operator.stop() == 0
    log = cluster_dir(world.cluster.name) / "control" / "audit.log"
    use = used(log, release.account.name, [release.account.namespace])
    assert set(use.denied) == DENIED.get(form, set())
    reasons = justified()
    grants = granted(release.objects, release.account)
    unused = superfluous(grants, use.allowed)
    assert [str(right) for right in unused if key(right) not in reasons] == []


@pytest.mark.parametrize("release", FORMS, indirect=True)
async def test_no_secret_can_be_read_and_nothing_of_the_cluster_be_changed(release: Release) -> None:
    release.world.cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(release.objects))
    listed = await release.world.poll(
        lambda: [rule for rule in release.may() if "trainingjobs" in rule["resources"]] and release.may(),
        "the rules to be known",
    )
    forbidden = {"secrets", "serviceaccounts/token", "pods/exec", "pods/eviction", "nodes", "persistentvolumes", "*"}
    for rule in listed:
        changes = set(rule["verbs"]) - {"get", "list", "watch"}
        assert not changes or not forbidden & set(rule["resources"]), rule
        assert not {"secrets", "*"} & set(rule["resources"]) and "*" not in rule["verbs"], rule


def test_rights_are_told_from_roles_and_logs(tmp_path: Path) -> None:
    account = Account("home", "operator")
    rule = {"apiGroups": ["trainyard.dev"], "resources": ["trainingjobs/status"], "verbs": ["patch", "get"]}
    here, subject = {"name": "r", "namespace": "a"}, {"kind": "ServiceAccount", "name": "operator", "namespace": "home"}
    bound = {"kind": "RoleBinding", "metadata": here, "roleRef": {"kind": "Role", "name": "r"}, "subjects": [subject]}
    grants = granted([{"kind": "Role", "metadata": here, "rules": [rule]}, bound], account)
    status = "trainingjobs.trainyard.dev/status"
    assert grants == {Right(status, "patch", "a"), Right(status, "get", "a")}
    what = {"apiGroup": "trainyard.dev", "resource": "trainingjobs", "subresource": "status", "namespace": "a"}
    event = {"auditID": "1", "verb": "patch", "user": {"username": account.user}, "objectRef": what}
    refused = {**event, "auditID": "2", "annotations": {"authorization.k8s.io/decision": "forbid"}}
    other = {**event, "auditID": "3", "user": {"username": "system:serviceaccount:b:operator"}}
    log = tmp_path / "audit.log"
    log.write_text("".join(json.dumps(one) + "\n" for one in (event, event, refused, other)))
    use = used(log, "operator", ["home"])
    assert use.allowed == {Right(status, "patch", "a"): 1} == use.denied
    assert superfluous(grants, use.allowed) == [Right(status, "get", "a")]
