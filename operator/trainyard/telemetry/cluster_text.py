"""The series about nodes: how many accelerators they offer, what became of them, and which nodes are well.

Nodes that jobs are not placed on are left out. Where nodes may not be read there are no such series.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from trainyard.model.views import NodeReady, NodeView, Resources
from trainyard.telemetry import catalog
from trainyard.telemetry.catalog import Metric
from trainyard.telemetry.exposition import labels, line
from trainyard.telemetry.fleet import Fleet
from trainyard.telemetry.shares import counted

NODE_STATES = ("ready", "cordoned", "not_ready", "unreachable")
ACCELERATOR_STATES = ("used", "promised", "unavailable", "free")


def families(fleet: Fleet) -> Iterator[tuple[Metric, Iterable[str]]]:
    """None where no node is known."""
    nodes = [node for node in fleet.nodes.values() if _owned(node, fleet.owned_nodes)]
    if nodes:
        yield catalog.CLUSTER_ACCELERATORS, _accelerators(nodes, fleet)
        yield catalog.NODES, _states(nodes)


def _owned(node: NodeView, wanted: tuple[tuple[str, str], ...]) -> bool:
    return all(node.labels.get(key) == value for key, value in wanted)


def node_state(node: NodeView) -> str:
    """One word for a node; the worst wins."""
    if node.ready is NodeReady.UNKNOWN:
        return "unreachable"
    if node.ready is NodeReady.FALSE:
        return "not_ready"
    return "cordoned" if node.unschedulable or node.deleting else "ready"


def _states(nodes: Iterable[NodeView]) -> Iterator[str]:
    counts = dict.fromkeys(NODE_STATES, 0)
    for node in nodes:
        counts[node_state(node)] += 1
        yield ""
    for state, count in counts.items():
        yield line(catalog.NODES, labels(state=state), count)


def _accelerators(nodes: Iterable[NodeView], fleet: Fleet) -> Iterator[str]:
    promises: dict[str, dict[str, int]] = {}
    for node_name, resources in _promises(fleet):
        for resource, count in counted(resources, fleet.accelerators):
            at_node = promises.setdefault(node_name, {})
            at_node[resource] = at_node.get(resource, 0) + count
        yield ""
    totals: dict[str, dict[str, int]] = {}
    for node in nodes:
        usage, promised = fleet.usage.get(node.name, {}), promises.get(node.name, {})
        for resource, offered in counted(node.allocatable, fleet.accelerators):
            parts = totals.setdefault(resource, dict.fromkeys(ACCELERATOR_STATES, 0))
            used = min(offered, usage.get(resource, 0))
            spoken_for = min(offered - used, promised.get(resource, 0))
            parts["used"] += used
            parts["promised"] += spoken_for
            parts["free" if node_state(node) == "ready" else "unavailable"] += offered - used - spoken_for
        yield ""
    for resource, parts in sorted(totals.items()):
        for state, count in parts.items():
            yield line(catalog.CLUSTER_ACCELERATORS, labels(resource=resource, state=state), count)


def _promises(fleet: Fleet) -> Iterator[tuple[str, Resources]]:
    """Node and resources of each rank that is not bound yet, where the node is known."""
    for promise in fleet.promised:
        ends, end = [], 0
        for role in promise.record.roles:
            end += role.replicas
            ends.append(end)
        for rank in promise.ranks:
            role = promise.record.roles[bisect_right(ends, rank)]
            if promise.record.nodes[rank]:
                yield promise.record.nodes[rank], role.resources
    for reservation in fleet.granted:
        if reservation.node:
            yield reservation.node, reservation.resources
