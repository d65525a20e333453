"""What each command does: picks the provider, hands over, prints."""

from __future__ import annotations

import argparse
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
    toolchain,
)
from yardlib.errors import YardError
from yardlib.progress import say, step
from yardlib.spec import ClusterSpec
from yardlib.topology import LABEL_BLOCK, LABEL_RACK, RESOURCE_GPU, RESOURCE_RDMA

PROVIDERS = ("local", "kind", "existing")


def provider(arguments: argparse.Namespace) -> str:
    """The one asked for; else that of the living cluster; else by whether a container engine answers."""
    if arguments.provider:
        return str(arguments.provider)
    if local.find(arguments.name) is not None:
        return "local"
    if arguments.command == "up" and arguments.fake_nodes:
        return "local"
    return "kind" if kind.engine() else "local"


def up(arguments: argparse.Namespace) -> None:
    """Makes or mends."""
    spec = ClusterSpec(
        name=arguments.name,
        nodes=arguments.nodes,
        fake_nodes=arguments.fake_nodes,
        fake_gpus=arguments.fake_gpus,
        profile=arguments.profile,
        audit=arguments.audit,
    )
    chosen = provider(arguments)
    if chosen == "existing":
        existing.up()
    elif chosen == "kind":
        kind.up(spec)
    else:
        local.up(spec)


def down(arguments: argparse.Namespace) -> None:
    """Removes; that there is nothing to remove is no failure."""
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
        print(kind.kubeconfig(arguments.name))
    else:
        print(local.get(arguments.name).admin_kubeconfig)


def status(arguments: argparse.Namespace) -> None:
    """One line a program; raises when one is dead, so that scripts see it."""
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
    cluster = local.get(arguments.name)
    print(f"{'NAME':12} {'READY':6} {'BLOCK':12} {'RACK':14} {'GPUS':>4} {'RDMA':>4}")
    for item in cluster.api().get("/api/v1/nodes")["items"]:
        labels, offers = item["metadata"]["labels"], item["status"].get("allocatable", {})
        name, ready = item["metadata"]["name"], "yes" if nodes.is_ready(item) else "no"
        print(
            f"{name:12} {ready:6} {labels.get(LABEL_BLOCK, '-'):12} "
            f"{labels.get(LABEL_RACK, '-'):14} {offers.get(RESOURCE_GPU, '0'):>4} {offers.get(RESOURCE_RDMA, '0'):>4}"
        )


def load_image(arguments: argparse.Namespace) -> None:
    """Builds the image where it is one of ours, and imports it into every real node."""
    if provider(arguments) == "kind":
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
    """Everything that `up`, `make demo` and the tests would build."""
    build.ensure(build.CONTROL_PLANE + build.NODES + build.FAKE_NODES)
    if not arguments.no_images:
        toolchain.require(toolchain.FOR_IMAGES)
        for image in images.BY_NAME.values():
            images.build(image)


def node_stop(arguments: argparse.Namespace) -> None:
    """A node dies, or only falls silent."""
    cluster = local.get(arguments.name)
    if fake_nodes.is_fake(arguments.node):
        fake_nodes.set_alive(cluster, arguments.node, False)
    elif arguments.kubelet_only:
        nodes.stop_kubelet(nodes.by_name(cluster, arguments.node))
    else:
        nodes.power_off(nodes.by_name(cluster, arguments.node))


def node_start(arguments: argparse.Namespace) -> None:
    """A node returns."""
    cluster = local.get(arguments.name)
    if fake_nodes.is_fake(arguments.node):
        fake_nodes.set_alive(cluster, arguments.node, True)
        return
    node = nodes.by_name(cluster, arguments.node)
    nodes.start(node)
    nodes.wait_ready(node)


def device_fail(arguments: argparse.Namespace) -> None:
    """Devices break."""
    node = nodes.by_name(local.get(arguments.name), arguments.node)
    faults.break_devices(node.faults, arguments.resource, arguments.device or [0])


def device_heal(arguments: argparse.Namespace) -> None:
    """All devices of the node are whole again."""
    faults.heal(nodes.by_name(local.get(arguments.name), arguments.node).faults)


def apiserver_restart(arguments: argparse.Namespace) -> None:
    """An outage of about two seconds."""
    control_plane.restart(local.get(arguments.name), "kube-apiserver")


def part_stop(arguments: argparse.Namespace) -> None:
    """An outage for as long as the caller likes."""
    process.stop(local.part(local.get(arguments.name), arguments.part).pid_file, kill=True)


def part_start(arguments: argparse.Namespace) -> None:
    """The end of the outage."""
    cluster = local.get(arguments.name)
    process.ensure(local.part(cluster, arguments.part))
    if arguments.part != "etcd":
        control_plane.wait_serving(cluster)
