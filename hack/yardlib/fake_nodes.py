"""Nodes that exist in the API only, kept alive by KWOK; their resources are whatever we say."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from yardlib import build, process
from yardlib.api import Api, Json
from yardlib.control_plane import Cluster
from yardlib.paths import CLUSTER_SOURCES
from yardlib.process import Program
from yardlib.profiles import PROFILES
from yardlib.progress import say, step
from yardlib.topology import LABEL_BLOCK, LABEL_RACK, RDMA_PER_NODE, RESOURCE_GPU, RESOURCE_RDMA, fake_place

FAKE = "kwok.x-k8s.io/node"  # annotation and taint, as KWOK users know them
ALIVE_LABEL = "kwok.trainyard.dev/alive"
NODES = "/api/v1/nodes"
NOT_READY = "node.kubernetes.io/not-ready"
READY_SECONDS = 180.0


def name_of(index: int) -> str:
    """The name of fake node `index`, counted from 0."""
    return f"fake-{index:04d}"


def node(index: int, *, gpus: int, tainted: bool) -> Json:
    """A node as its kubelet would have registered it; the taint keeps real work off where real nodes exist."""
    name, place = name_of(index), fake_place(index)
    resources = {"cpu": "96", "memory": "1Ti", "ephemeral-storage": "1Ti", "pods": "110"}
    if gpus:
        resources |= {RESOURCE_GPU: str(gpus), RESOURCE_RDMA: str(RDMA_PER_NODE)}
    taint = {"key": FAKE, "value": "fake", "effect": "NoSchedule"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {FAKE: "fake"},
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "type": "kwok",
                ALIVE_LABEL: "true",
                LABEL_BLOCK: place.block,
                LABEL_RACK: place.rack,
            },
        },
        "spec": {"taints": [taint] if tainted else []},
        "status": {"capacity": resources, "allocatable": resources},
    }


def kwok(cluster: Cluster) -> Program:
    """The process that plays all fake kubelets."""
    lease = PROFILES[cluster.spec.profile].node_lease_seconds
    return Program(
        name="kwok",
        argv=[
            str(build.binary("kwok")),
            f"--kubeconfig={cluster.admin_kubeconfig}",
            f"--config={CLUSTER_SOURCES / 'kwok' / 'stages.yaml'}",
            "--manage-all-nodes=false",
            f"--manage-nodes-with-label-selector={ALIVE_LABEL}=true",
            f"--node-lease-duration-seconds={lease}",
            f"--node-ip={cluster.addresses.loopback}",
            "--cidr=10.64.0.1/10",
            "--v=WARN",
        ],
        folder=cluster.control,
        cgroup=cluster.group("control"),
    )


def start(cluster: Cluster) -> None:
    """Starts KWOK, creates the nodes that are missing and waits until all are Ready."""
    if not cluster.spec.fake_nodes:
        return
    player = kwok(cluster)
    process.ensure(player)
    api = cluster.api()
    wanted = [wanted_node(cluster, index) for index in range(cluster.spec.fake_nodes)]
    with step(f"waiting for {len(wanted)} fake nodes", "1 s, and 1 s more for every 100"):
        created = api.create_all(NODES, wanted)
        process.wait_until_alive(
            [player], lambda: _ready(api) >= len(wanted), seconds=READY_SECONDS, what="the fake nodes", pause=0.5
        )
        _untaint(api, cluster)
    if created:
        say(f"  {created} fake nodes created")


def wanted_node(cluster: Cluster, index: int) -> Json:
    """Fake node `index` of this cluster."""
    return node(index, gpus=cluster.spec.fake_gpus, tainted=cluster.spec.nodes > 0)


def _fake_nodes(api: Api) -> list[Json]:
    items: list[Json] = api.get(f"{NODES}?labelSelector=type%3Dkwok&resourceVersion=0")["items"]
    return items


def _ready(api: Api) -> int:
    return sum(
        any(c["type"] == "Ready" and c["status"] == "True" for c in item["status"].get("conditions", []))
        for item in _fake_nodes(api)
    )


def _untaint(api: Api, cluster: Cluster) -> None:
    """Takes off the taint that every fresh node gets: the controller manager does so too, but 20 a second."""
    fresh = [
        item["metadata"]["name"]
        for item in _fake_nodes(api)
        if any(taint["key"] == NOT_READY for taint in item["spec"].get("taints", []))
    ]
    taints = wanted_node(cluster, 0)["spec"]["taints"]
    with ThreadPoolExecutor(16) as pool:
        for _ in pool.map(lambda name: api.patch(f"{NODES}/{name}", {"spec": {"taints": taints or None}}), fresh):
            pass


def is_fake(name: str) -> bool:
    """True for the names that fake nodes have."""
    return name.startswith("fake-")


def set_alive(cluster: Cluster, name: str, alive: bool) -> None:
    """Stops or resumes the kubelet that KWOK plays for one node: no heartbeat, no pod started, ended or removed."""
    cluster.api().patch(f"{NODES}/{name}", {"metadata": {"labels": {ALIVE_LABEL: "true" if alive else "false"}}})
