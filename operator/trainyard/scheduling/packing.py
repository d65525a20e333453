"""Fit a gang into given nodes: on the fewest domains at every level, and within them on the fewest nodes.

One rule serves racks and nodes alike (`choose`): where one of them holds all that is left, take the one that the rest
leaves fullest; else take the roomiest whole and go on. For one role this finds a fit whenever there is one, since
pods of a role are alike. Several roles share nodes, which is bin packing: the hardest role goes first, and if that
fails, last.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from trainyard.scheduling.ledger import Ledger, View
from trainyard.scheduling.shape import GangShape, RoleShape
from trainyard.scheduling.topology import Topology

Counts = dict[int, int]
"""Node → number of a role's pods there."""

Ports = Mapping[int, frozenset[int]]
"""Node → host ports that are taken there."""

Members = tuple[Sequence[int], ...]
"""By role: the nodes that may hold it."""

Unit = tuple[int, int, int]
"""(how many pods fit, weight: less is better, where in the order)."""


@dataclass(frozen=True, slots=True)
class Share:
    """A role's part of the nodes."""

    counts: Counts
    coordinator: int = -1
    """Node of its first pod, where that takes ports which the others do not; else any will do."""


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


def free_of_ports(nodes: Sequence[int], ports: Sequence[int], used: Ports) -> Sequence[int]:
    """The nodes on which none of the ports is taken."""
    return [i for i in nodes if used.get(i, frozenset()).isdisjoint(ports)] if ports and used else nodes


class Packer:
    """Packs on one view of the ledger; enters nothing."""

    def __init__(self, topology: Topology, ledger: Ledger, view: View, taken: Ports, own: Ports | None = None) -> None:
        """Take the view as it stands, and the ports: of others, and of pods of this very gang that are placed."""
        self.topology = topology
        self.ledger = ledger
        self.view = view
        self.taken = taken
        self.own = own or {}

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

    def gang(self, shape: GangShape, members: Members) -> list[Share] | None:
        """All roles on their nodes, or nothing."""
        order = sorted(range(len(shape.roles)), key=lambda r: self._hardness(shape.roles[r], members[r], r))
        found = self._in_turn(shape, members, order)
        if found is None and len(order) > 1:
            found = self._in_turn(shape, members, order[::-1])
        return found

    def _hardness(self, role: RoleShape, nodes: Sequence[int], at: int) -> tuple[bool, int, int, int]:
        return role.column not in self.ledger.accelerators, len(nodes), -role.need[role.column], at

    def _in_turn(self, shape: GangShape, members: Members, order: Sequence[int]) -> list[Share] | None:
        found = [Share({}) for _ in shape.roles]
        view = list(self.view) if len(order) > 1 else self.view
        ports = dict(self.own)
        for at in order:
            role = shape.roles[at]
            packer = Packer(self.topology, self.ledger, view, self.taken, ports)
            nodes = free_of_ports(members[at], role.ports, ports)
            if packer.room(role, nodes) < role.replicas:
                return None
            share = packer._coordinated(role, nodes, packer.role(role, nodes, 0, role.replicas))
            if share is None:
                return None
            found[at] = share
            if len(order) > 1:
                for i, times in share.counts.items():
                    self.ledger.enter(view, i, role.need, times)
                    added = role.coordinator_ports if i == share.coordinator else ()
                    ports[i] = ports.get(i, frozenset()).union(role.ports, added)
        return found

    def _coordinated(self, role: RoleShape, nodes: Sequence[int], counts: Counts) -> Share | None:
        """The same with a node for the first pod: the first in order where its ports are free. If they are taken on all
        of them, one pod goes elsewhere; since pods are alike, that fails only where no node will do."""
        if not role.coordinator_ports:
            return Share(counts)
        free = set(self._free_of(nodes, role.coordinator_ports))
        if not free.isdisjoint(counts):
            return Share(counts, min(free.intersection(counts)))
        slots, weights, view = self.ledger.slots(role.need, role.cap), self.ledger.weights(role.column), self.view
        other = min((i for i in free if slots[view[i]]), key=lambda i: (weights[view[i]], i), default=-1)
        if other < 0:
            return None
        loser = min(counts, key=lambda i: (counts[i], -i))
        moved = {**counts, loser: counts[loser] - 1, other: 1}
        return Share({i: count for i, count in moved.items() if count}, other)

    def _free_of(self, nodes: Sequence[int], ports: Sequence[int]) -> Sequence[int]:
        return free_of_ports(free_of_ports(nodes, ports, self.taken), ports, self.own)

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
