"""What each command does: picks the provider, hands over, prints."""

from __future__ import annotations

import argparse
import fnmatch
from pathlib import Path

from yardlib import (
    build,
    control_plane,
    existing,
    fake_nodes,
    faults,
    image_store,
    images,
    kind,
    local,
    nodes,
    process,
    remote,
    toolchain,
)
from yardlib.api import Json
from yardlib.control_plane import Cluster
from yardlib.errors import YardError
from yardlib.progress import say, step
from yardlib.spec import ClusterSpec
from yardlib.topology import LABEL_BLOCK, LABEL_RACK, RESOURCE_GPU, RESOURCE_RDMA

PROVIDERS = ("local", "kind", "existing")


def provider(arguments: argparse.Namespace) -> str:
    """The one asked for; else the one that made the cluster; else by whether kind can be had (`kind.usable`)."""
    name, asked = arguments.name, arguments.provider
    made = "local" if local.find(name) is not None else "kind" if kind.made(name) else None
    if asked and asked != "existing" and made not in (None, asked):
        raise YardError(
            f"cluster '{name}' was made by the provider {made}, not by {asked}",
            f"leave --provider out, choose another --name, or take it down first: hack/yard down --name {name}",
        )
    if asked or made:
        return str(asked or made)
    if arguments.command == "up" and arguments.fake_nodes:
        return "local"
    return "kind" if kind.usable() else "local"


def local_only(arguments: argparse.Namespace) -> Cluster:
    """The cluster for a command that reaches into its machines; raises for those that we do not make up ourselves."""
    chosen = provider(arguments)
    if chosen != "local":
        raise YardError(
            f"`{arguments.command}` reaches into a cluster's machines; with the provider {chosen} it cannot",
            f"use a cluster of the provider local: hack/yard up --provider local --name {arguments.name}",
        )
    return local.get(arguments.name)


def _reached(chosen: str, name: str) -> Path | None:
    """The kubeconfig for a cluster that is asked through kubectl."""
    return kind.get(name) if chosen == "kind" else None


def up(arguments: argparse.Namespace) -> None:
    """Makes or mends."""
    spec = ClusterSpec(
        name=arguments.name,
        nodes=arguments.nodes,
        fake_nodes=arguments.fake_nodes,
        fake_gpus=arguments.fake_gpus,
        profile=arguments.profile,
        audit=arguments.audit,
        kubernetes=arguments.kubernetes,
    )
    chosen = provider(arguments)
    if chosen == "existing":
        existing.up(spec)
    elif chosen == "kind":
        kind.up(spec)
    else:
        local.up(spec)


def list_clusters(_arguments: argparse.Namespace) -> None:
    """One name a line: those that this machine's processes play."""
    for name in local.names():
        print(name)


def down(arguments: argparse.Namespace) -> None:
    """Removes; that there is nothing to remove is no failure. A pattern stands for the local clusters that match it."""
    if set(arguments.name) & set("*?["):
        for name in fnmatch.filter(local.names(), arguments.name):
            local.down(name)
        return
    chosen = provider(arguments)
    if chosen == "existing":
        say("a cluster that was not made here is not taken down here")
        return
    removed = kind.down(arguments.name) if chosen == "kind" else local.down(arguments.name)
    if not removed:
        say(f"there is no cluster '{arguments.name}'")


def kubeconfig(arguments: argparse.Namespace) -> None:
    """Prints the path and nothing else."""
    chosen = provider(arguments)
    if chosen == "existing":
        print(existing.kubeconfig())
    elif chosen == "kind":
        print(kind.get(arguments.name))
    else:
        print(local.get(arguments.name).admin_kubeconfig)


def status(arguments: argparse.Namespace) -> None:
    """One line a program, or a node of a cluster that others run; raises when one is dead, so that scripts see it."""
    chosen = provider(arguments)
    if chosen != "local":
        print(f"cluster {arguments.name}: provider {chosen}")
        remote.status(_reached(chosen, arguments.name))
        return
    cluster = local.get(arguments.name)
    print(f"cluster {cluster.spec.name}: slot {cluster.addresses.slot}, API {cluster.api_host}, state {cluster.state}")
    dead = []
    for program in local.programs(cluster):
        pid = process.pid_of(program.pid_file)
        place = program.folder.name
        print(f"  {place:8} {program.name:24} {f'pid {pid}' if pid else 'DEAD'}")
        if pid is None:
            dead.append(f"{place}/{program.name}")
    if dead:
        raise YardError(
            f"not running: {', '.join(dead)}", f"mend it: hack/yard up --name {cluster.spec.name} (same flags)"
        )


def list_nodes(arguments: argparse.Namespace) -> None:
    """A table of nodes, made from what the API server says."""
    for line in _table(_node_objects(arguments)):
        print(line)


def _node_objects(arguments: argparse.Namespace) -> list[Json]:
    chosen = provider(arguments)
    if chosen != "local":
        return remote.nodes(_reached(chosen, arguments.name))
    items: list[Json] = local.get(arguments.name).api().get("/api/v1/nodes")["items"]
    return items


def _table(items: list[Json]) -> list[str]:
    width = max([12, *(len(item["metadata"]["name"]) for item in items)])
    lines = [f"{'NAME':{width}} {'READY':6} {'BLOCK':12} {'RACK':14} {'GPUS':>4} {'RDMA':>4}"]
    for item in items:
        labels, offers = item["metadata"].get("labels", {}), item["status"].get("allocatable", {})
        lines.append(
            f"{item['metadata']['name']:{width}} {'yes' if nodes.is_ready(item) else 'no':6} "
            f"{labels.get(LABEL_BLOCK, '-'):12} {labels.get(LABEL_RACK, '-'):14} "
            f"{offers.get(RESOURCE_GPU, '0'):>4} {offers.get(RESOURCE_RDMA, '0'):>4}"
        )
    return lines


def load_image(arguments: argparse.Namespace) -> None:
    """Builds the image where it is one of ours, and imports it into every real node."""
    chosen = provider(arguments)
    if chosen == "existing":
        existing.load_image(arguments.image)
    if chosen == "kind":
        kind.load_image(arguments.name, arguments.image)
        return
    cluster = local.get(arguments.name)
    given = Path(arguments.image)
    archive = given.resolve() if given.is_file() else images.build(images.by_name(arguments.image))
    running = nodes.all_of(cluster)
    if not running:
        raise YardError("this cluster has no real nodes to load an image into", "make one with --nodes 3")
    with step(f"loading {arguments.image} into {len(running)} nodes"):
        loaded = image_store.load_everywhere(running, archive)
    say(f"  {loaded} nodes needed it")


def build_all(arguments: argparse.Namespace) -> None:
    """Everything that `up`, `make demo` and the tests would install or build."""
    if arguments.only:
        build.ensure(tuple(arguments.only), arguments.kubernetes)
        return
    toolchain.require(toolchain.FOR_CONTROL_PLANE)
    build.ensure(build.CONTROL_PLANE + build.NODES + build.FAKE_NODES, arguments.kubernetes)
    if not arguments.no_images:
        toolchain.require_root("making images and real nodes")
        toolchain.require(toolchain.FOR_NODES | toolchain.FOR_IMAGES)
        for image in images.BY_NAME.values():
            images.build(image)


def node_stop(arguments: argparse.Namespace) -> None:
    """A node dies, or only falls silent."""
    cluster = local_only(arguments)
    if fake_nodes.is_fake(arguments.node):
        fake_nodes.set_alive(cluster, arguments.node, False)
    elif arguments.kubelet_only:
        nodes.stop_kubelet(nodes.by_name(cluster, arguments.node))
    else:
        nodes.power_off(nodes.by_name(cluster, arguments.node))


def node_start(arguments: argparse.Namespace) -> None:
    """A node returns."""
    cluster = local_only(arguments)
    if fake_nodes.is_fake(arguments.node):
        fake_nodes.set_alive(cluster, arguments.node, True)
        return
    node = nodes.by_name(cluster, arguments.node)
    nodes.start(node)
    nodes.wait_ready(node)


def device_fail(arguments: argparse.Namespace) -> None:
    """Devices break."""
    node = nodes.by_name(local_only(arguments), arguments.node)
    faults.break_devices(node.faults, arguments.resource, arguments.device or [0])


def device_heal(arguments: argparse.Namespace) -> None:
    """All devices of the node are whole again."""
    faults.heal(nodes.by_name(local_only(arguments), arguments.node).faults)


def apiserver_restart(arguments: argparse.Namespace) -> None:
    """An outage of about two seconds."""
    control_plane.restart(local_only(arguments), "kube-apiserver")


def part_stop(arguments: argparse.Namespace) -> None:
    """An outage for as long as the caller likes."""
    process.stop(local.part(local_only(arguments), arguments.part).pid_file, kill=True)


def part_start(arguments: argparse.Namespace) -> None:
    """The end of the outage."""
    cluster = local_only(arguments)
    process.ensure(local.part(cluster, arguments.part))
    if arguments.part != "etcd":
        control_plane.wait_serving(cluster)
