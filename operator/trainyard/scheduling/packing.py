"""Fit a gang into given nodes: on the fewest domains at every level, and within them on the fewest nodes.

One rule serves racks and nodes alike (`choose`): where one of them holds all that is left, take the one that the rest
leaves fullest; else take the roomiest whole and go on. For one role this finds a fit whenever there is one, since
pods of a role are alike. Several roles share nodes, which is bin packing: the hardest role goes first, and if that
fails, last.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence

from trainyard.scheduling.ledger import Ledger, View
from trainyard.scheduling.shape import GangShape, RoleShape
from trainyard.scheduling.topology import Topology

Counts = dict[int, int]
"""Node → number of a role's pods there."""

Members = tuple[Sequence[int], ...]
"""By role: the nodes that may hold it."""

Unit = tuple[int, int, int]
"""(how many pods fit, weight: less is better, where in the order)."""


def choose(units: Iterable[Unit], count: int) -> Iterator[tuple[int, int]]:
    """Units that hold `count` pods together, each with its share. The units must hold that many."""
    shelves: dict[int, list[tuple[int, int]]] = {}
    for fit, weight, at in units:
        if fit:
            shelves.setdefault(fit, []).append((weight, at))
    for shelf in shelves.values():
        shelf.sort(reverse=True)
    sizes = sorted(shelves)
    while count > 0:
        size = sizes[min(bisect_left(sizes, count), len(sizes) - 1)]
        _, at = shelves[size].pop()
        if not shelves[size]:
            sizes.remove(size)
        yield at, min(size, count)
        count -= size


def free_of_ports(nodes: Sequence[int], ports: Sequence[int], used: Mapping[int, frozenset[int]]) -> Sequence[int]:
    """The nodes on which none of the ports is taken."""
    return [i for i in nodes if used.get(i, frozenset()).isdisjoint(ports)] if ports and used else nodes


class Packer:
    """Packs on one view of the ledger; enters nothing."""

    def __init__(self, topology: Topology, ledger: Ledger, view: View) -> None:
        """Take the view as it stands."""
        self.topology = topology
        self.ledger = ledger
        self.view = view

    def room(self, role: RoleShape, nodes: Sequence[int]) -> int:
        """How many pods of the role fit on the nodes, if nothing else came."""
        slots, view = self.ledger.slots(role.need, role.cap), self.view
        return sum([slots[view[i]] for i in nodes])

    def live(self, shape: GangShape, members: Members) -> Members:
        """The nodes that have room for at least one pod of the role."""
        view, parts = self.view, []
        for role, nodes in zip(shape.roles, members, strict=True):
            slots = self.ledger.slots(role.need, role.cap)
            parts.append([i for i in nodes if slots[view[i]]])
        return tuple(parts)

    def gang(self, shape: GangShape, members: Members) -> list[Counts] | None:
        """All roles on their nodes, or nothing."""
        order = sorted(range(len(shape.roles)), key=lambda r: self._hardness(shape.roles[r], members[r], r))
        found = self._in_turn(shape, members, order)
        if found is None and len(order) > 1:
            found = self._in_turn(shape, members, order[::-1])
        return found

    def _hardness(self, role: RoleShape, nodes: Sequence[int], at: int) -> tuple[bool, int, int, int]:
        return role.column not in self.ledger.accelerators, len(nodes), -role.need[role.column], at

    def _in_turn(self, shape: GangShape, members: Members, order: Sequence[int]) -> list[Counts] | None:
        found: list[Counts] = [{} for _ in shape.roles]
        view = list(self.view) if len(order) > 1 else self.view
        ports: dict[int, frozenset[int]] = {}
        for at in order:
            role = shape.roles[at]
            packer = Packer(self.topology, self.ledger, view)
            nodes = free_of_ports(members[at], role.ports, ports)
            if packer.room(role, nodes) < role.replicas:
                return None
            found[at] = packer.role(role, nodes, 0, role.replicas)
            if len(order) > 1:
                for i, times in found[at].items():
                    self.ledger.enter(view, i, role.need, times)
                    ports[i] = ports.get(i, frozenset()).union(role.ports)
        return found

    def role(self, role: RoleShape, nodes: Sequence[int], level: int, count: int) -> Counts:
        """`count` pods of one role on nodes that hold at least that many, going down the levels from `level`."""
        slots, weights, view = self.ledger.slots(role.need, role.cap), self.ledger.weights(role.column), self.view
        if level >= len(self.topology.levels):
            return dict(choose(((slots[view[i]], weights[view[i]], i) for i in nodes), count))
        domains = self.topology.split(nodes, level)
        if len(domains) in (1, len(nodes)):
            return self.role(role, nodes, level + 1 if len(domains) == 1 else len(self.topology.levels), count)
        units = [
            (sum([slots[view[i]] for i in domain]), sum([weights[view[i]] for i in domain]), d)
            for d, domain in domains.items()
        ]
        found: Counts = {}
        for d, share in choose(units, count):
            found |= self.role(role, domains[d], level + 1, share)
        return found
