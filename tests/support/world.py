"""A namespace of a real cluster, its objects mirrored from watches, and the hands of users, kubelets and operators.

Nothing here sleeps: a test waits for a condition over the mirror and is woken by the event that makes it true.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from support.history import History
from support.operator import OperatorProcess
from support.shipped import (
    CLUSTER_ROLE_BINDINGS,
    account_kubeconfig,
    apply_cluster_role,
    bind_account,
    cluster_binding,
)
from support.yard import Cluster
from trainyard.kube.client import Client, Page
from trainyard.kube.errors import ApiError, Gone, KubeError, NotFound, ServerError, Unreachable
from trainyard.kube.resources import (
    CONFIG_MAPS,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    RESOURCE_QUOTAS,
    SERVICES,
    TRAINING_JOBS,
    Resource,
)

Object = dict[str, Any]
MIRRORED = (TRAINING_JOBS, PODS, CONFIG_MAPS, SERVICES, PERSISTENT_VOLUME_CLAIMS, RESOURCE_QUOTAS)
TEST_LABEL = "test.trainyard.dev/world"
RECONNECT_SECONDS = 0.2
CLOSE_SECONDS = 30.0
"""For clearing away all that a world has made; a server that answers needs a fraction of it."""
ALIVE = "kwok.trainyard.dev/alive"
"""Label of fake nodes whose kubelet is played."""


class World:
    """One test's part of a cluster: its own namespace, its own fake nodes, its own operators."""

    def __init__(self, cluster: Cluster, client: Client, namespace: str, folder: Path) -> None:
        self.cluster = cluster
        self.client = client
        self.namespace = namespace
        self.folder = folder
        self.history = History()
        self.operators: list[OperatorProcess] = []
        self.nodes: list[str] = []
        self.volumes: list[str] = []
        self._account = ""
        self._mirror: dict[tuple[str, str], Object] = {}
        self._heard: dict[str, int] = {}
        """By kind: the newest version that a watch has told of."""
        self._changed = asyncio.Condition()
        self._watches: list[asyncio.Task[None]] = []

    # Life

    async def open(self) -> None:
        await self.client.create(
            NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        )
        for resource in MIRRORED:
            page = await self.client.list(resource, self.namespace)
            self._watches.append(asyncio.create_task(self._follow(resource, page.resource_version)))

    async def close(self) -> None:
        """First all that acts on the namespace, then the namespace."""
        for operator in self.operators:
            if operator.running:
                operator.thaw()
                await operator.kill()
        for task in self._watches:
            task.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        await self._sweep()

    async def _sweep(self) -> None:
        """A server that is dead for good costs the suite this bound once, not the client's patience for each object."""
        left = [(CLUSTER_ROLE_BINDINGS, cluster_binding(self.namespace))] if self._account else []
        left += [(NODES, node) for node in self.nodes]
        left += [(PERSISTENT_VOLUMES, volume) for volume in self.volumes]
        left += [(NAMESPACES, self.namespace)]
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                while left:
                    with contextlib.suppress(ApiError):
                        await self._delete(*left[0], None)
                    left.pop(0)
        except (TimeoutError, Unreachable) as error:
            why = str(error) or f"not done within {CLOSE_SECONDS:.0f} s"
            names = ", ".join(f"{resource.plural}/{name}" for resource, name in left)
            print(f"{self.namespace} is not cleared away, for {self.cluster.name}'s API server is no help: {why}")
            print(f"left there: {names}")

    async def _follow(self, resource: Resource, version: str) -> None:
        """Watch for ever, over outages of the API server too."""
        while True:
            try:
                async for event in self.client.watch(resource, self.namespace, resource_version=version):
                    version = event.object["metadata"]["resourceVersion"]
                    if event.type != "BOOKMARK":
                        await self._note(event.type, resource, event.object)
            except Gone:
                with contextlib.suppress(KubeError):
                    version = await self._catch_up(resource)
            except KubeError:
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _catch_up(self, resource: Resource) -> str:
        """What happened while nothing could be seen, told as if it had been: a restarted API server remembers no
        events. What vanished counts as gone since it was seen last, so a gap never makes an innocent look guilty."""
        if resource is PODS:
            self.history.blind = True
        page = await self.client.list(resource, self.namespace)
        there = {obj["metadata"]["name"]: {"kind": resource.kind, **obj} for obj in page.items}
        for known in self.all(resource.kind):
            now = there.get(known["metadata"]["name"])
            if now is None or now["metadata"]["uid"] != known["metadata"]["uid"]:
                await self._note("DELETED", resource, known)
        for name, obj in there.items():
            before = self.get(resource.kind, name)
            if before is None:
                await self._note("ADDED", resource, obj)
            elif before["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
                await self._note("MODIFIED", resource, obj)
        return page.resource_version

    async def _note(self, type_: str, resource: Resource, obj: Object) -> None:
        key = (resource.kind, obj["metadata"]["name"])
        async with self._changed:
            self.history.add(type_, resource.kind, obj)
            version = int(obj["metadata"]["resourceVersion"])
            self._heard[resource.kind] = max(version, self._heard.get(resource.kind, 0))
            if type_ == "DELETED":
                self._mirror.pop(key, None)
            else:
                self._mirror[key] = obj
            self._changed.notify_all()

    # Looking

    def all(self, kind: str) -> list[Object]:
        return [obj for (k, _), obj in sorted(self._mirror.items()) if k == kind]

    def get(self, kind: str, name: str) -> Object | None:
        return self._mirror.get((kind, name))

    def job(self, name: str) -> Object:
        return self._mirror.get(("TrainingJob", name)) or {}

    def status(self, name: str) -> Object:
        return self.job(name).get("status") or {}

    def phase(self, name: str) -> str:
        return str(self.status(name).get("phase", ""))

    def condition(self, name: str, kind: str) -> Object:
        return next((c for c in self.status(name).get("conditions", []) if c["type"] == kind), {})

    def pods(self, job: str, attempt: int | None = None) -> list[Object]:
        """Pods of a job by label, in rank order."""
        labels = {"trainyard.dev/job": job}
        if attempt is not None:
            labels["trainyard.dev/attempt"] = str(attempt)
        found = [p for p in self.all("Pod") if labels.items() <= (p["metadata"].get("labels") or {}).items()]
        return sorted(found, key=lambda p: int(p["metadata"]["labels"]["trainyard.dev/rank"]))

    def live(self, job: str) -> list[Object]:
        return [p for p in self.pods(job) if p["status"].get("phase") not in ("Succeeded", "Failed")]

    async def until(self, true: Callable[[], Any], what: str, seconds: float = 60.0) -> None:
        """Wait until the mirror makes it true; fails with what is known of the jobs and of the operator."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(true)
        except TimeoutError:
            raise AssertionError(f"not within {seconds:.0f} s: {what}\n{self.describe()}") from None

    async def until_phase(self, job: str, *phases: str, seconds: float = 60.0) -> None:
        await self.until(lambda: self.phase(job) in phases, f"{job} in phase {' or '.join(phases)}", seconds)
        await self.seen(PODS)

    async def seen(self, resource: Resource, seconds: float = 60.0) -> None:
        """The mirror knows what happened to these until now: kinds are watched apart, and a status that tells of a pod
        may be seen before it, as may the end of a pod before that of its job."""
        if not self._watches:
            return
        try:
            page = await self._listed(resource, seconds)
        except NotFound:  # the kind itself is gone
            return
        there = {p["metadata"]["uid"]: int(p["metadata"]["resourceVersion"]) for p in page.items}
        newest, listed = max(there.values(), default=0), int(page.resource_version)

        def told() -> bool:
            mirrored = {p["metadata"]["uid"]: int(p["metadata"]["resourceVersion"]) for p in self.all(resource.kind)}
            gone = [uid for uid, version in mirrored.items() if version <= listed and uid not in there]
            return self._heard.get(resource.kind, 0) >= newest and not gone

        await self.until(told, f"{resource.plural} at version {newest}", seconds)

    async def _listed(self, resource: Resource, seconds: float) -> Page:
        try:
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        return await self.client.list(resource, self.namespace)
                    except (Unreachable, ServerError):  # some tests kill the API server
                        await asyncio.sleep(RECONNECT_SECONDS)
        except TimeoutError:
            what = f"a list of {resource.plural} from the API server"
            raise AssertionError(f"not within {seconds:.0f} s: {what}\n{self.describe()}") from None

    async def poll(self, probe: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
        """The first true answer of something that no watch tells of, such as a log."""
        deadline = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < deadline:
            answer = await asyncio.to_thread(probe)
            if answer:
                return answer
            await self.quiet(0.3)
        raise AssertionError(f"not within {seconds:.0f} s: {what}\n{self.describe()}")

    async def quiet(self, seconds: float) -> list[str]:
        """What changes in the mirror over a while; for showing that nothing does."""
        before = len(self.history.happenings)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: False)
        return [f"{h.type} {h.kind} {h.name}" for h in self.history.happenings[before:]]

    def describe(self) -> str:
        jobs = [
            json.dumps({"name": j["metadata"]["name"], "status": j.get("status")}, indent=1)
            for j in self.all("TrainingJob")
        ]
        pods = [
            f"{p['metadata']['name']} {p['status'].get('phase')} on {p['spec'].get('nodeName')}"
            for p in self.all("Pod")
        ]
        logs = [f"--- {o.log}\n{o.tail()}" for o in self.operators]
        return "\n".join([*jobs, *pods, *logs])

    # Hands

    async def add_nodes(
        self, count: int, *, gpus: int = 8, prefix: str = "n", labels: dict[str, str] | None = None
    ) -> list[str]:
        """Fake nodes of this test alone, Ready when this returns."""
        names = [f"{self.namespace}-{prefix}{i}" for i in range(count)]
        for name in names:
            await self.client.create(NODES, fake_node(name, gpus, {TEST_LABEL: self.namespace, **(labels or {})}))
        self.nodes += names
        for name in names:
            await self._node_usable(name)
        return names

    async def _node_usable(self, name: str) -> None:
        page = await self.client.list(NODES, fields=f"metadata.name={name}")
        if any(_usable(node) for node in page.items):
            return
        async with asyncio.timeout(60):
            stream = self.client.watch(NODES, resource_version=page.resource_version, fields=f"metadata.name={name}")
            async with contextlib.aclosing(stream):
                async for event in stream:
                    if event.type != "BOOKMARK" and _usable(event.object):
                        return

    async def operator(self, name: str = "operator", **settings: str) -> OperatorProcess:
        """Start an operator that serves this namespace and places on this test's nodes only."""
        flags = {
            "namespaces": self.namespace,
            "lease-namespace": self.namespace,
            "owned-nodes": f"{TEST_LABEL}={self.namespace}",
            "log-format": "console",
            "pod-name": name,  # as in a pod: one that was killed and is started again takes over at once
            "pod-uid": self.namespace,
            **{key.replace("_", "-"): value for key, value in settings.items()},
        }
        kubeconfig = flags.pop("kubeconfig", "") or await self.shipped_account()
        process = OperatorProcess(kubeconfig, self.folder / f"{name}.log", **flags)
        self.operators.append(process)
        await process.start()
        return process

    async def shipped_account(self) -> str:
        """The kubeconfig of an account with the rights that the operator is installed with."""
        if not self._account:
            await asyncio.to_thread(apply_cluster_role, self.cluster)
            await bind_account(self.client, self.namespace)
            self._account = await asyncio.to_thread(account_kubeconfig, self.cluster, self.namespace, self.folder)
        return self._account

    async def add_shared_volume(self, claim: str) -> None:
        """A bound ReadWriteMany claim of this namespace, on a folder that all nodes of the machine share."""
        modes, size = ["ReadWriteMany"], {"storage": "1Gi"}
        name = f"{self.namespace}-{claim}"
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "capacity": size,
                "accessModes": modes,
                "claimRef": {"namespace": self.namespace, "name": claim},
                "hostPath": {"path": f"{self.folder}/{claim}", "type": "DirectoryOrCreate"},
                "persistentVolumeReclaimPolicy": "Retain",
            },
        }
        await self.client.create(PERSISTENT_VOLUMES, volume)
        self.volumes.append(name)
        spec = {"accessModes": modes, "resources": {"requests": size}, "volumeName": name, "storageClassName": ""}
        body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": claim}, "spec": spec}
        await self.apply(body)

    async def add_volumes(self, count: int) -> None:
        """Volumes that any claim of the storage class named after this namespace may take."""
        for i in range(count):
            name = f"{self.namespace}-free-{i}"
            spec = {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteMany"],
                "storageClassName": self.namespace,
                "hostPath": {"path": f"{self.folder}/free-{i}", "type": "DirectoryOrCreate"},
                "persistentVolumeReclaimPolicy": "Retain",
            }
            meta = {"name": name}
            body = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": meta, "spec": spec}
            await self.client.create(PERSISTENT_VOLUMES, body)
            self.volumes.append(name)

    async def apply(self, manifest: Object) -> Object:
        body = {**manifest, "metadata": {**manifest["metadata"], "namespace": self.namespace}}
        resource = TRAINING_JOBS if manifest["kind"] == "TrainingJob" else _by_kind(manifest["kind"])
        return await self.client.create(resource, body)

    def kubectl(self, *arguments: str, documents: Sequence[Object] = ()) -> str:
        """What kubectl says in this namespace; it must succeed. Blocks: call it in a thread."""
        stdin = yaml.safe_dump_all(documents) if documents else None
        return self.cluster.kubectl("--namespace", self.namespace, *arguments, stdin=stdin).stdout

    async def patch_job(self, name: str, spec: Object) -> Object:
        return await self.client.patch(TRAINING_JOBS, name, {"spec": spec}, self.namespace)

    async def delete_job(self, name: str, propagation: str = "Background") -> None:
        await self._delete(TRAINING_JOBS, name, self.namespace, propagation)

    async def delete_pod(self, name: str) -> None:
        """As a person does it."""
        pod = self._mirror[("Pod", name)]
        self.history.meddled.add(pod["metadata"]["uid"])
        await self._delete(PODS, name, self.namespace)

    async def annotate(self, pod: str, **annotations: str) -> None:
        """Tell the fake kubelet how this pod behaves from now on (`exit_code="1"`)."""
        keys = {f"kwok.trainyard.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}
        await self.client.patch(PODS, pod, {"metadata": {"annotations": keys}}, self.namespace)

    async def set_quota(self, name: str, many: int, key: str = "pods") -> None:
        """Allow this namespace so many pods (fewer than 1000: they would read `1k`); returns once admission knows."""
        spec = {"hard": {key: str(many)}}
        try:
            await self.client.patch(RESOURCE_QUOTAS, name, {"spec": spec}, self.namespace)
        except NotFound:
            meta = {"name": name}
            await self.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": spec})
        await self.until(lambda: self._quota_holds(name, many, key), f"quota {name} to be counted")

    def _quota_holds(self, name: str, many: int, key: str) -> bool:
        status = (self.get("ResourceQuota", name) or {}).get("status") or {}
        return bool((status.get("hard") or {}).get(key) == str(many) and key in (status.get("used") or {}))

    async def delete_config_map(self, name: str) -> None:
        await self._delete(CONFIG_MAPS, name, self.namespace)

    async def poison_status(self, job: str, status: Object) -> None:
        """Write into a job's status what the operator never would."""
        await self.client.patch(TRAINING_JOBS, job, {"status": status}, self.namespace, subresource="status")

    async def set_pod_status(self, pod: str, status: Object) -> None:
        """As its kubelet would."""
        await self.client.patch(PODS, pod, {"status": status}, self.namespace, subresource="status")

    async def set_node(self, name: str, **spec: Any) -> None:
        """Cordon it, taint it."""
        await self.client.patch(NODES, name, {"spec": spec})

    async def silence_node(self, name: str) -> None:
        """Its kubelet dies: no heartbeat, no word of its pods, which stay where they are until it is back."""
        for pod in self.all("Pod"):
            if pod["spec"].get("nodeName") == name:
                self.history.meddled.add(pod["metadata"]["uid"])
        await self.client.patch(NODES, name, {"metadata": {"labels": {ALIVE: "false"}}})

    async def revive_node(self, name: str) -> None:
        await self.client.patch(NODES, name, {"metadata": {"labels": {ALIVE: "true"}}})

    async def finish_all(self, job: str, code: int = 0) -> None:
        """All trainers end; pods that the operator takes away meanwhile need not be told."""
        for pod in self.live(job):
            with contextlib.suppress(NotFound):
                await self.annotate(pod["metadata"]["name"], exit_code=str(code))

    async def _delete(
        self, resource: Resource, name: str, namespace: str | None, propagation: str = "Background"
    ) -> None:
        try:
            found = await self.client.get(resource, name, namespace)
        except NotFound:
            return
        await self.client.delete(
            resource,
            name,
            namespace,
            uid=found["metadata"]["uid"],
            propagation_policy=propagation,  # type: ignore[arg-type]
        )


def _by_kind(kind: str) -> Resource:
    from trainyard.kube import resources

    known = [r for r in vars(resources).values() if isinstance(r, Resource)]
    return next(r for r in known if r.kind == kind)


def _usable(node: Object) -> bool:
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", []))
    return ready and not any(t["key"].startswith("node.kubernetes.io/") for t in node["spec"].get("taints") or [])


def fake_node(name: str, gpus: int, labels: dict[str, str]) -> Object:
    """A node that KWOK plays; a toleration-free stranger to every other test by its label."""
    resources = {"cpu": "96", "memory": "1Ti", "ephemeral-storage": "1Ti", "pods": "110"}
    if gpus:
        resources |= {"nvidia.com/gpu": str(gpus), "rdma/hca_shared_devices_a": "8"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "type": "kwok",
                ALIVE: "true",
                **labels,
            },
        },
        "status": {"capacity": resources, "allocatable": resources},
    }
