"""Does a cluster start, survive what happens to machines, and leave nothing behind? Really, with real nodes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.yard import shared
from yardlib import build, cgroups, local, nodes, process, slots
from yardlib.api import Json
from yardlib.control_plane import Cluster
from yardlib.paths import REPOSITORY, cluster_dir, runtime_root

pytestmark = [pytest.mark.nodes, pytest.mark.timeout(600)]
NAME, NEIGHBOUR = shared("lifecycle"), shared("neighbour")
YARD = REPOSITORY / "hack" / "yard"
UP = ("up", "--name", NAME, "--provider", "local", "--nodes", "2", "--fake-nodes", "3", "--profile", "fast-timers")


def yard(*arguments: str) -> str:
    done = subprocess.run([str(YARD), *arguments], capture_output=True, text=True, check=False, timeout=540)
    assert done.returncode == 0, done.stderr
    return done.stdout


def eventually(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.2)


def kubectl(cluster: Cluster, *arguments: str, stdin: str | None = None) -> str:
    command = [str(build.binary("kubectl")), "--kubeconfig", str(cluster.admin_kubeconfig), *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def node_object(cluster: Cluster, name: str) -> Json:
    found: Json = json.loads(kubectl(cluster, "get", "node", name, "-o", "json"))
    return found


def pod(name: str, node: str, gpus: int) -> str:
    limits = {"nvidia.com/gpu": str(gpus), "rdma/hca_shared_devices_a": "1"}
    container: Json = {
        "name": "c",
        "image": "trainyard.dev/busybox:1",
        "command": ["sleep", "3600"],
        "resources": {"limits": limits},
    }
    spec = {
        "nodeName": node,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        # A node that the machine's load keeps silent for too long must not cost the pod its life.
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
    }
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def traces(name: str, slot: int) -> list[str]:
    """What a cluster of that name and slot could leave on the machine."""
    addresses = slots.Addresses(slot)
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    routes = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
    mounts = Path("/proc/self/mountinfo").read_text()
    found = [f"link {line}" for line in links.splitlines() if f" {addresses.bridge}" in line]
    found += [
        f"route {line}" for line in routes.splitlines() if addresses.network in line or addresses.services in line
    ]
    found += [f"mount {line}" for line in mounts.splitlines() if f"/clusters/{name}/" in line]
    found += [f"group {tree}" for tree in cgroups.trees() if (tree / cgroups.path_of(slot).strip("/")).exists()]
    found += [str(path) for path in (cluster_dir(name), runtime_root() / str(slot)) if path.exists()]
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"/clusters/{name}/" in words or f"{runtime_root()}/{slot}/" in words:
            found.append(f"process {folder.name} {words[:200]}")
    return found


def belongings(cluster: Cluster) -> set[str]:
    """What a living cluster has on the machine, in its pods, and in the namespaces of its nodes."""
    slot = cluster.addresses.slot
    # What the machine had mounted elsewhere when a node began is no node's own.
    own = tuple(map(str, (*nodes.PRIVATE, nodes.KUBELET_PLUGINS, cluster.state, runtime_root() / str(slot))))
    found = set(traces(cluster.spec.name, slot))
    found |= {f"runs {file} {process.pid_of(file)}" for file in cluster.state.rglob("*.pid")}
    found |= {f"socket or folder {path}" for path in (runtime_root() / str(slot)).rglob("*")}
    for tree in cgroups.trees():
        groups = (tree / cgroups.path_of(slot).strip("/")).rglob("*")
        found |= {f"group {path}" for path in groups if path.is_dir()}
    for node in nodes.all_of(cluster):
        found |= {f"in a pod {pid}" for pid in cgroups.processes(f"{node.group}/kubepods")}
        anchor = process.pid_of(node.folder / "anchor.pid")
        assert anchor is not None, f"{node.name} has no namespaces"
        mounts = Path(f"/proc/{anchor}/mountinfo").read_text().splitlines()
        found |= {f"{node.name} mount {line}" for line in mounts if line.split()[4].startswith(own)}
        inside = ["nsenter", "--target", str(anchor), "--net", "ip", "-o", "-4", "address"]
        addresses = subprocess.run(inside, capture_output=True, text=True, check=True).stdout
        found |= {f"{node.name} address {line}" for line in addresses.splitlines()}
    return found


def shared_folders() -> set[Path]:
    """What lies where every container runtime and kubelet of a machine writes."""
    folders = [*nodes.PRIVATE, "/run/containerd/s", "/var/lib/cni/results", "/var/lib/kubelet", "/usr/libexec"]
    return {path for folder in map(Path, folders) if folder.is_dir() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    assert os.geteuid() == 0, "real nodes need root; without it leave these tests out: -m 'not nodes'"
    yard("down", "--name", NAME, "--provider", "local")
    shared = shared_folders()
    yard(*UP)
    made = local.get(NAME)
    yield made
    last = local.find(NAME)  # made anew, it may have another slot
    yard("down", "--name", NAME, "--provider", "local")
    assert last is None or traces(NAME, last.addresses.slot) == []
    assert shared_folders() <= shared
    yard("down", "--name", NAME, "--provider", "local")  # twice is no failure


@pytest.fixture
def neighbour() -> Iterator[Cluster]:
    """A second cluster, as small as one with a node and a pod can be."""
    yard("down", "--name", NEIGHBOUR, "--provider", "local")
    yard("up", "--name", NEIGHBOUR, "--provider", "local", "--nodes", "1")
    made = local.get(NEIGHBOUR)
    kubectl(made, "apply", "-f", "-", stdin=pod("beside", "node-1", gpus=1))
    kubectl(made, "wait", "--for=condition=Ready", "pod/beside", "--timeout=60s")
    yield made
    yard("down", "--name", NEIGHBOUR, "--provider", "local")
    assert traces(NEIGHBOUR, made.addresses.slot) == []


def test_real_nodes_run_pods_with_devices_and_fake_nodes_stand_beside(cluster: Cluster) -> None:
    kubectl(cluster, "apply", "-f", "-", stdin=pod("first", "node-1", gpus=4))
    kubectl(cluster, "wait", "--for=condition=Ready", "pod/first", "--timeout=60s")
    devices = kubectl(cluster, "exec", "first", "--", "sh", "-c", "echo $NVIDIA_VISIBLE_DEVICES").strip().split(",")
    assert len(devices) == 4
    listed = yard("nodes", "--name", NAME).splitlines()
    assert [line.split()[0] for line in listed[1:]] == ["fake-0000", "fake-0001", "fake-0002", "node-1", "node-2"]
    assert all(line.split()[1] == "yes" and line.split()[4] == "8" for line in listed[1:])


def test_a_second_up_changes_nothing(cluster: Cluster) -> None:
    before = {program.pid_file: process.pid_of(program.pid_file) for program in local.programs(cluster)}
    started = time.monotonic()
    yard(*UP)
    assert time.monotonic() - started < 15
    assert {program.pid_file: process.pid_of(program.pid_file) for program in local.programs(cluster)} == before


def test_broken_devices_leave_the_nodes_offer_and_return(cluster: Cluster) -> None:
    def offered() -> str:
        node = node_object(cluster, "node-2")
        return str(node["status"]["allocatable"]["nvidia.com/gpu"])

    yard("device-fail", "node-2", "--device", "1", "--device", "5", "--name", NAME)
    eventually(lambda: offered() == "6", 30, "two devices fewer")
    yard("device-heal", "node-2", "--name", NAME)
    eventually(lambda: offered() == "8", 30, "all devices again")


def test_a_node_without_power_is_seen_dead_and_comes_back(cluster: Cluster) -> None:
    def ready() -> bool:
        return nodes.is_ready(node_object(cluster, "node-2"))

    yard("node-stop", "node-2", "--name", NAME)
    eventually(lambda: not ready(), 40, "node-2 not Ready")
    yard("node-start", "node-2", "--name", NAME)
    assert ready()
    kubectl(cluster, "apply", "-f", "-", stdin=pod("second", "node-2", gpus=8))
    kubectl(cluster, "wait", "--for=condition=Ready", "pod/second", "--timeout=60s")


def lasting(group: str) -> set[int]:
    """Its processes, without those that kubelets and proxies start for a moment."""
    found = cgroups.processes(group)
    time.sleep(1)
    return found & cgroups.processes(group)


def test_a_silent_kubelet_leaves_its_containers_running(cluster: Cluster) -> None:
    node = nodes.by_name(cluster, "node-2")
    before = lasting(node.group)
    yard("node-stop", "node-2", "--kubelet-only", "--name", NAME)
    after = lasting(node.group)
    assert len(before - after) == 1
    yard("node-start", "node-2", "--name", NAME)
    assert after <= cgroups.processes(node.group)


def test_the_api_server_returns_after_a_crash_with_all_it_knew(cluster: Cluster) -> None:
    uid = kubectl(cluster, "get", "pod", "first", "-o", "jsonpath={.metadata.uid}")
    yard("apiserver-restart", "--name", NAME)
    assert kubectl(cluster, "get", "pod", "first", "-o", "jsonpath={.metadata.uid}") == uid


def test_up_mends_whatever_was_killed(cluster: Cluster) -> None:
    for pid in cgroups.processes(cgroups.path_of(cluster.addresses.slot)):
        with contextlib.suppress(ProcessLookupError):  # some end by themselves
            os.kill(pid, signal.SIGKILL)
    with pytest.raises(AssertionError, match="not running"):
        yard("status", "--name", NAME)
    yard(*UP)
    yard("status", "--name", NAME)
    assert kubectl(cluster, "get", "pod", "first", "-o", "jsonpath={.metadata.name}") == "first"


def test_down_takes_nothing_from_a_cluster_beside(cluster: Cluster, neighbour: Cluster) -> None:
    slot = local.get(NAME).addresses.slot
    before, shared = belongings(neighbour), shared_folders()
    yard("down", "--name", NAME, "--provider", "local")
    assert traces(NAME, slot) == []
    assert not before - belongings(neighbour)  # what it has gained meanwhile is its own doing
    assert shared <= shared_folders()
    yard("status", "--name", NEIGHBOUR)
    assert kubectl(neighbour, "get", "nodes", "-o", "name").split() == ["node/node-1"]
    assert kubectl(neighbour, "exec", "beside", "--", "echo", "here").strip() == "here"


def test_up_takes_over_from_a_run_that_was_killed_halfway(cluster: Cluster) -> None:
    yard("down", "--name", NAME, "--provider", "local")
    half = subprocess.Popen([str(YARD), *UP], stderr=subprocess.PIPE, text=True)
    assert half.stderr is not None
    for line in half.stderr:
        if "real nodes" in line:
            break
    half.kill()
    half.wait()
    half.stderr.close()
    yard(*UP)
    yard("status", "--name", NAME)
