"""Does the chart's admission policy let an author have through a job only what the author may have alone?"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import yaml

from security.chart import of_kind, render
from security.matrix import DEEDS, PEOPLE, Deed, Person
from support.world import World
from support.yard import Cluster
from trainyard.kube.client import Client
from trainyard.kube.credentials import Credentials, from_kubeconfig, static
from trainyard.kube.errors import ApiError
from trainyard.kube.resources import TRAINING_JOBS

pytestmark = pytest.mark.apiserver

Object = dict[str, Any]
PLAIN = DEEDS[0]
BY_NAME = {person.name: person for person in PEOPLE}
RBAC = "rbac.authorization.k8s.io"


class Policed:
    """A namespace under the policy, and its people."""

    def __init__(self, world: World, admin: Credentials) -> None:
        self.world = world
        self._admin = admin
        self.objects: list[Object] = []

    @property
    def name(self) -> str:
        return self.world.namespace

    @contextlib.asynccontextmanager
    async def client(self, person: Person) -> AsyncIterator[Client]:
        """Requests as this person."""
        headers = {**self._admin.headers, "Impersonate-User": f"{person.name}@{self.name}"}
        async with Client(static(replace(self._admin, headers=headers))) as client:
            yield client

    async def words(self, person: Person, job: Object) -> str:
        """What the API server says against this person's creating this job; empty where it is content."""
        async with self.client(person) as client:
            try:
                await client.create(TRAINING_JOBS, self.placed(job), dry_run=True)
            except ApiError as refused:
                return refused.message
        return ""

    async def change(self, person: Person, name: str, patch: Object) -> str:
        async with self.client(person) as client:
            try:
                await client.patch(TRAINING_JOBS, name, patch, self.name)
            except ApiError as refused:
                return refused.message
        return ""

    def placed(self, job: Object) -> Object:
        return {**job, "metadata": {**job["metadata"], "namespace": self.name}}

    async def install(self, **policy: Any) -> None:
        """The policy's objects with a namespace's people; returns once it refuses what it should."""
        values = {"watchNamespaces": [self.name], "admissionPolicy": policy}
        rendered = render(self.name, self.name, values)
        wanted = of_kind(rendered, "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
        wanted += [one for one in of_kind(rendered, "ClusterRole") if one["metadata"]["name"].endswith("-powers")]
        self.objects = [*wanted, *(one for person in PEOPLE for one in self.rights_of(person))]
        self.world.cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(self.objects))
        # Not any refusal: before the roles are known everybody is refused, and the policy comes by a watch of its own.
        while "may not create pods" not in await self.words(BY_NAME["submitter"], PLAIN.job("probe")):
            await self.world.quiet(0.2)
        while await self.words(PEOPLE[-1], PLAIN.job("probe")):
            await self.world.quiet(0.2)

    def rights_of(self, person: Person) -> list[Object]:
        meta = {"namespace": self.name}
        subject = {"kind": "User", "name": f"{person.name}@{self.name}", "apiGroup": RBAC}
        roles = [("ClusterRole", name.replace("POWERS", f"{self.name}-powers")) for name in person.cluster_roles]
        out: list[Object] = []
        if person.rules:
            own = {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": {**meta, "name": person.name.lower()}}
            out.append({**own, "rules": list(person.rules)})
            roles.append(("Role", person.name.lower()))
        for kind, name in roles:
            binding = {"name": f"{person.name}-{kind}-{name}".lower(), **meta}
            reference = {"apiGroup": RBAC, "kind": kind, "name": name}
            out.append(
                {
                    "apiVersion": f"{RBAC}/v1",
                    "kind": "RoleBinding",
                    "metadata": binding,
                    "roleRef": reference,
                    "subjects": [subject],
                }
            )
        return out

    def uninstall(self) -> None:
        if self.objects:
            self.world.cluster.kubectl(
                "delete", "--ignore-not-found", "--wait=false", "-f", "-", stdin=yaml.safe_dump_all(self.objects)
            )


@pytest.fixture(scope="session")
def cluster(private: Cluster) -> Cluster:
    """A policy that is installed for good would refuse what these tests allow."""
    return private


@pytest.fixture
async def policed(world: World) -> AsyncIterator[Policed]:
    """Nothing is installed until the test says with which values."""
    made = Policed(world, await from_kubeconfig(world.cluster.kubeconfig, None).current())
    try:
        yield made
    finally:
        made.uninstall()


async def wrong_answers(policed: Policed, person: Person, deed: Deed) -> list[str]:
    said, wanted = await policed.words(person, deed.job("matrix")), deed.words_for(person)
    if (wanted in said and bool(said)) if wanted else not said:
        return []
    return [f"{person.name}, {deed.deed}: {said or 'allowed'!r}, not {wanted or 'allowed'!r}"]


async def test_everybody_gets_what_the_matrix_says_in_its_words(policed: Policed) -> None:
    await policed.install()
    wrong = [line for person in PEOPLE for deed in DEEDS for line in await wrong_answers(policed, person, deed)]
    assert wrong == []


async def test_the_api_server_finds_no_fault_in_the_policys_types(policed: Policed) -> None:
    await policed.install(priorityClasses=True, runtimeClasses=True)

    def checked() -> bool:
        told = policed.world.cluster.kubectl("get", "validatingadmissionpolicy", f"{policed.name}-jobs", "-o", "yaml")
        policy = yaml.safe_load(told.stdout)
        status = policy.get("status") or {}
        assert not (status.get("typeChecking") or {}).get("expressionWarnings"), status
        return bool(status.get("observedGeneration") == policy["metadata"]["generation"])

    await policed.world.poll(checked, "the policy's types to be checked")


async def test_changes_are_judged_by_who_makes_them_and_only_where_they_shape_pods(policed: Policed) -> None:
    await policed.install()
    submitter, editor = BY_NAME["submitter"], BY_NAME["editor"]
    await policed.world.apply(Deed("", frozenset(), pod={"hostPID": True}).job("host"))  # by an administrator
    await policed.world.apply(PLAIN.job("plain"))
    template = {"spec": {"containers": [{"name": "trainer", "image": "busybox:2"}], "hostPID": True}}
    roles = {"spec": {"roles": [{"name": "worker", "gpus": 1, "template": template}]}}
    bigger = {"spec": {"roles": [{**PLAIN.job("")["spec"]["roles"][0], "replicas": 3}]}}

    assert await policed.change(submitter, "plain", {"spec": {"suspend": True}}) == ""
    assert await policed.change(submitter, "plain", {"metadata": {"labels": {"team": "a"}}}) == ""
    assert "may not create pods" in await policed.change(submitter, "plain", bigger)
    assert await policed.change(editor, "plain", bigger) == ""
    assert "the verb use-host" in await policed.change(editor, "plain", roles)
    assert await policed.change(editor, "host", {"spec": {"suspend": True}}) == ""
    assert "the verb use-host" in await policed.change(editor, "host", roles)
    assert await policed.change(BY_NAME["trusted"], "host", roles) == ""


async def test_more_may_be_asked_for(policed: Policed) -> None:
    await policed.install(priorityClasses=True, runtimeClasses=True)
    high = Deed("", frozenset(), spec={"scheduling": {"priorityClassName": "high"}}).job("high")
    kata = Deed("", frozenset(), pod={"runtimeClassName": "kata"}).job("kata")
    assert "may not give jobs the priority class high: ask for the verb use" in await policed.words(
        BY_NAME["editor"], high
    )
    assert "may not run pods under the runtime class kata: ask" in await policed.words(BY_NAME["editor"], kata)
    assert await policed.words(BY_NAME["editor"], PLAIN.job("plain")) == ""
    assert await policed.words(BY_NAME["trusted"], high) == ""
    assert await policed.words(BY_NAME["trusted"], kata) == ""


async def test_less_may_be_asked_for(policed: Policed) -> None:
    await policed.install(powers=False, serviceAccounts=False)
    creator = BY_NAME["podCreator"]
    by_name = {deed.deed: deed for deed in DEEDS}
    for deed in ("a hostPath volume", "a privileged trainer", "a toleration of every taint", "another service account"):
        assert await policed.words(creator, by_name[deed].job("any")) == ""
    assert "system-node-critical" in await policed.words(creator, by_name["a priority class of the system"].job("any"))


async def test_the_capability_of_rdma_is_one_like_any_other(policed: Policed) -> None:
    await policed.install(capabilities=[])
    editor, words = BY_NAME["editor"], "or capabilities beyond the usual ones"

    async def said(job: Object | None, role: Object | None = None) -> str:
        return await policed.words(
            editor,
            Deed("", frozenset(), spec={"rdma": job} if job else {}, role={"rdma": role} if role else {}).job("x"),
        )

    assert words in await said({"resource": "rdma/hca"})
    assert words in await said(None, {"resource": "rdma/hca"})
    assert words in await said({"resource": "rdma/hca", "ipcLock": "Never"}, {"ipcLock": "Add"})
    assert await said({"resource": "rdma/hca", "ipcLock": "Never"}) == ""
    assert await said({"resource": "rdma/hca"}, {"ipcLock": "Never"}) == ""


async def test_a_job_may_name_several_service_accounts_where_all_may_be_used(policed: Policed) -> None:
    await policed.install()

    def naming(*names: str) -> Object:
        job = PLAIN.job("several")
        first = job["spec"]["roles"][0]
        job["spec"]["roles"] = [
            {**first, "name": f"r{i}", "template": {"spec": {**first["template"]["spec"], "serviceAccountName": name}}}
            for i, name in enumerate(names)
        ]
        return job

    creator, editor = BY_NAME["podCreator"], BY_NAME["editor"]
    assert await policed.words(creator, naming("trainer", "default", "trainer")) == ""
    assert "as service account builder or as trainer" in await policed.words(creator, naming("trainer", "builder"))
    assert await policed.words(editor, naming("a", "b", "c")) == ""


async def test_the_largest_job_is_judged_within_the_api_servers_limits(policed: Policed) -> None:
    await policed.install()
    containers = [
        {
            "name": f"c{i}",
            "image": "busybox:1",
            "ports": [{"containerPort": 1000 + p} for p in range(64)],
            "securityContext": {"capabilities": {"add": ["CHOWN"] * 20}},
        }
        for i in range(16)
    ]
    spec = {
        "containers": containers,
        "volumes": [{"name": f"v{i}", "emptyDir": {}} for i in range(60)],
        "tolerations": [{"key": f"example.com/taint-{i}", "operator": "Exists"} for i in range(60)],
        "serviceAccountName": "trainer",
    }
    job = PLAIN.job("largest")
    job["spec"]["roles"] = [{"name": f"role-{i}", "template": {"spec": spec}} for i in range(16)]
    assert await policed.words(BY_NAME["trusted"], job) == ""
    assert await policed.words(BY_NAME["podCreator"], job) == ""
