"""Builders for the scheduler's tests: `make_cluster().racks(2, nodes=4)`, `make_gang("a").workers(8)`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from trainyard.api.types import Placement
from trainyard.model.cluster import (
    ClusterSnapshot,
    Decision,
    GangRequest,
    Grant,
    HeldDirectory,
    Refusal,
    Reservation,
    RoleRequest,
    SchedulingPolicy,
)
from trainyard.model.resources import resources
from trainyard.model.views import (
    ClaimView,
    ClassTerm,
    Key,
    NamespaceView,
    NodeTerms,
    NodeView,
    PriorityClassView,
    QuotaView,
    Resources,
    VolumeView,
)
from trainyard.scheduling import schedule

GPU = "nvidia.com/gpu"
BLOCK, RACK, HOST = "topology.trainyard.dev/block", "topology.trainyard.dev/rack", "kubernetes.io/hostname"
NOW = 1_000_000.0
POLICY = SchedulingPolicy()


def amounts(gpus: int = 0, cpu: str = "0", memory: str = "0", **more: int) -> Resources:
    """A vector of what is not zero."""
    raw: dict[str, str | int] = {GPU: gpus, "cpu": cpu, "memory": memory, **more}
    return tuple((name, value) for name, value in resources(raw) if value)


def node(name: str, gpus: int = 8, rack: str = "", block: str = "", pods: int = 110, **fields: Any) -> NodeView:
    """A healthy node with a hostname label; `labels` adds to it, `cpu` and `memory` change its size."""
    labels = {HOST: name, **({RACK: rack} if rack else {}), **({BLOCK: block} if block else {})}
    labels |= fields.pop("labels", {})
    allocatable = amounts(gpus, fields.pop("cpu", "96"), fields.pop("memory", "1Ti"), pods=pods)
    return NodeView(name=name, uid=f"uid-{name}", labels=labels, allocatable=allocatable, **fields)


@dataclass(frozen=True)
class Cluster:
    """A snapshot in the making; every method returns a changed copy."""

    snapshot: ClusterSnapshot = field(default_factory=lambda: ClusterSnapshot(nodes={}, usage={}))

    def nodes(self, *nodes: NodeView) -> Cluster:
        return self._with(nodes={**self.snapshot.nodes, **{n.name: n for n in nodes}})

    def racks(self, racks: int, nodes: int, gpus: int = 8, blocks: int = 1) -> Cluster:
        """`blocks` × `racks` × `nodes`, named `b1-r2-n3`."""
        return self.nodes(
            *(
                node(f"b{b}-r{r}-n{n}", gpus, f"r{r}", f"b{b}")
                for b in range(1, blocks + 1)
                for r in range(1, racks + 1)
                for n in range(1, nodes + 1)
            )
        )

    def change(self, name: str, **fields: Any) -> Cluster:
        return self.nodes(replace(self.snapshot.nodes[name], **fields))

    def used(self, name: str, gpus: int = 0, cpu: int = 0, pods: int = 1, **more: int) -> Cluster:
        """Pods are there already; `cpu` in thousandths."""
        before = dict(self.snapshot.usage.get(name, {}))
        for resource, amount in {GPU: gpus, "cpu": cpu, "pods": pods, **more}.items():
            before[resource] = before.get(resource, 0) + amount
        return self._with(usage={**self.snapshot.usage, name: before})

    def resident(self, name: str, cpu: int, pods: int = 1) -> Cluster:
        """Pods of DaemonSets are there: used, and for good."""
        held = {**self.snapshot.resident, name: {"cpu": cpu, "pods": pods}}
        return self.used(name, cpu=cpu, pods=pods)._with(resident=held)

    def reserved(self, name: str, gpus: int, job_uid: str = "uid-other", ports: tuple[int, ...] = ()) -> Cluster:
        promised = Reservation(job_uid, name, amounts(gpus), host_ports=ports)
        return self._with(reservations=(*self.snapshot.reservations, promised))

    def quota(
        self, name: str, hard: Mapping[str, int], used: Mapping[str, int] | None = None, *classes: ClassTerm
    ) -> Cluster:
        view = QuotaView(
            "team", name, tuple(sorted(hard.items())), tuple(sorted((used or {}).items())), classes=classes
        )
        return self._with(quotas={"team": (*self.snapshot.quotas.get("team", ()), view)})

    def claim(self, name: str, *modes: str, volume_nodes: NodeTerms | None = None, **fields: Any) -> Cluster:
        """A bound claim, unless told otherwise; `volume_nodes` are the places its volume can be reached from."""
        fields = {"phase": "Bound", "volume": f"pv-{name}", **fields}
        view = ClaimView("team", name, f"uid-{name}", access_modes=modes or ("ReadWriteMany",), **fields)
        volumes = dict(self.snapshot.volumes)
        if volume_nodes is not None:
            volumes[f"pv-{name}"] = VolumeView(f"pv-{name}", volume_nodes)
        return self._with(claims={**self.snapshot.claims, Key("team", name): view}, volumes=volumes)

    def priority(self, name: str, value: int, is_default: bool = False) -> Cluster:
        classes = {**self.snapshot.priority_classes, name: PriorityClassView(name, value, is_default)}
        return self._with(priority_classes=classes)

    def terminating(self, namespace: str = "team") -> Cluster:
        return self._with(namespaces={namespace: NamespaceView(namespace, terminating=True)})

    def directory(self, job: str, claim: str, directory: str, **fields: Any) -> Cluster:
        held = HeldDirectory("team", claim, directory, job, f"uid-{job}", **fields)
        return self._with(directories=(*self.snapshot.directories, held))

    def foreign(self, **pods: int) -> Cluster:
        return self._with(foreign=pods)

    def ports(self, name: str, *ports: int) -> Cluster:
        return self._with(host_ports={**self.snapshot.host_ports, name: frozenset(ports)})

    def binding(self, *jobs: str) -> Cluster:
        return self._with(binding=tuple(Key("team", job) for job in jobs))

    def unseen(self, *kinds: str) -> Cluster:
        return self._with(unseen=frozenset(kinds))

    def _with(self, **fields: Any) -> Cluster:
        return Cluster(replace(self.snapshot, **fields))


@dataclass(frozen=True)
class Gang:
    """A request in the making; every method returns a changed copy."""

    request: GangRequest

    def workers(self, replicas: int, gpus: int = 8, cpu: str = "4", **fields: Any) -> Gang:
        return self.role("worker", replicas, gpus, cpu, **fields)

    def role(self, name: str, replicas: int, gpus: int = 0, cpu: str = "4", memory: str = "0", **fields: Any) -> Gang:
        role = RoleRequest(
            name=name,
            replicas=replicas,
            first_rank=self.request.size,
            resources=amounts(gpus, cpu, memory),
            accelerator=GPU if gpus else "",
            gpus=gpus,
            **fields,
        )
        return self.having(roles=(*self.request.roles, role))

    def on(self, **labels: str) -> Gang:
        """A node selector for every role."""
        selector = tuple(sorted(labels.items()))
        return self.having(roles=tuple(replace(r, node_selector=selector) for r in self.request.roles))

    def roles_having(self, **fields: Any) -> Gang:
        return self.having(roles=tuple(replace(r, **fields) for r in self.request.roles))

    def kept(self, *nodes: str) -> Gang:
        """Healthy ranks of the last attempt, by rank; an empty name is a lost one."""
        return self.having(keep={rank: name for rank, name in enumerate(nodes) if name})

    def having(self, **fields: Any) -> Gang:
        return Gang(replace(self.request, **fields))


def make_cluster() -> Cluster:
    return Cluster()


def make_gang(name: str, age: float = 60.0, **fields: Any) -> Gang:
    """A gang without roles, `age` seconds old."""
    fields = {"attempt": 0, "spec_hash": "hash", "roles": (), **fields}
    return Gang(GangRequest(key=Key("team", name), uid=f"uid-{name}", queued=NOW - age, **fields))


def delegated(name: str, age: float = 60.0, **fields: Any) -> Gang:
    return make_gang(name, age, placement=Placement.DELEGATED, **fields)


def decide(cluster: Cluster, *gangs: Gang, policy: SchedulingPolicy = POLICY, now: float = NOW) -> Decision:
    return schedule(cluster.snapshot, [g.request for g in gangs], policy, now)


def grant(cluster: Cluster, gang: Gang, policy: SchedulingPolicy = POLICY) -> Grant:
    """The grant of a gang alone; fails with the refusal's words."""
    decision = decide(cluster, gang, policy=policy)
    assert decision.grants, decision.refusals
    return decision.grants[0]


def refusal(cluster: Cluster, gang: Gang, policy: SchedulingPolicy = POLICY) -> Refusal:
    """The refusal of a gang alone."""
    decision = decide(cluster, gang, policy=policy)
    assert not decision.grants, decision.grants
    return decision.refusals[0]


def granted(decision: Decision) -> list[str]:
    return [g.key.name for g in decision.grants]


def refused(decision: Decision) -> dict[str, str]:
    """Job → reason."""
    return {r.key.name: r.reason.value for r in decision.refusals}
