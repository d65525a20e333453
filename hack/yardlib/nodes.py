"""Real nodes: containerd, kubelet, kube-proxy and a device plugin each, in a network and mount namespace of their own.

A process that only sleeps, the anchor, holds a node's namespaces open; everything else enters them. All of it lives
in one control group, so that killing the group is what a power cut is to a machine.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from yardlib import build, cgroups, image_store, network, node_config, process
from yardlib.api import Json
from yardlib.control_plane import Cluster
from yardlib.errors import YardError
from yardlib.limits import raise_limits
from yardlib.node_config import RealNode
from yardlib.paths import runtime_root
from yardlib.process import Program
from yardlib.progress import step
from yardlib.shell import succeeds
from yardlib.slots import locked
from yardlib.topology import (
    GPUS_PER_NODE,
    LABEL_BLOCK,
    LABEL_RACK,
    RDMA_PER_NODE,
    RESOURCE_GPU,
    RESOURCE_RDMA,
    real_place,
)

READY_SECONDS = 120.0
KUBELET_PLUGINS = "/var/lib/kubelet/device-plugins"
# Paths that programs of a node write to and cannot be told others for: each node gets empty ones of its own.
PRIVATE = ("/run/netns", "/run/containerd", "/var/lib/cni", "/var/log/containers")
# The anchor hides those, and binds the node's own folder over the one path that kubelets cannot be told.
_ANCHOR = (
    f"for folder in {' '.join(PRIVATE)}; do mkdir -p $folder && mount -t tmpfs yard $folder || exit 1; done; "
    'mount --bind "$0" "$1" && exec sleep infinity'
)


def all_of(cluster: Cluster) -> list[RealNode]:
    """The cluster's real nodes."""
    return [RealNode(cluster, index) for index in range(1, cluster.spec.nodes + 1)]


def by_name(cluster: Cluster, name: str) -> RealNode:
    """One of them."""
    for node in all_of(cluster):
        if node.name == name:
            return node
    known = ", ".join(node.name for node in all_of(cluster)) or "none"
    raise YardError(f"cluster '{cluster.spec.name}' has no real node '{name}'", f"it has: {known}")


def start_all(cluster: Cluster) -> None:
    """Starts every node that does not run, and waits until all are Ready with all their devices."""
    cluster.write_kubeconfig(
        cluster.control / "kube-proxy.kubeconfig", cluster.authority.issue("kube-proxy", "system:kube-proxy")
    )
    raise_limits()
    with step(f"starting {cluster.spec.nodes} real nodes", "10 s"):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(start, all_of(cluster)))
        for node in all_of(cluster):
            wait_ready(node)


def programs(node: RealNode) -> list[Program]:
    """What runs inside the node, in the order of its start."""
    anchor = process.pid_of(_anchor(node).pid_file)
    inside = ["nsenter", "--target", str(anchor), "--net", "--mount"]
    folder, group = node.folder, _group(node)
    place = real_place(node.index)
    kubelet = [
        str(build.binary("kubelet", node.cluster.spec.kubernetes)),
        f"--config={folder / 'kubelet.json'}",
        f"--kubeconfig={folder / 'kubeconfig'}",
        f"--root-dir={folder / 'kubelet'}",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
        f"--cert-dir={folder / 'pki'}",
        f"--node-labels={LABEL_BLOCK}={place.block},{LABEL_RACK}={place.rack}",
        "--v=1",
    ]
    proxy = [str(build.binary("kube-proxy", node.cluster.spec.kubernetes)), f"--config={folder / 'proxy.json'}"]
    plugin = [
        str(build.binary("deviceplugin")),
        f"-dir={node.device_plugins}",
        f"-faults={node.faults}",
        f"{RESOURCE_GPU}={GPUS_PER_NODE}",
        f"{RESOURCE_RDMA}={RDMA_PER_NODE}",
    ]
    return [
        Program("containerd", [*inside, "containerd", "--config", str(folder / "containerd.toml")], folder, group),
        Program("deviceplugin", plugin, folder, group),
        Program("kubelet", [*inside, *kubelet], folder, group),
        Program("kube-proxy", [*inside, *proxy], folder, group),
    ]


def _group(node: RealNode) -> Path:
    """The nodes' own programs sit beside their pods, not above them."""
    cgroups.create(node.group)
    return cgroups.create(f"{node.group}/system")


def _anchor(node: RealNode) -> Program:
    enter = ["unshare", "--net", "--mount", "--propagation", "private"]
    shell = ["/bin/sh", "-c", _ANCHOR, str(node.device_plugins), KUBELET_PLUGINS]
    return Program("anchor", [*enter, *shell], node.folder, _group(node))


def start(node: RealNode) -> None:
    """Boots the node, or starts again what died of it."""
    anchor = _anchor(node)
    if process.pid_of(anchor.pid_file) is None:
        power_off(node)
        _write_settings(node)
        image_store.plant(node)
        pid = _drop_anchor(node)
        network.plug_in(node.cluster.addresses, node.index, pid, node.cluster.spec.nodes)
    containerd, *others = programs(node)
    process.ensure(containerd)
    process.wait_until_alive(
        [containerd], lambda: _runtime_answers(node), seconds=30, what=f"containerd on {node.name}"
    )
    for program in others:
        process.ensure(program)


def _drop_anchor(node: RealNode) -> int:
    """Starts the anchor and returns its pid once it has its namespaces and mounts."""
    anchor = _anchor(node)
    with locked(_mounts_lock()):
        Path(KUBELET_PLUGINS).mkdir(parents=True, exist_ok=True)
        process.ensure(anchor)
        pid = process.pid_of(anchor.pid_file)
        if pid is None:
            raise process.died(anchor)
        process.wait_until_alive(
            [anchor], lambda: _left_our_network(pid), seconds=5, what=f"the namespaces of {node.name}", pause=0.01
        )
    return pid


def _left_our_network(pid: int) -> bool:
    """True once the anchor is in its own namespaces and has bound its folder."""
    bound = Path(f"/proc/{pid}/mountinfo").read_text()
    return KUBELET_PLUGINS in bound and _network_of(pid) != _network_of("self")


def _network_of(pid: int | str) -> str:
    return str(Path(f"/proc/{pid}/ns/net").readlink())


def _runtime_answers(node: RealNode) -> bool:
    return succeeds(["ctr", "--address", str(node.socket), "version"])


def _write_settings(node: RealNode) -> None:
    folder = node.folder
    for needed in (folder / "cni", folder / "pki", node.device_plugins):
        needed.mkdir(parents=True, exist_ok=True)
    identity = node.cluster.authority.issue(
        node.name, f"system:node:{node.name}", "system:nodes", [f"IP:{node.address}", f"DNS:{node.name}"]
    )
    node.cluster.write_kubeconfig(folder / "kubeconfig", identity)
    (folder / "containerd.toml").write_text(node_config.containerd(node))
    (folder / "resolv.conf").write_text(f"nameserver {node.cluster.addresses.gateway}\n")
    documents = {
        "cni/10-yard.conflist": node_config.cni(node),
        "kubelet.json": node_config.kubelet(node),
        "proxy.json": node_config.kube_proxy(node),
    }
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document, indent=1) + "\n")


def power_off(node: RealNode) -> None:
    """A power cut: every process of the node is killed at once, namespaces and mounts go with them."""
    cgroups.kill(node.group)
    for pid_file in node.folder.glob("*.pid"):
        pid_file.unlink()
    shutil.rmtree(node.runtime, ignore_errors=True)


def stop_kubelet(node: RealNode) -> None:
    """Kills the kubelet alone: the node falls silent while its containers run on."""
    process.stop(node.folder / "kubelet.pid", kill=True)


def wait_ready(node: RealNode) -> None:
    """Until the node is Ready, schedulable and offers all its healthy devices."""
    api, path = node.cluster.api(), f"/api/v1/nodes/{node.name}"

    def ready() -> bool:
        seen = api.find(path)
        return seen is not None and is_ready(seen) and _offers(seen, RESOURCE_GPU) and _offers(seen, RESOURCE_RDMA)

    process.wait_until_alive(programs(node), ready, seconds=READY_SECONDS, what=f"{node.name} to be Ready", pause=0.3)


def is_ready(node: Json) -> bool:
    """Ready and not yet, or no longer, shunned."""
    conditions = node["status"].get("conditions", [])
    taints = node["spec"].get("taints", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions) and not any(
        taint["key"].startswith("node.kubernetes.io/") and taint["key"] != "node.kubernetes.io/unschedulable"
        for taint in taints
    )


def _offers(node: Json, resource: str) -> bool:
    return int(node["status"].get("allocatable", {}).get(resource, "0")) > 0


def remove_mount_points() -> None:
    """The empty folders that anchors mount over; those of a machine's own kubelet would have something in them.

    Not while any cluster has a node: removing a folder tears down what is mounted on it in every namespace.
    """
    with locked(_mounts_lock()):
        if any((cgroups.trees()[0] / cgroups.TOP).glob("*/node-*")):
            return
        for folder in map(Path, (KUBELET_PLUGINS, str(Path(KUBELET_PLUGINS).parent), *PRIVATE)):
            with contextlib.suppress(OSError):
                folder.rmdir()


def _mounts_lock() -> Path:
    return runtime_root() / "mounts.lock"
