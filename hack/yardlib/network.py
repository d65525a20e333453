"""One bridge a cluster, one cable a node; nothing of it leaves the machine, since no route leads out."""

from __future__ import annotations

from pathlib import Path

from yardlib.shell import run, succeeds
from yardlib.slots import Addresses
from yardlib.spec import MAX_REAL_NODES


def ensure_bridge(addresses: Addresses) -> None:
    """The bridge with the machine's address on it; the rest of the cluster's ranges leads nowhere."""
    bridge = addresses.bridge
    if not succeeds(["ip", "link", "show", bridge]):
        run(["ip", "link", "add", bridge, "type", "bridge"])
    run(["ip", "address", "replace", f"{addresses.gateway}/24", "dev", bridge])
    run(["ip", "link", "set", bridge, "up"])
    for unused in (addresses.network, addresses.services):
        run(["ip", "route", "replace", "blackhole", unused])


def remove(addresses: Addresses) -> None:
    """Cables, bridge and routes. The cables by name: unsent data of a killed process keeps a namespace for minutes."""
    for index in range(1, MAX_REAL_NODES + 1):
        if Path(f"/sys/class/net/{addresses.veth(index)}").exists():
            succeeds(["ip", "link", "del", addresses.veth(index)])
    for unused in (addresses.network, addresses.services):
        succeeds(["ip", "route", "del", "blackhole", unused])
    succeeds(["ip", "link", "del", addresses.bridge])


def plug_in(addresses: Addresses, index: int, anchor: int, nodes: int) -> None:
    """Connects the network namespace of process `anchor` to the bridge, as node `index` of `nodes`."""
    cable, inside = addresses.veth(index), ["nsenter", "--target", str(anchor), "--net"]
    succeeds(["ip", "link", "del", cable])  # left over where the node's earlier namespace has not gone yet
    run(["ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", str(anchor)])
    run(["ip", "link", "set", cable, "master", addresses.bridge, "up"])
    commands = [
        f"address add {addresses.node(index)}/24 dev eth0",
        "link set lo up",
        "link set eth0 up",
        # Services are answered by the node's own rules; a route must exist for them to be asked at all.
        f"route add {addresses.services} via {addresses.gateway}",
        *(
            f"route add {addresses.pods(other)} via {addresses.node(other)}"
            for other in range(1, nodes + 1)
            if other != index
        ),
    ]
    for command in commands:
        run([*inside, "ip", *command.split()])
    run([*inside, "sysctl", "-qw", "net.ipv4.ip_forward=1"])
    run(["ip", "route", "replace", addresses.pods(index), "via", addresses.node(index)])
