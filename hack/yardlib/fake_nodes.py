"""Nodes that exist in the API only, kept alive by KWOK; their resources are whatever we say."""

from __future__ import annotations

from yardlib import build, process
from yardlib.api import Json
from yardlib.control_plane import Cluster
from yardlib.paths import CLUSTER_SOURCES
from yardlib.process import Program
from yardlib.profiles import PROFILES
from yardlib.progress import say, step
from yardlib.topology import LABEL_BLOCK, LABEL_RACK, RDMA_PER_NODE, RESOURCE_GPU, RESOURCE_RDMA, fake_place

KWOK_ANNOTATION = "kwok.x-k8s.io/node"
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
    taint = {"key": KWOK_ANNOTATION, "value": "fake", "effect": "NoSchedule"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {KWOK_ANNOTATION: "fake"},
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "type": "kwok",
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
            f"--manage-nodes-with-annotation-selector={KWOK_ANNOTATION}=fake",
            f"--node-lease-duration-seconds={lease}",
            f"--node-ip={cluster.addresses.loopback}",
            "--cidr=10.64.0.1/10",
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
    api, tainted = cluster.api(), cluster.spec.nodes > 0
    wanted = (
        node(index, gpus=cluster.spec.fake_gpus, tainted=tainted) for index in range(cluster.spec.fake_nodes)
    )
    with step(f"waiting for {cluster.spec.fake_nodes} fake nodes", "1 s, and 1 s more for every 60"):
        created = api.create_all("/api/v1/nodes", wanted)
        process.wait_until_alive(
            [player],
            lambda: _ready(cluster) >= cluster.spec.fake_nodes,
            seconds=READY_SECONDS,
            what="the fake nodes",
            pause=0.5,
        )
    if created:
        say(f"  {created} fake nodes created")


def _ready(cluster: Cluster) -> int:
    """How many fake nodes are Ready and free of the taint that a fresh node carries."""
    items = cluster.api().get("/api/v1/nodes?labelSelector=type%3Dkwok&resourceVersion=0")["items"]
    return sum(
        any(c["type"] == "Ready" and c["status"] == "True" for c in item["status"].get("conditions", []))
        and not any(t["key"].startswith("node.kubernetes.io/") for t in item["spec"].get("taints", []))
        for item in items
    )
