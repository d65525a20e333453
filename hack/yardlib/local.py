"""The provider `local`: a cluster made of processes, network namespaces and control groups of this machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from yardlib import build, cgroups, control_plane, dns, fake_nodes, network, nodes, process, slots, toolchain
from yardlib.control_plane import Cluster
from yardlib.errors import YardError
from yardlib.paths import cluster_dir, runtime_root
from yardlib.process import Program
from yardlib.progress import say, step
from yardlib.spec import ClusterSpec, check_name, merge

SPEC_FILE = "spec.json"


def lock_path(name: str) -> Path:
    """Held by whoever changes the cluster."""
    return runtime_root() / f"cluster-{name}.lock"


def find(name: str) -> Cluster | None:
    """The cluster of that name, if it was made and not taken down."""
    state = cluster_dir(name)
    addresses, spec = slots.find(state), ClusterSpec.load(state / SPEC_FILE)
    return Cluster(spec, addresses, state) if addresses and spec else None


def names() -> list[str]:
    """Every cluster that was made, whole or half, and not taken down."""
    return sorted({state.name for state in slots.all_claims().values()})


def get(name: str) -> Cluster:
    """The cluster of that name; raises where there is none."""
    cluster = find(name)
    if cluster is None:
        raise YardError(f"there is no cluster '{name}' on this machine", f"make one: hack/yard up --name {name}")
    return cluster


def up(asked: ClusterSpec) -> Cluster:
    """Makes the cluster, or mends one that is there: whatever runs is kept, whatever died is started again."""
    asked.check()
    toolchain.require_linux()
    toolchain.require(toolchain.FOR_CONTROL_PLANE)
    if asked.nodes:
        toolchain.require_root("a cluster with real nodes")
        toolchain.require(toolchain.FOR_NODES)
    build.ensure(programs_of(asked), asked.kubernetes)
    with slots.locked(lock_path(asked.name)):
        if find(asked.name) is None:
            _clear(cluster_dir(asked.name))
        state = cluster_dir(asked.name)
        stored = ClusterSpec.load(state / SPEC_FILE)
        spec = merge(stored, asked)
        cluster = Cluster(spec, slots.claim(state), state)
        spec.save(state / SPEC_FILE)
        if stored is not None and spec.audit and not stored.audit:
            process.stop(control_plane.program(cluster, "kube-apiserver").pid_file)  # it comes back with its log
        _start(cluster)
    return cluster


def programs_of(spec: ClusterSpec) -> tuple[str, ...]:
    """What has to be built for such a cluster."""
    return build.CONTROL_PLANE + (build.NODES if spec.nodes else ()) + (build.FAKE_NODES if spec.fake_nodes else ())


def parts(cluster: Cluster) -> list[Program]:
    """The programs that belong to no node."""
    return [
        *(control_plane.program(cluster, part) for part in control_plane.PARTS),
        *([fake_nodes.kwok(cluster)] if cluster.spec.fake_nodes else []),
        *([dns.server(cluster)] if cluster.spec.nodes else []),
    ]


def part(cluster: Cluster, name: str) -> Program:
    """One of them."""
    known = parts(cluster)
    for program in known:
        if program.name == name:
            return program
    raise YardError(f"there is no part '{name}'", f"known: {', '.join(program.name for program in known)}")


def programs(cluster: Cluster) -> list[Program]:
    """Everything that has to run."""
    return parts(cluster) + [one for node in nodes.all_of(cluster) for one in nodes.programs(node)]


def _start(cluster: Cluster) -> None:
    if cluster.spec.nodes:
        network.ensure_bridge(cluster.addresses)
    with step("starting the control plane", "7 s"):
        control_plane.prepare(cluster)
        control_plane.start(cluster)
    fake_nodes.start(cluster)
    if cluster.spec.nodes:
        dns.start(cluster)
        nodes.start_all(cluster)
    say(f"cluster '{cluster.spec.name}' is ready: export KUBECONFIG={cluster.admin_kubeconfig}")


def down(name: str) -> bool:
    """Takes the cluster down and removes every trace; True when there was one."""
    check_name(name)
    with slots.locked(lock_path(name)):
        state = cluster_dir(name)
        existed = state.exists() or slots.find(state) is not None
        if existed:
            with step(f"taking cluster '{name}' down"):
                _clear(state)
    lock_path(name).unlink(missing_ok=True)
    return existed


def _clear(state: Path) -> None:
    """Ends what a cluster, whole or half made, left behind; nothing of any other cluster is touched."""
    for pid_file in state.glob("**/*.pid"):
        process.stop(pid_file, kill=True)
    addresses = slots.find(state)
    if addresses is not None:
        if os.geteuid() == 0:
            cgroups.kill(cgroups.path_of(addresses.slot))
            network.remove(addresses)
            cgroups.remove(cgroups.path_of(addresses.slot))
            shutil.rmtree(runtime_root() / str(addresses.slot), ignore_errors=True)
            nodes.remove_mount_points()
        slots.release(state)
    shutil.rmtree(state, ignore_errors=True)
    if state.exists():
        raise YardError(f"cannot remove {state}", "something in it is still mounted or owned by another user")
