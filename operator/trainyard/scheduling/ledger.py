"""What is free on every node, as vectors over the resources that somebody in the queue asks for.

Nodes with the same free vector share one number, so that "how many such pods fit here" is worked out once per distinct
vector and not once per node. Three views are kept: `empty` (nothing runs but what never ends by itself), `free` (less
everything that runs or is reserved) and `open` (less, besides, what is held for jobs ahead). Adds and subtracts;
decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trainyard.model.cluster import ClusterSnapshot, RoleRequest
from trainyard.model.views import Resources
from trainyard.scheduling.topology import Topology

Vector = tuple[int, ...]
View = list[int]
"""Node → number of its vector."""

PODS = "pods"


class Ledger:
    """The room of one round; grants and holds are entered as they are decided."""

    def __init__(self, topology: Topology, cluster: ClusterSnapshot, roles: Iterable[RoleRequest]) -> None:
        """Read allocatable, usage and reservations into vectors."""
        roles = tuple(roles)
        self.columns: tuple[str, ...] = tuple(sorted({name for r in roles for name, _ in r.resources} | {PODS}))
        self.accelerators: tuple[int, ...] = tuple(
            at for at, name in enumerate(self.columns) if name in {r.accelerator for r in roles}
        )
        self.vectors: list[Vector] = []
        self._numbers: dict[Vector, int] = {}
        self._slots: dict[tuple[Vector, int], list[int]] = {}
        self._weights: dict[int, list[int]] = {}
        self.version = 0
        """Grows with every entry: an answer about the room holds only for its version."""
        self.free: View = self._allocatable(topology)
        self.empty: View = list(self.free)
        for name, stays in cluster.resident.items():
            if name in topology.index:
                self.enter(self.empty, topology.index[name], tuple(stays.get(c, 0) for c in self.columns))
        for name, used in cluster.usage.items():
            if name in topology.index and used:
                self.enter(self.free, topology.index[name], tuple(used.get(c, 0) for c in self.columns))
        self.ports: dict[int, frozenset[int]] = {
            topology.index[name]: ports for name, ports in cluster.host_ports.items() if name in topology.index
        }
        for reservation in cluster.reservations:
            if reservation.node in topology.index:
                node = topology.index[reservation.node]
                self.enter(self.free, node, self.need(reservation.resources))
                self._take_ports(node, reservation.host_ports)
        self.open: View = list(self.free)

    def _allocatable(self, topology: Topology) -> View:
        seen: dict[Resources, int] = {}
        view: View = []
        for node in topology.nodes:
            if node.allocatable not in seen:
                have = dict(node.allocatable)
                seen[node.allocatable] = self._number(tuple(have.get(c, 0) for c in self.columns))
            view.append(seen[node.allocatable])
        return view

    def _number(self, vector: Vector) -> int:
        number = self._numbers.setdefault(vector, len(self.vectors))
        if number == len(self.vectors):
            self.vectors.append(vector)
        return number

    def enter(self, view: View, node: int, need: Vector, times: int = 1) -> None:
        """Place pods on a view; on a copy it is a what-if."""
        have = self.vectors[view[node]]
        view[node] = self._number(tuple(h - n * times for h, n in zip(have, need, strict=True)))

    def need(self, resources: Resources) -> Vector:
        """One pod's request over the columns; it always takes one of the node's pods."""
        have = dict(resources)
        have[PODS] = 1
        return tuple(have.get(c, 0) for c in self.columns)

    def take(self, node: int, need: Vector, ports: Sequence[int] = ()) -> None:
        """A granted rank."""
        self.enter(self.free, node, need)
        self.enter(self.open, node, need)
        self._take_ports(node, ports)
        self.version += 1

    def _take_ports(self, node: int, ports: Sequence[int]) -> None:
        if ports:
            self.ports[node] = self.ports.get(node, frozenset()).union(ports)

    def hold(self, node: int, need: Vector) -> None:
        """Room kept for a job against those behind it."""
        self.enter(self.open, node, need)
        self.version += 1

    def slots(self, need: Vector, cap: int) -> list[int]:
        """By vector number: how many such pods fit, at most `cap` (0: no cap). Valid until the next entry."""
        table = self._slots.setdefault((need, cap), [])
        for vector in self.vectors[len(table) :]:
            fit = max(0, min(v // n for v, n in zip(vector, need, strict=True) if n > 0))
            table.append(min(fit, cap) if cap else fit)
        return table

    def weights(self, column: int) -> list[int]:
        """By vector number: how much would be spoilt by using such a node; less is better.

        The free amount of the column that matters; for a pod without accelerators, free accelerators come first, so
        that it goes beside busy ones or onto nodes that have none.
        """
        table = self._weights.setdefault(column, [])
        spare = self.accelerators if column not in self.accelerators else ()
        for vector in self.vectors[len(table) :]:
            table.append((sum(vector[a] for a in spare) << 64) + vector[column])
        return table
